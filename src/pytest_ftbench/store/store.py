"""Entries on disk: folders that are complete and verified, or not there at all.

An entry is built in a private folder under ``building/`` and renamed into place, so a process that is killed at any
moment leaves nothing that looks like one. Its manifest, written last, holds size and SHA-256 of every file; an entry
that doesn't match it is set aside and built anew. One lock per entry keeps several processes from doing the same work;
locks are the operating system's, so a dead process holds none. Layout::

    {cache}/{kind}/{key}/manifest.json + the entry's files
    {cache}/building/{kind}-{key}/             unfinished
    {cache}/set-aside/{kind}-{key}-{random}/  did not match its manifest
    {cache}/locks/{kind}-{key}.lock
"""

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from pytest_ftbench.grid import UserError
from pytest_ftbench.store.keys import digest, file_digest

MANIFEST = "manifest.json"
SCHEMA = 1


class Store:
    """A folder of entries, each found by kind and key.

    ``say`` receives one line for whatever a user should know: an entry set aside, another process waited for.
    """

    def __init__(self, root: Path, say: Callable[[str], None] = print) -> None:
        self.root = root
        self.say = say
        self._verified: set[Path] = set()
        try:
            self._own("locks").mkdir(parents=True, exist_ok=True)
            self._own("building").mkdir(exist_ok=True)
        except (OSError, ValueError) as error:  # a name with a NUL in it is no OSError
            raise self._unusable(error) from None
        self._sweep()

    def find(self, kind: str, material: Any) -> Path | None:
        """The folder of a verified entry; None where there is none."""
        folder = self._own(kind) / digest(material)
        if folder in self._verified:
            return folder
        if not os.path.lexists(folder):
            return None
        if _mismatch(folder) is None:
            self._verified.add(folder)
            return folder
        # another process may be replacing it this very moment: what is set aside is judged under the lock
        with self._lock(kind, folder.name):
            return self._find_locked(folder)

    def get(self, kind: str, material: Any, build: Callable[[Path], object]) -> Path:
        """The folder of the entry, which ``build`` fills first if need be; the same for every process that asks."""
        if found := self.find(kind, material):
            return found
        with self._lock(kind, digest(material)):
            # another process may have built it while this one waited
            return self._find_locked(self.root / kind / digest(material)) or self._build(kind, material, build)

    def offer(self, kind: str, material: Any, build: Callable[[Path], object]) -> Path | None:
        """As ``get``, but None at once where another process is at it: one may do something else meanwhile."""
        if found := self.find(kind, material):
            return found
        key = digest(material)
        lock = FileLock(self._lock_path(f"{kind}-{key}"))
        try:
            with self._usable():
                lock.acquire(timeout=0)
        except TimeoutError:
            return None
        try:
            return self._find_locked(self.root / kind / key) or self._build(kind, material, build)
        finally:
            lock.release()

    def _find_locked(self, folder: Path) -> Path | None:
        if not os.path.lexists(folder):
            return None
        if problem := _mismatch(folder):
            self._set_aside(folder, problem)
            return None
        self._verified.add(folder)
        return folder

    def _build(self, kind: str, material: Any, build: Callable[[Path], object]) -> Path:
        final = self.root / kind / digest(material)
        with self._workplace(f"{kind}-{final.name}") as folder:
            build(folder)
            _write_manifest(folder, kind, material)
            final.parent.mkdir(exist_ok=True)
            folder.rename(final)
            _sync(final.parent)
        self._verified.add(final)
        return final

    @contextlib.contextmanager
    def _workplace(self, name: str) -> Iterator[Path]:
        """The private folder of an entry's builder; who holds the entry's lock is the only one."""
        folder = self.root / "building" / name
        _remove(folder)
        with self._usable():
            folder.mkdir()
        try:
            yield folder
        finally:
            _remove(folder)

    @contextlib.contextmanager
    def _lock(self, kind: str, key: str) -> Iterator[None]:
        lock = FileLock(self._lock_path(f"{kind}-{key}"))
        with contextlib.suppress(TimeoutError), self._usable():
            lock.acquire(timeout=1)
        if not lock.is_locked:
            self.say(f"waiting for another process that makes {kind} {key[:8]}")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def _usable(self) -> Iterator[None]:
        """Say of a folder that can't be written to which one it is; a wait that ends is another matter."""
        try:
            yield
        except TimeoutError:
            raise
        except OSError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: OSError | ValueError) -> UserError:
        problem = f"can't be used as cache ({getattr(error, 'strerror', None) or error})"
        return UserError(self.root, problem, "give --ftbench-cache another folder")

    def _set_aside(self, folder: Path, problem: str) -> None:
        grave = self._own("set-aside") / f"{folder.parent.name}-{folder.name}-{secrets.token_hex(4)}"
        with self._usable():
            grave.parent.mkdir(exist_ok=True)
            folder.rename(grave)
        self.say(f"{folder}: {problem}; set aside as {grave.name} and made anew")

    def _sweep(self) -> None:
        """Remove what was left unfinished: whoever builds an entry holds its lock, on this machine or another."""
        for folder in (self.root / "building").iterdir():
            lock = FileLock(self._lock_path(folder.name))
            # a wait that ends, or a cache that may only be read
            with contextlib.suppress(OSError), lock.acquire(timeout=0):
                _remove(folder)

    def _own(self, name: str) -> Path:
        """A folder of the cache, which is no link: what is behind one is somebody else's to write and to delete."""
        folder = self.root / name
        if folder.is_symlink():
            raise UserError(folder, "is a symbolic link", "remove it, or give --ftbench-cache another folder")
        return folder

    def _lock_path(self, name: str) -> Path:
        return self.root / "locks" / f"{name}.lock"


def write_file(path: Path, text: str) -> None:
    """Write a text file so that it is there whole or not at all."""
    # as long a name as a file may have leaves no room for more
    draft = path.with_name(f".{path.name[:40]}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        draft.write_text(text, encoding="utf-8")
        _sync(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def file_digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of a stored entry by its path in it, as its manifest has them."""
    files = read_json(folder / MANIFEST)["files"]
    return {name: entry["sha256"] for name, entry in files.items()}


def read_json(path: Path) -> Any:
    """The JSON value in a file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value so that it is there whole or not at all."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    # half a character, which no file in UTF-8 holds, is read again from its escape
    write_file(path, text.encode(errors="backslashreplace").decode())


def _write_manifest(folder: Path, kind: str, material: Any) -> None:
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        _sync(path)
        files[path.relative_to(folder).as_posix()] = {"size": path.stat().st_size, "sha256": file_digest(path)}
    write_json(folder / MANIFEST, {"schema": SCHEMA, "kind": kind, "material": material, "files": files})
    _sync(folder)


def _mismatch(folder: Path) -> str | None:
    """What is wrong with an entry, or None."""
    if folder.is_symlink():
        return "it is a symbolic link"
    if (folder / MANIFEST).is_symlink() or not (folder / MANIFEST).is_file():
        return "its manifest can't be read"
    try:
        manifest = read_json(folder / MANIFEST)
        files = {name: (entry["size"], entry["sha256"]) for name, entry in manifest["files"].items()}
        same_key = digest(manifest["material"]) == folder.name
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "its manifest can't be read"
    if not same_key:
        return "its manifest belongs to another entry"
    for name, (size, sha256) in files.items():
        path = folder / name
        try:
            if _leaves(folder, name) or not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != size or file_digest(path) != sha256:
                return f"{name} has changed"
        except OSError as error:  # also where another process sets the entry aside meanwhile
            return f"{name} can't be read ({error.strerror})"
    return None


def _leaves(folder: Path, name: str) -> bool:
    """Whether a file's path leads out of an entry, by its words or by a link."""
    parts = Path(name).parts
    ways = (folder.joinpath(*parts[: count + 1]) for count in range(len(parts)))
    return ".." in parts or Path(name).is_absolute() or any(way.is_symlink() for way in ways)


def _remove(path: Path) -> None:
    """Remove a folder and all in it; of a link, the link."""
    if path.is_symlink():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def _sync(path: Path) -> None:
    """Make a file's content, or a folder's names, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

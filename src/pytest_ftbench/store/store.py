"""Entries on disk: folders that are complete and verified, or not there at all.

An entry is built in a private folder under ``building/`` and renamed into place, so a process that is killed at any
moment leaves nothing that looks like one. Its manifest, written last, holds size and SHA-256 of every file; an entry
that doesn't match it is set aside and built anew. One lock per entry keeps several processes from doing the same work;
locks are the operating system's, so a dead process holds none. Layout::

    {cache}/{kind}/{key}/manifest.json + the entry's files
    {cache}/building/{kind}-{key}/             unfinished
    {cache}/set-aside/{kind}-{key}-{random}/  did not match its manifest
    {cache}/locks/{kind}-{key}.lock
    {cache}/locks/in-use                       which entries are used now (usage.py)
"""

import contextlib
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from pytest_ftbench.store.cap import Cap
from pytest_ftbench.store.faults import ANOTHER_CACHE, StorageError, fault_of, storage_error
from pytest_ftbench.store.files import remove, sync
from pytest_ftbench.store.keys import digest
from pytest_ftbench.store.manifest import Imprint, imprint, mismatch, seal
from pytest_ftbench.store.place import BUILDING, LOCKS, SET_ASIDE, lock_path
from pytest_ftbench.store.usage import Usage


class Store:
    """A folder of entries, each found by kind and key.

    Every entry is verified before it is served: the first time in full, then again where anything has been written to
    its files since. ``say`` receives one line for whatever a user should know: an entry set aside, another process
    waited for, which it is within ``waiting()``. An operation that fails raises :class:`StorageError`, and leaves every
    entry whole. Whatever was asked for is in use, and so kept by every clean-up, until ``release``; with a ``cap`` in
    bytes there is one whenever the folder grows beyond it.
    """

    def __init__(
        self,
        root: Path,
        say: Callable[[str], None] = print,
        cap: int | None = None,
        waiting: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext,
    ) -> None:
        self.root = root
        self.say = say
        self.waiting = waiting
        self._usage = Usage(root)
        self._cap = None if cap is None else Cap(root, cap, say)
        self._verified: dict[Path, Imprint] = {}
        try:
            for name in (LOCKS, BUILDING, SET_ASIDE):
                if (root / name).is_symlink():  # what is unfinished is removed, and that would be somebody else's
                    raise StorageError(root / name, "is a symbolic link", f"remove it, or {ANOTHER_CACHE}")
            for name in (LOCKS, BUILDING):
                (root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:  # whichever of its folders it is, this is no cache
            raise storage_error(OSError(error.errno, error.strerror), root) from None
        except ValueError as error:  # a NUL in its name
            raise StorageError(root, f"can't be used as cache ({error})", ANOTHER_CACHE) from None
        self._sweep()

    def find(self, kind: str, material: Any) -> Path | None:
        """The folder of a verified entry; None where there is none."""
        folder = self._folder_of(kind) / digest(material)
        with self._usable():
            self._usage.begin(folder)  # before it is looked for: what is seen from here on stays
            if _mode(folder) is None:
                return None
            if self._problem(folder) is None:
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
        lock = FileLock(lock_path(self.root, f"{kind}-{key}"))
        try:
            with self._usable():
                lock.acquire(timeout=0)
        except TimeoutError:
            return None
        try:
            return self._find_locked(self.root / kind / key) or self._build(kind, material, build)
        finally:
            _release(lock)

    def _folder_of(self, kind: str) -> Path:
        """The folder of a kind's entries; a link to another, or a file, is none."""
        folder = self.root / kind
        with self._usable():
            if _is_folder_or_absent(folder):
                return folder
        with self._lock(kind, "folder"), self._usable():
            if not _is_folder_or_absent(folder):
                self._set_aside(folder, "it is no folder")
        return folder

    def _problem(self, folder: Path) -> str | None:
        """What is wrong with an entry, or None; one that is as it was when it was verified isn't read again."""
        seen = imprint(folder)
        if seen is not None and self._verified.get(folder) == seen:
            return None
        problem = mismatch(folder)
        if problem is None and seen is not None:
            self._verified[folder] = seen
        return problem

    def release(self) -> None:
        """Use nothing any more: clean-up may remove it, and what is asked for later is verified anew."""
        self._verified.clear()
        self._usage.end()

    def check(self, kind: str, key: str, repair: bool = False) -> str | None:
        """What is wrong with an entry, if it is there and anything is; to ``repair`` it is to set it aside."""
        folder = self.root / kind / key
        self._usage.hold(folder)
        with self._usable():
            problem = None if _mode(folder) is None else mismatch(folder)
        if problem is None or not repair:
            return problem
        # as in find: another process may be replacing it
        with self._lock(kind, key), self._usable():
            problem = None if _mode(folder) is None else mismatch(folder)
            if problem is not None:
                self._set_aside(folder, problem)
        return problem

    def _find_locked(self, folder: Path) -> Path | None:
        with self._usable():
            if _mode(folder) is None:
                return None
            if problem := self._problem(folder):
                self._set_aside(folder, problem)
                return None
        return folder

    def _build(self, kind: str, material: Any, build: Callable[[Path], object]) -> Path:
        final = self.root / kind / digest(material)
        with self._workplace(f"{kind}-{final.name}") as folder:
            try:
                build(folder)
                seal(folder, kind, material)
                final.parent.mkdir(parents=True, exist_ok=True)
                sealed = imprint(folder)
                folder.rename(final)
                sync(final.parent)
            except Exception as error:
                fault = fault_of(error, self.root, kind, folder)
                if fault is None:
                    raise
                raise fault from None
        if sealed is not None:
            self._verified[final] = sealed
        if self._cap is not None:
            self._cap.grew(final)
        return final

    @contextlib.contextmanager
    def _workplace(self, name: str) -> Iterator[Path]:
        """The private folder of an entry's builder; who holds the entry's lock is the only one."""
        folder = self.root / BUILDING / name
        remove(folder)
        with self._usable():
            folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            remove(folder)

    @contextlib.contextmanager
    def _lock(self, kind: str, key: str) -> Iterator[None]:
        lock = FileLock(lock_path(self.root, f"{kind}-{key}"))
        with contextlib.suppress(TimeoutError), self._usable(), self.waiting():
            lock.acquire(timeout=1)
        if not lock.is_locked:
            self.say(f"waiting for another process that makes {kind} {key[:8]}")
            with self._usable(), self.waiting():
                lock.acquire()  # it looks again and again, so a Ctrl-C is heard
        try:
            yield
        finally:
            _release(lock)

    @contextlib.contextmanager
    def _usable(self) -> Iterator[None]:
        """Say of an operation that fails which file it was about; a wait that ends is another matter."""
        try:
            yield
        except TimeoutError:
            raise
        except OSError as error:
            raise storage_error(error, self.root) from None

    def _set_aside(self, folder: Path, problem: str) -> None:
        name = "-".join((*folder.relative_to(self.root).parts, secrets.token_hex(4)))
        grave = self.root / SET_ASIDE / name
        with self._usable():
            grave.parent.mkdir(exist_ok=True)
            folder.rename(grave)
        self.say(f"{folder}: {problem}; set aside as {grave.name} and made anew")

    def _sweep(self) -> None:
        """Remove what was left unfinished: whoever builds an entry holds its lock, on this machine or another."""
        with contextlib.suppress(OSError):  # a cache that may only be read
            for folder in (self.root / BUILDING).iterdir():
                lock = FileLock(lock_path(self.root, folder.name))
                with contextlib.suppress(OSError):  # a wait that ends, too
                    lock.acquire(timeout=0)
                    try:
                        remove(folder)
                    finally:
                        _release(lock)


def _release(lock: FileLock) -> None:
    """Let go of a lock, whatever fails: an error on the way here is not to be hidden by another."""
    for _ in range(2):  # where that failed it is still held, for as long as an error's traceback knows it
        with contextlib.suppress(OSError):
            lock.release()
            return


def _mode(path: Path) -> int | None:
    """The mode of whatever is at a path, a link itself; None where nothing is."""
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return None


def _is_folder_or_absent(path: Path) -> bool:
    mode = _mode(path)
    return mode is None or stat.S_ISDIR(mode)

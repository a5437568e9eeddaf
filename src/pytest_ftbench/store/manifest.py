"""Manifests: what an entry of the store has to be, to the last byte.

A manifest is written last. It holds size and SHA-256 of every file of its entry, the entry's kind, and the material
whose digest is the entry's name. So nothing of it can change unnoticed: its own bytes are those that would be written
for what it says, and all that it says is held against the folder it is in. No change of an entry is harmless but one:
a folder with no file in it is no part of it.
"""

import errno
import json
import os
import stat
import time
from pathlib import Path
from typing import Any

from pytest_ftbench.grid import printable
from pytest_ftbench.store.files import json_text, read_json, sync, write_json
from pytest_ftbench.store.keys import digest, file_digest

MANIFEST = "manifest.json"
SCHEMA = 1

Imprint = tuple[bytes, frozenset[tuple[str, int, int, int, int]]]
"""A manifest, and of every other file its path, inode, size and times."""

_UNREADABLE = "its manifest can't be read"
_KEYS = {"schema", "kind", "material", "files"}
_TICK_NS = 20_000_000  # files' times come from a clock that stands still for some milliseconds
_OF_THE_PROCESS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def seal(folder: Path, kind: str, material: Any) -> None:
    """Write the manifest of a folder that is complete, which makes it an entry, safe from power cuts as well."""
    found = _scan(folder)
    for name, state in found.items():
        if not stat.S_ISREG(state.st_mode) or name == MANIFEST:
            raise ValueError(f"{folder / name}: is nothing that an entry can hold")
    files = {}
    for name in sorted(found):
        sync(folder / name)
        files[name] = {"size": found[name].st_size, "sha256": file_digest(folder / name)}
    for inner in sorted({(folder / name).parent for name in found} - {folder}):
        sync(inner)
    write_json(folder / MANIFEST, {"schema": SCHEMA, "kind": kind, "material": material, "files": files})
    sync(folder)


def mismatch(folder: Path) -> str | None:
    """What is wrong with an entry, in a few words; None where each of its bytes is as it was.

    Raises the error where it is this process that can't read any files now.
    """
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            return "it is no folder"
        found = _scan(folder)
        listed = _read(folder, found.pop(MANIFEST, None))
    except OSError as error:
        return _told(error, "it")
    if isinstance(listed, str):
        return listed
    problem = _mismatch_of_sizes(listed, found) or _mismatch_of_contents(folder, listed)
    return problem and printable(problem)


def imprint(folder: Path) -> Imprint | None:
    """What writing to an entry's files, or replacing one, would change; None where it can't be told from a moment ago.

    It costs next to nothing, where an entry of gigabytes takes seconds to be verified.
    """
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            return None
        found = _scan(folder)
        if not stat.S_ISREG(found.pop(MANIFEST).st_mode):
            return None
        manifest = (folder / MANIFEST).read_bytes()
    except (OSError, KeyError):
        return None
    now = time.time_ns()
    if any(max(state.st_mtime_ns, state.st_ctime_ns) > now - _TICK_NS for state in found.values()):
        return None
    return manifest, frozenset(
        (name, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns) for name, state in found.items()
    )


def file_digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of a stored entry by its path in it, as its manifest has them."""
    files = read_json(folder / MANIFEST)["files"]
    return {name: entry["sha256"] for name, entry in files.items()}


def file_sizes(folder: Path) -> int:
    """The bytes of a stored entry's files together, as its manifest has them."""
    return sum(entry["size"] for entry in read_json(folder / MANIFEST)["files"].values())


def _scan(folder: Path) -> dict[str, os.stat_result]:
    """Whatever is in a folder and is none itself, by its path there; links are not followed."""
    found, todo = {}, [folder]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    todo.append(Path(entry.path))
                else:
                    name = Path(entry.path).relative_to(folder).as_posix()
                    found[name] = entry.stat(follow_symlinks=False)
    return found


def _read(folder: Path, state: os.stat_result | None) -> dict[str, tuple[int, str]] | str:
    """Size and digest of each file as an entry's manifest has them; or what is wrong with it."""
    if state is None or not stat.S_ISREG(state.st_mode):  # to open a pipe is to wait for who writes to it
        return _UNREADABLE
    try:
        text = (folder / MANIFEST).read_bytes().decode()
        manifest = json.loads(text)
        schema = manifest["schema"]
        if type(schema) is int and schema > SCHEMA:
            return f"its manifest has schema {schema}, and this version knows none above {SCHEMA}"
        if type(schema) is not int or schema != SCHEMA or set(manifest) != _KEYS:
            return _UNREADABLE
        listed = {name: (entry["size"], entry["sha256"]) for name, entry in manifest["files"].items()}
        if (digest(manifest["material"]), manifest["kind"]) != (folder.name, folder.parent.name):
            return "its manifest belongs to another entry"
        return listed if json_text(manifest) == text else "its manifest has changed"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _UNREADABLE


def _mismatch_of_sizes(listed: dict[str, tuple[int, str]], found: dict[str, os.stat_result]) -> str | None:
    for name in sorted(listed.keys() | found.keys()):
        if name not in listed:
            return f"{name} is no part of it"
        if name not in found or not stat.S_ISREG(found[name].st_mode):
            return f"{name} is missing"
        if found[name].st_size != listed[name][0]:
            return f"{name} has changed"
    return None


def _mismatch_of_contents(folder: Path, listed: dict[str, tuple[int, str]]) -> str | None:
    for name, (_, sha256) in listed.items():
        try:
            if file_digest(folder / name) != sha256:
                return f"{name} has changed"
        except OSError as error:  # also where another process sets the entry aside meanwhile
            return _told(error, name)
    return None


def _told(error: OSError, what: str) -> str:
    if error.errno in _OF_THE_PROCESS:
        raise error
    return f"{what} can't be read ({error.strerror})"

"""What is in a cache: its entries, with size and last use, and what is left over of others.

Only what the store itself makes is listed, by its place and the form of its name. Links are not followed, and whatever
else lies in a cache's folder is nobody's business here.
"""

import contextlib
import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_ftbench.store.manifest import MANIFEST
from pytest_ftbench.store.place import BUILDING, LOCKS, SET_ASIDE
from pytest_ftbench.store.usage import Usage

_LARGEST_MANIFEST = 1 << 26

_KIND = r"[a-z][a-z0-9_-]*"
_KEY = r"[0-9a-f]{32}"
_KINDS = re.compile(rf"(?!(?:{BUILDING}|{SET_ASIDE}|{LOCKS})$){_KIND}")
_KEYS = re.compile(_KEY)
_DRAFTS = re.compile(rf"{_KIND}-{_KEY}")
_GRAVES = re.compile(rf"{_KIND}-{_KEY}-[0-9a-f]{{8}}")


@dataclass(frozen=True)
class Stored:
    """An entry: its bytes on disk, when it was used last (seconds of the epoch), and whether it is in use now."""

    kind: str
    key: str
    size: int
    used: float
    in_use: bool

    def folder(self, root: Path) -> Path:
        """Where it is."""
        return root / self.kind / self.key


def entry_folders(root: Path) -> list[Path]:
    """The folders of all entries, whole or not, by kind and key."""
    return [folder for kind in _own(root, _KINDS) for folder in _own(kind, _KEYS)]


def contents(root: Path) -> list[Stored]:
    """All entries that have a manifest; what is in them is not read."""
    usage = Usage(root)
    try:
        return [entry for folder in entry_folders(root) if (entry := _stored(folder, usage)) is not None]
    finally:
        usage.end()


def drafts(root: Path) -> list[Path]:
    """What is being built, or was when its builder died."""
    return _own(root / BUILDING, _DRAFTS)


def graves(root: Path) -> list[Path]:
    """What didn't match its manifest and was set aside."""
    return _own(root / SET_ASIDE, _GRAVES)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What an entry's manifest holds; nothing where that is no object, whatever else it is."""
    path = folder / MANIFEST
    try:
        state = path.lstat()
        if not stat.S_ISREG(state.st_mode) or state.st_size > _LARGEST_MANIFEST:
            return {}
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def size_of(folder: Path) -> int:
    """The bytes of all files below a folder that are there by the time they are looked at."""
    return sum(_sizes(folder))


def last_use(folder: Path) -> float | None:
    """When an entry was used last; None where there is none that was finished."""
    try:
        state, manifest = folder.lstat(), (folder / MANIFEST).lstat()
    except OSError:
        return None
    return state.st_mtime if stat.S_ISDIR(state.st_mode) and stat.S_ISREG(manifest.st_mode) else None


def _stored(folder: Path, usage: Usage) -> Stored | None:
    used = last_use(folder)
    if used is None:
        return None
    return Stored(folder.parent.name, folder.name, size_of(folder), used, usage.is_used(folder))


def _own(folder: Path, names: re.Pattern[str]) -> list[Path]:
    """The folders in a folder, neither of them a link, that have such a name."""
    found = []
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(folder.lstat().st_mode):
            with os.scandir(folder) as inner:
                found = [
                    each.name for each in inner if names.fullmatch(each.name) and each.is_dir(follow_symlinks=False)
                ]
    return [folder / name for name in sorted(found)]


def _sizes(folder: Path | str) -> Iterator[int]:
    with contextlib.suppress(OSError), os.scandir(folder) as inner:
        for each in inner:
            with contextlib.suppress(OSError):
                if each.is_dir(follow_symlinks=False):
                    yield from _sizes(each.path)
                elif not each.is_symlink():
                    yield each.stat(follow_symlinks=False).st_size

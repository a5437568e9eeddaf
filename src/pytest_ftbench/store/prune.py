"""Clean-up of a cache: what to remove for a size or an age, and how to remove it under everybody's eyes.

An entry goes only while nobody uses it and nobody can begin to. It is renamed to where its builder would work, under
the lock its builder would hold: no reader sees half of it, and what a killed clean-up leaves, the next store sweeps.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from filelock import FileLock

from pytest_ftbench.store.contents import (
    Stored,
    contents,
    drafts,
    entry_folders,
    graves,
    last_use,
    size_of,
)
from pytest_ftbench.store.place import BUILDING, lock_path
from pytest_ftbench.store.sizes import format_size, format_time
from pytest_ftbench.store.usage import Usage, entry_name

Choice = Callable[[Sequence[Stored]], Iterable[Stored]]


def surplus(entries: Iterable[Stored], size: int) -> list[Stored]:
    """What to remove so that the rest takes at most ``size`` bytes: what was used longest ago, and nothing in use.

    Of these, the smallest are spared again as far as there is room: they gain nothing, and may have cost as much.
    """
    entries = list(entries)
    room = size - sum(entry.size for entry in entries)
    chosen: list[Stored] = []
    for entry in sorted((entry for entry in entries if not entry.in_use), key=_age):
        if room >= 0:
            break
        chosen.append(entry)
        room += entry.size
    removed = []
    for entry in sorted(chosen, key=lambda entry: (entry.size, -entry.used)):
        if entry.size <= room:
            room -= entry.size
        else:
            removed.append(entry)
    return sorted(removed, key=_age)


def unused_since(entries: Iterable[Stored], moment: float) -> list[Stored]:
    """What nobody has used since a moment, in seconds of the epoch."""
    return sorted((entry for entry in entries if not entry.in_use and entry.used < moment), key=_age)


@dataclass
class Removal:
    """What was removed of a cache, or would be, and how many bytes its entries still take."""

    entries: list[Stored] = field(default_factory=list)
    leftovers: list[int] = field(default_factory=list)
    """The sizes of what was left over of others: set aside, or never finished."""

    rest: int = 0

    def told(self, word: str = "removed") -> str | None:
        """A line for it; None where nothing was."""
        parts = []
        if self.entries:
            since = format_time(max(entry.used for entry in self.entries))
            size = format_size(sum(entry.size for entry in self.entries))
            parts.append(f"{counted(len(self.entries), 'entry', 'entries')} unused since {since}, {size}")
        if self.leftovers:
            size = format_size(sum(self.leftovers))
            parts.append(f"{counted(len(self.leftovers), 'left-over', 'left-overs')} of others, {size}")
        return f"{word} {' and '.join(parts)}" if parts else None


def keep_within(root: Path, size: int, slack: int = 0, dry_run: bool = False) -> Removal:
    """Where a cache takes more than ``size`` bytes, remove what is left over of others, and entries by last use.

    Some more are removed where there is ``slack``, so that the next entry doesn't call for clean-up again.
    """
    taken = sum(size_of(folder) for folder in [*graves(root), *drafts(root), *entry_folders(root)])
    if taken <= size:
        return Removal(rest=taken)
    return prune(root, partial(surplus, size=size - slack), dry_run)


def prune(root: Path, choose: Choice, dry_run: bool = False) -> Removal:
    """Remove from a cache what is left over of others, then those entries that are chosen; at most look, if dry.

    What is in use by then, or can't be removed, stays. Never raises for what others do in the cache meanwhile.
    """
    removal = Removal()
    for folder, is_draft in [*((grave, False) for grave in graves(root)), *((draft, True) for draft in drafts(root))]:
        size = size_of(folder)
        if _remove_leftover(root, folder, is_draft, dry_run):
            removal.leftovers.append(size)
    entries = contents(root)
    usage = Usage(root)
    for entry in choose(entries):
        if not entry.in_use and (dry_run or _remove(root, entry, usage)):
            removal.entries.append(entry)
    usage.end()
    removal.rest = sum(entry.size for entry in entries) - sum(entry.size for entry in removal.entries)
    return removal


def counted(number: int, one: str, many: str) -> str:
    """A number of things, in words."""
    return f"{number} {one if number == 1 else many}"


def _remove(root: Path, entry: Stored, usage: Usage) -> bool:
    folder = entry.folder(root)
    grave = root / BUILDING / entry_name(folder)
    with _locked(root, grave.name) as is_locked:
        if not is_locked:
            return False
        with usage.claimed(folder) as is_mine:
            # somebody may have used it, or built it anew, since it was chosen
            if not is_mine or last_use(folder) != entry.used or not _discarded(grave):
                return False
            try:
                folder.rename(grave)
            except OSError:
                return False
        # whoever wants it now finds that it isn't there, and waits for the lock to build it
        _discarded(grave)
    return True


def _remove_leftover(root: Path, folder: Path, is_draft: bool, dry_run: bool) -> bool:
    if not is_draft:
        return dry_run or _discarded(folder)
    with _locked(root, folder.name) as is_locked:
        # of what is being built somebody else has the lock
        return is_locked and (dry_run or _discarded(folder))


@contextlib.contextmanager
def _locked(root: Path, name: str) -> Iterator[bool]:
    """The lock of an entry; False where another process has it, or none can be had."""
    lock = FileLock(lock_path(root, name))
    with contextlib.suppress(OSError, ExceptionGroup):  # a wait that ends is one, too
        lock.acquire(timeout=0)
    try:
        yield lock.is_locked
    finally:
        with contextlib.suppress(OSError, ExceptionGroup):
            lock.release()


def _discarded(folder: Path) -> bool:
    """Whether a folder is gone, now or before."""
    shutil.rmtree(folder, ignore_errors=True)
    return not os.path.lexists(folder)


def _age(entry: Stored) -> tuple[float, str, str]:
    return entry.used, entry.kind, entry.key

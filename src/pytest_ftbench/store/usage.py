"""Which entries of a cache living processes use, and when each was used last.

Who uses an entry holds a shared lock on one byte of the file ``locks/in-use``, at a place that the entry's name gives;
who removes it must have that byte alone. So no list has to be kept, ten thousand entries take one open file, and a
process that dies uses nothing any more. Who may only read the cache can still hold such a lock. The last use is the
time of the entry's folder.
"""

import contextlib
import errno
import hashlib
import os
import struct
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pytest_ftbench.store.place import LOCKS

try:
    import fcntl
except ImportError:  # without it nothing is locked, and so nothing is ever removed
    _fcntl: Any = None
else:
    _fcntl = fcntl

_READ, _WRITE, _NONE = (int(getattr(_fcntl, name, 0)) for name in ("F_RDLCK", "F_WRLCK", "F_UNLCK"))
_BY_BYTE = hasattr(_fcntl, "F_OFD_SETLK")
"""Whether this system has locks on single bytes that belong to an open file, and not to a process; else one lock stands
for all entries, and none of them is removed while any is in use."""

_SECONDS_BETWEEN_TRIES = 0.002
_SECONDS_AT_MOST = 10.0
"""Whoever removes an entry is done in a moment; one that was stopped amid it should not stop everybody."""


class Usage:
    """What one store uses of the cache at ``root``: everything it has looked for, until it ends."""

    def __init__(self, root: Path) -> None:
        self._path = root / LOCKS / "in-use"
        self._file: int | None = None
        self._closing: Callable[[], object] | None = None
        self._begun: set[str] = set()

    def begin(self, folder: Path) -> None:
        """Use an entry from now on, whether or not it is there yet.

        A cache that can't be written to, or locked, serves all the same.
        """
        self.hold(folder)
        with contextlib.suppress(OSError):
            os.utime(folder, follow_symlinks=False)

    def hold(self, folder: Path) -> None:
        """Keep an entry from being removed, without using it; a wait for whoever is removing it is short."""
        name = entry_name(folder)
        with contextlib.suppress(OSError):
            ends = time.monotonic() + _SECONDS_AT_MOST
            while name not in self._begun and time.monotonic() < ends:
                if self._lock(_READ, name):
                    self._begun.add(name)
                else:
                    time.sleep(_SECONDS_BETWEEN_TRIES)

    def end(self) -> None:
        """Use nothing any more."""
        self._begun.clear()
        if self._closing is not None:
            self._closing()
        self._file = None

    @contextlib.contextmanager
    def claimed(self, folder: Path) -> Iterator[bool]:
        """Keep others from using an entry in the block; False where one does, or where nobody can tell."""
        name = entry_name(folder)
        try:
            is_mine = self._lock(_WRITE, name)
        except OSError:
            is_mine = False
        try:
            yield is_mine
        finally:
            if is_mine:
                with contextlib.suppress(OSError):
                    self._lock(_NONE, name)

    def is_used(self, folder: Path) -> bool:
        """Whether another store, of this process or of any, uses an entry; also where nobody can tell."""
        if not _BY_BYTE:
            with self.claimed(folder) as is_mine:
                return not is_mine
        try:
            found = _fcntl.fcntl(self._opened(), _fcntl.F_OFD_GETLK, _byte(_WRITE, entry_name(folder)))
        except FileNotFoundError:  # nobody has used anything here
            return False
        except OSError:
            return True
        return bool(struct.unpack_from("h", found)[0] != _NONE)

    def _lock(self, kind: int, name: str) -> bool:
        """Take or leave a lock on an entry; False where another has it."""
        if _fcntl is None:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        file = self._opened()
        try:
            if _BY_BYTE:
                _fcntl.fcntl(file, _fcntl.F_OFD_SETLK, _byte(kind, name))
            else:
                whole = {_READ: _fcntl.LOCK_SH, _WRITE: _fcntl.LOCK_EX, _NONE: _fcntl.LOCK_UN}
                _fcntl.flock(file, whole[kind] | _fcntl.LOCK_NB)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return False
            raise
        return True

    def _opened(self) -> int:
        if self._file is None:
            try:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            except OSError:
                # enough to use entries, too little to remove any
                self._file = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW)
            self._closing = weakref.finalize(self, _close, self._file)
        return self._file


def entry_name(folder: Path) -> str:
    """What locks, drafts and graves of an entry are called by: its kind and its key."""
    return f"{folder.parent.name}-{folder.name}"


def _close(file: int) -> None:
    with contextlib.suppress(OSError):  # what was held is let go of, even so
        os.close(file)


def _byte(kind: int, name: str) -> bytes:
    """The system's ``struct flock`` for the byte of an entry."""
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])
    return struct.pack("hhqqi0q", kind, os.SEEK_SET, place, 1, 0)

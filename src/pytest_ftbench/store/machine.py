"""Who may compute on this machine: many at a time, or one alone, who measures how long something takes.

On two cores, a neighbour at work doubles the median of a timing. So whoever trains or answers holds the machine's lock
with others, and gives way between two steps; whoever times holds it alone. It is the operating system's lock on one
file per user and machine, whatever cache a run uses: a dead process holds none. Nobody waits for an entry of the store
while holding it, or two processes could wait for each other.
"""

import contextlib
import os
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal

from filelock import ReadWriteLock, Timeout

_SECONDS_BETWEEN_TURNS = 0.2
_SECONDS_UNINTERRUPTIBLE = 1.0  # a wait inside SQLite hears no Ctrl-C
_SECONDS_OF_PATIENCE = 10.0

_Mode = Literal["read", "write"]


class MachineLock:
    """A process's part in the machine's lock; ``say`` receives a line where it has to wait.

    It waits within ``waiting()``.
    """

    def __init__(
        self,
        say: Callable[[str], None] = print,
        folder: Path | None = None,
        waiting: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.say = say
        self.waiting = waiting
        self._held: _Mode | None = None
        self._since = 0.0
        self._lock = self._open(folder or _user_folder())

    @property
    def works(self) -> bool:
        """Whether there is such a lock here; without one, nobody knows what else is computed during a timing."""
        return self._lock is not None

    def shared(self) -> AbstractContextManager[None]:
        """Compute beside others in the block."""
        return self._hold("read")

    def alone(self) -> AbstractContextManager[None]:
        """Compute in the block while no other process does that asks here."""
        return self._hold("write")

    def give_way(self, pause: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
        """Let whoever waits to be alone go first; called between two steps of long work, it costs next to nothing.

        The wait happens within ``pause()``, so that a clock can be stopped for it.
        """
        if self._held != "read" or time.monotonic() - self._since < _SECONDS_BETWEEN_TURNS:
            return
        with pause():
            self._release()
            self._acquire("read")

    @contextlib.contextmanager
    def _hold(self, mode: _Mode) -> Iterator[None]:
        try:
            self._acquire(mode)
            yield
        finally:
            self._release()

    def _acquire(self, mode: _Mode) -> None:
        """Wait for the lock; who wants to be alone keeps newcomers out meanwhile. A wait can be interrupted."""
        began, told = time.monotonic(), False
        while self._lock is not None:
            acquire = self._lock.acquire_read if mode == "read" else self._lock.acquire_write
            try:
                with self.waiting():
                    acquire(timeout=_SECONDS_UNINTERRUPTIBLE)
                    self._held = mode
                break
            except Timeout:
                if not told and time.monotonic() - began >= _SECONDS_OF_PATIENCE:
                    self.say("waits while another process " + ("is timed" if mode == "read" else "computes"))
                    told = True
        self._since = time.monotonic()

    def _release(self) -> None:
        if self._lock is not None and self._held is not None:
            self._held = None
            self._lock.release()

    def _open(self, folder: Path) -> ReadWriteLock | None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_own(folder)
            return ReadWriteLock(folder / "machine.db")
        except (OSError, ValueError, RuntimeError, sqlite3.Error) as error:
            self.say(f"{folder}: no lock can be kept there ({error}); timings may be disturbed by other processes")
            return None


def _user_folder() -> Path:
    """A folder of this user's on this machine, the same whatever a run takes for its temporary files."""
    common = Path("/tmp")  # what TMPDIR names may be one run's own, or on a network
    place = common if os.access(common, os.W_OK) else Path(tempfile.gettempdir())
    return place / f"pytest-ftbench-{os.getuid()}"


def _check_own(folder: Path) -> None:
    """Refuse a folder that others may have put there, or may put something into."""
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise OSError("it is not this user's alone")

"""The time that a cell may take: what it does then is ended or, where it can't be, its process. PYTEST_DONT_REWRITE.

When the time is up, ``TimeUpError`` is raised in the thread that runs the cell, between two steps of Python. What the
next cell would miss is done as a whole first: an import, the beginning and the end of a ``with`` block, a lock's own
code. A call of C that never comes back hears of no exception: after a while somebody else is asked to end all.
"""

import ctypes
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pytest_ftbench.grid import TimeUpError

GRACE = 10.0
"""So many seconds after its time a cell may take to be ended."""

GRACE_OF_IMPORTS = 120.0
"""And so many where it imports a library, which a cold disk makes long and which is not torn apart."""

_SECONDS_BETWEEN_TRIES = 0.05
_SECONDS_BETWEEN_LOOKS = 1.0
# nobody else's: pytest-timeout takes SIGALRM. By default it is ignored, so that one that comes late does no harm
_SIGNAL = getattr(signal, "SIGURG", None)
_WHOLE = frozenset({"__enter__", "__exit__", "__del__"})
_IMPORTS = "<frozen importlib"
_DEBUGGERS = frozenset({"bdb", "pdb", "pydevd"})
# a lock's own code, and what carries a line to the terminal or to another process
_WHOLE_PACKAGES = frozenset({"filelock", "_pytest", "pluggy", "xdist", "execnet"})
# what calls a cell, and is none of its business
_CALLERS = frozenset({"_pytest.fixtures", "_pytest.python", "_pytest.runner"})


class Clock:
    """A cell's time, in ``seconds``: it runs, but for pauses."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends = time.monotonic() + seconds
        self._paused_at: float | None = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let it stand still in the block."""
        if self._paused_at is not None:
            yield
            return
        self._paused_at = time.monotonic()
        try:
            yield
        finally:
            # in this order, for the watch looks at it from another thread
            self._ends += time.monotonic() - self._paused_at
            self._paused_at = None

    def left(self) -> float:
        """How many seconds are left; infinitely many in a pause."""
        return float("inf") if self._paused_at is not None else self._ends - time.monotonic()

    def overslept(self, seconds: float) -> None:
        """Leave out seconds in which the whole process stood still, as after Ctrl-Z."""
        self._ends += seconds


class TimeLimit:
    """A block that ends when its clock has run down, with ``TimeUpError``; one that doesn't is left to ``give_up``.

    That is called in another thread, and is not to return.
    """

    def __init__(self, clock: Clock, give_up: Callable[[], object]) -> None:
        self.clock = clock
        self.give_up = give_up
        self.is_up = False
        """Whether it was raised; whatever comes out of the block then comes of that."""
        self._raised_at = 0.0
        self._done = threading.Event()
        self._before: Any = None
        self._thread = threading.get_ident()
        in_main = threading.current_thread() is threading.main_thread()
        self._by_signal = in_main and _SIGNAL is not None and hasattr(signal, "pthread_kill")
        self._watch = threading.Thread(target=self._run, name="ftbench-timeout", daemon=True)

    def __enter__(self) -> "TimeLimit":
        if self._by_signal and _SIGNAL is not None:
            self._before = signal.signal(_SIGNAL, self._on_signal)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        # where all is being ended, this waits for the end
        self._watch.join()
        if self._by_signal and _SIGNAL is not None:
            signal.signal(_SIGNAL, self._before)

    def _run(self) -> None:
        """Wait for the time to be up, then for the block to end."""
        while (left := self.clock.left()) > 0:
            asked, began, used = min(left, _SECONDS_BETWEEN_LOOKS), time.monotonic(), time.process_time()
            if self._done.wait(asked):
                return
            late = time.monotonic() - began - asked
            if late > _SECONDS_BETWEEN_LOOKS and not _worked(used, late):
                self.clock.overslept(late)
        last, used = time.monotonic(), time.process_time()
        patience = 0.0
        while not self._done.wait(_SECONDS_BETWEEN_TRIES):
            now = time.monotonic()
            # what stands still for long, as after Ctrl-Z, is not what is waited for
            late = now - last
            patience += late if _worked(used, late) else min(late, _SECONDS_BETWEEN_LOOKS)
            last, used = now, time.process_time()
            frame = sys._current_frames().get(self._thread)
            if patience > _patience_with(frame):
                self.give_up()
                return
            # once more after half of the time, for some library may have thought that it knew better
            if not self.is_up or now - self._raised_at > GRACE / 2:
                self._raise(frame)

    def _raise(self, frame: FrameType | None) -> None:
        if self._by_signal and _SIGNAL is not None:
            signal.pthread_kill(self._thread, _SIGNAL)
        elif not is_amid_a_whole(frame):
            self._take_note()
            # a class is all that can be raised so: one that knows its words
            error = type("TimeUpError", (TimeUpError,), {"__str__": lambda _: self.words})
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(error))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._done.is_set() or self.clock.left() > 0:
            if callable(self._before):
                self._before(number, frame)
        elif not is_amid_a_whole(frame):
            self._take_note()
            raise TimeUpError(self.words)

    def _take_note(self) -> None:
        self.is_up, self._raised_at = True, time.monotonic()

    @property
    def words(self) -> str:
        """What has happened, in words."""
        return f"it took longer than {self.clock.seconds:g} s"


def _worked(used: float, seconds: float) -> bool:
    """Whether the process computed for most of some seconds, having ``used`` so much of a processor before them.

    A call of C that holds the interpreter's lock lets no other thread look at the clock; its process doesn't sleep.
    """
    return time.process_time() - used > seconds / 2


def is_amid_a_whole(frame: FrameType | None) -> bool:
    """Whether a thread at a frame does what is to be done as a whole, or is looked at in a debugger."""
    return any(
        code.co_name in _WHOLE or code.co_filename.startswith(_IMPORTS) or package in _WHOLE_PACKAGES | _DEBUGGERS
        for code, package in _stack(frame)
    )


def _patience_with(frame: FrameType | None) -> float:
    """How long a thread at a frame may take to be ended."""
    if in_debugger(frame):
        return float("inf")
    return GRACE_OF_IMPORTS if any(code.co_filename.startswith(_IMPORTS) for code, _ in _stack(frame)) else GRACE


def in_debugger(frame: FrameType | None) -> bool:
    """Whether a thread at a frame is looked at in a debugger."""
    return any(package in _DEBUGGERS for _, package in _stack(frame))


def _stack(frame: FrameType | None) -> Iterator[tuple[Any, str]]:
    """The code of a frame and of its callers, as far as they belong to a cell, and the package it is of."""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module in _CALLERS:
            return
        yield frame.f_code, module.partition(".")[0]
        frame = frame.f_back

"""Ctrl-C: a run stops at once, and what it has measured is reported. PYTEST_DONT_REWRITE.

Python raises KeyboardInterrupt between two of its own steps. Where a cell is amid a call of C that takes long, the
session is finished from another thread, which hears of the signal at once; pressed again, that ends too.
"""

import atexit
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pytest

from pytest_ftbench.endings import end_session
from pytest_ftbench.plugin import is_worker
from pytest_ftbench.timeouts import in_debugger

PATIENCE = 1.0
"""So many seconds a cell may take to stop."""

_BRIEF = "ftbench-brief"
_WATCH: pytest.StashKey["InterruptWatch | None"] = pytest.StashKey()


class InterruptWatch:
    """Hears of Ctrl-C in a thread of its own, and ends the session where a cell doesn't stop."""

    def __init__(self, config: pytest.Config) -> None:
        self._session: pytest.Session | None = None
        self._doing: Callable[[], str] = str
        self._left = threading.Event()
        self._ends = False
        self._reads, self._writes = socket.socketpair()
        self._writes.setblocking(False)
        self._before = signal.set_wakeup_fd(self._writes.fileno(), warn_on_full_buffer=False)
        self._ear = threading.Thread(target=self._listen, name="ftbench-interrupts", daemon=True)
        self._ear.start()
        config.add_cleanup(self.close)

    @contextmanager
    def over(self, session: pytest.Session, doing: Callable[[], str]) -> Iterator[None]:
        """Watch over a block that belongs to a session; ``doing`` says what it does."""
        self._doing, self._left = doing, threading.Event()
        self._session = session
        try:
            yield
        finally:
            self._session = None
            self._left.set()
            if self._ends:  # it comes back after all, and must not report what another thread reports
                threading.Event().wait()

    def close(self) -> None:
        """Hear no more."""
        signal.set_wakeup_fd(self._before)
        # a forked child may hold the other end for longer
        self._writes.shutdown(socket.SHUT_WR)
        self._writes.close()
        self._ear.join()
        self._reads.close()

    def _listen(self) -> None:
        while said := self._reads.recv(64):
            # who has a handler of their own knows what the key means
            if signal.SIGINT not in said or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
                continue
            if self._ends:
                os._exit(pytest.ExitCode.INTERRUPTED)
            if (session := self._session) is not None:
                threading.Thread(target=self._wait, args=(session, self._left), daemon=True).start()

    def _wait(self, session: pytest.Session, left: threading.Event) -> None:
        """End a session whose cell isn't left soon."""
        main = threading.main_thread().ident or 0
        if left.wait(PATIENCE) or in_debugger(sys._current_frames().get(main)) or self._ends:
            return
        self._ends = True
        self._end(session)

    def _end(self, session: pytest.Session) -> NoReturn:
        def tell() -> None:
            try:
                raise KeyboardInterrupt(f"{self._doing()}, which doesn't stop; the process is ended")
            except KeyboardInterrupt:
                excinfo = pytest.ExceptionInfo.from_current()
            session.config.hook.pytest_keyboard_interrupt(excinfo=excinfo)

        end_session(session, pytest.ExitCode.INTERRUPTED, tell)


class Brief:
    """Lets an interrupted run end at once.

    pytest renders every frame, and whatever their functions were given, to show one line, unless all is asked for. And
    Python takes apart what is imported. With torch among that, and others at work on the machine, each takes seconds.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self._is_interrupted = False
        config.add_cleanup(self._leave)

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Keep the innermost frame."""
        if not issubclass(excinfo.type, KeyboardInterrupt):  # pytest.exit comes by here too
            return
        if not self.config.option.fulltrace and len(excinfo.traceback) > 1:
            excinfo.traceback = type(excinfo.traceback)(excinfo.traceback[-1:])
        self._is_interrupted = True

    def _leave(self) -> None:
        """End the process of an interrupted run, once all is said and done, without taking its libraries apart."""
        if self._is_interrupted and _is_the_program() and not is_worker(self.config):
            self.config._cleanup_stack.close()  # what others have left to do
            atexit._run_exitfuncs()
            for file in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    file.flush()
            session = self.config.pluginmanager.get_plugin("session")
            os._exit(int(getattr(session, "exitstatus", pytest.ExitCode.INTERRUPTED)))


@contextmanager
def interruptible(session: pytest.Session, doing: Callable[[], str]) -> Iterator[None]:
    """Let Ctrl-C end the block, be it amid a call of C, and say what it was ``doing``."""
    watch = _watch_of(session.config)
    if not session.config.pluginmanager.has_plugin(_BRIEF):
        session.config.pluginmanager.register(Brief(session.config), _BRIEF)
    try:
        if watch is None:
            yield
        else:
            with watch.over(session, doing):
                yield
    except KeyboardInterrupt:
        if session.config.option.fulltrace:
            raise
        raise KeyboardInterrupt(doing()) from None


def _watch_of(config: pytest.Config) -> InterruptWatch | None:
    """The session's watch; None where another process ends this one, or somebody else is told of signals."""
    if is_worker(config) or threading.current_thread() is not threading.main_thread():
        return None
    if _WATCH not in config.stash:
        taken = signal.set_wakeup_fd(-1)
        if taken != -1:
            signal.set_wakeup_fd(taken)
        config.stash[_WATCH] = InterruptWatch(config) if taken == -1 and os.name == "posix" else None
    return config.stash[_WATCH]


def _is_the_program() -> bool:
    """Whether this process was started to run pytest, and does nothing after it."""
    main = sys.modules.get("__main__")
    name = getattr(getattr(main, "__spec__", None), "name", None) or Path(getattr(main, "__file__", None) or "").name
    return name in ("pytest.__main__", "pytest", "py.test") and threading.current_thread() is threading.main_thread()


@contextmanager
def as_a_whole() -> Iterator[None]:
    """Do what is in the block first where Ctrl-C comes amid it."""
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    came: list[tuple[int, FrameType | None]] = []

    def remember(*signal_and_frame: Any) -> None:
        came.append(signal_and_frame)

    signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt

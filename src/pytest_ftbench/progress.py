"""Progress in whole lines, from whichever process runs a cell to the terminal of the one that reports it.

PYTEST_DONT_REWRITE. A worker's output is seen by nobody. What it has to say travels as a report of a phase of its own,
``progress``, which pytest counts as little as a passed setup.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ftbench.grid import printable
from pytest_ftbench.plugin import is_worker

if TYPE_CHECKING:
    from pytest_ftbench.timeouts import Clock

SECONDS_OF_SILENCE = 30.0
"""After so long without a line, it is said what is being done and for how long."""

PHASE = "progress"


class Progress:
    """What the cells that this process runs say of themselves, one at a time."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.clock: Clock | None = None
        self._item: pytest.Item | None = None
        self._last = ""
        self._began = self._spoke = 0.0
        self._lock = threading.Lock()

    def say(self, line: str) -> None:
        """Print a line at the terminal, now."""
        with self._lock:
            self._last = line
            self._began = self._spoke = time.monotonic()
            self._deliver(line)

    def now(self, doing: str) -> None:
        """Take note of what is done now, to be said where it takes long."""
        with self._lock:
            self._last, self._began = doing, time.monotonic()

    @property
    def doing(self) -> str:
        """What is done now, or was last."""
        return self._last

    def waiting(self) -> AbstractContextManager[None]:
        """Wait for others in the block: that is not the cell's own time."""
        return nullcontext() if self.clock is None else self.clock.paused()

    @contextmanager
    def of(self, item: pytest.Item, cell: str) -> Iterator[None]:
        """Speak for an item in the block, and let no long silence arise."""
        self._item, self._spoke = item, time.monotonic()
        self.now(f"{cell}: starting up")
        done = threading.Event()
        watch = threading.Thread(target=self._watch, args=(done,), daemon=True)
        watch.start()
        try:
            yield
        finally:
            done.set()
            watch.join()
            self._item = None

    def _watch(self, done: threading.Event) -> None:
        """Break silences from a thread, for what takes so long may be one call of a library."""
        while not done.wait(max(0.01, self._spoke + SECONDS_OF_SILENCE - time.monotonic())):
            with self._lock:
                now = time.monotonic()
                if now - self._spoke >= SECONDS_OF_SILENCE and not done.is_set():
                    self._spoke = now
                    self._deliver(f"{self._last}, for {now - self._began:.0f} s so far")

    def _deliver(self, line: str) -> None:
        if not is_worker(self.config):
            show(self.config, line)
        elif self._item is not None:
            send(self._item, {"line": line})


def send(item: pytest.Item, note: dict[str, Any]) -> None:
    """Send a note on a running item, of built-in values only, to the process that reports."""
    report = pytest.TestReport(item.nodeid, item.location, {}, "passed", None, PHASE)  # type: ignore[arg-type]
    vars(report)["ftbench_note"] = note
    item.config.hook.pytest_runtest_logreport(report=report)


def inert(line: str) -> str:
    """A line that GitHub Actions, where it reads along, takes for words: it obeys leading colons and ##[."""
    if not os.environ.get("GITHUB_ACTIONS"):
        return line
    if line.lstrip().startswith("::"):
        line = line.replace("::", ": :", 1)
    return line.replace("##[", "## [")


def show(config: pytest.Config, line: str, worker: str | None = None) -> None:
    """Print a line, and which worker says it, amid pytest's own output."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    if reporter is None:
        return
    # cells run while pytest captures output, and what is captured shows up only where a test fails
    with capture.global_and_fixture_disabled() if capture is not None else nullcontext():
        reporter.ensure_newline()
        line = inert(printable(line))  # it may name files, and tell what libraries say
        reporter.write_line(f"ftbench: {line}" if worker is None else f"ftbench [{worker}]: {line}")
        reporter._tw.flush()

"""How a run with xdist's workers ends early: by Ctrl-C, or a worker by a cell that hangs. PYTEST_DONT_REWRITE.

Workers are in the terminal's process group, so Ctrl-C reaches all at once. xdist then waits ten seconds for them, and
forgets what they had told it and it had not looked at yet.
"""

import contextlib
import importlib
import json
import shutil
import tempfile
import threading
import time
from pathlib import Path
from queue import Empty
from typing import Any

import pytest

from pytest_ftbench.interrupts import Brief
from pytest_ftbench.progress import show

FOLDER = "ftbench_hangs"
"""Under this key a worker is told where it may leave word of what it ends for."""

_SECONDS_TO_END = 0.7
_SECONDS_AT_LEAST = 0.2
_SECONDS_TO_HEAR = 0.3
# analysis imports the last two where it needs them
_REPORTING = (
    *(f"pytest_ftbench.{name}" for name in ("terminal", "report", "analysis")),
    "scipy.stats",
    "scipy.optimize",
)
_LAST_WORDS = ("workerfinished", "errordown", "internal_error")


class Endings(Brief):
    """Keeps what workers have told when the run is interrupted, and what they leave when they end in a hang.

    It keeps out of runs in which no cell has begun: others' fixtures may need their time to be torn down.
    """

    def __init__(self, config: pytest.Config) -> None:
        super().__init__(config)
        self._is_ready = False
        self._interrupted_at: float | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="pytest-ftbench-"))
        config.add_cleanup(lambda: shutil.rmtree(self._folder, ignore_errors=True))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker where it may leave word."""
        node.workerinput[FOLDER] = str(self._folder)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, report: Any) -> None:
        """Let a worker that ended itself for a cell that hung say so."""
        left = self._folder / str(report.node.gateway.id)
        if left.exists():
            word = json.loads(left.read_text(encoding="utf-8"))
            for line in word["stacks"].splitlines():
                show(self.config, line, left.name)
            report.longrepr = word["error"]
            report.ftbench_failure = word["failure"]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Import what reports while workers compute: at the end, nobody should have to wait for that."""
        if not self._is_ready and hasattr(report, "ftbench_note"):
            self._is_ready = True
            threading.Thread(target=_import_reports, daemon=True).start()

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Hear what workers had to tell."""
        if not self._is_ready:
            return
        self._interrupted_at = time.monotonic()
        super().pytest_keyboard_interrupt(excinfo)
        if (session := self._session) is not None:
            self._hear(session.queue, len(session._active_nodes))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Wait a moment for the workers' end after an interrupt, instead of long."""
        session = self._session
        if session is not None and session.nodemanager is not None and self._interrupted_at is not None:
            left = self._interrupted_at + _SECONDS_TO_END - time.monotonic()
            # an entry of the store is whole or not there at all: whoever builds one may be killed
            session.nodemanager.EXIT_TIMEOUT = max(_SECONDS_AT_LEAST, left)

    @property
    def _session(self) -> Any:
        return self.config.pluginmanager.get_plugin("dsession")

    def _hear(self, queue: Any, workers: int) -> None:
        """Take the reports that workers sent before their last words."""
        ends = time.monotonic() + _SECONDS_TO_HEAR
        while workers > 0:
            try:
                name, said = queue.get(timeout=max(0.0, ends - time.monotonic()))
            except Empty:
                return
            workers -= name in _LAST_WORDS
            if name == "testreport":
                self.config.hook.pytest_runtest_logreport(report=said["rep"])


def _import_reports() -> None:
    """Import what the end of a run needs; beside others, but not amid somebody's timing."""
    from pytest_ftbench.store import MachineLock

    with MachineLock(lambda _: None).shared():
        for name in _REPORTING:
            with contextlib.suppress(ImportError):  # who needs it will say so
                importlib.import_module(name)

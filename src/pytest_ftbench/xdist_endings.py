"""How a run with xdist's workers ends early: by Ctrl-C, or a worker by a cell that hangs. PYTEST_DONT_REWRITE.

Workers are in the terminal's process group, so Ctrl-C reaches all at once. xdist then waits ten seconds for them, and
forgets what they had told it and it had not looked at yet.
"""

import json
import shutil
import tempfile
import time
from pathlib import Path
from queue import Empty
from typing import Any

import pytest

from pytest_ftbench.progress import show

FOLDER = "ftbench_hangs"
"""Under this key a worker is told where it may leave word of what it ends for."""

_SECONDS_TO_END = 0.8
_SECONDS_TO_HEAR = 0.3
_LAST_WORDS = ("workerfinished", "errordown", "internal_error")


class Endings:
    """Keeps what workers have told when the run is interrupted, and what they leave when they end in a hang."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
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

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:
        """Hear what workers had to tell, and wait a moment for their end instead of long."""
        session: Any = self.config.pluginmanager.get_plugin("dsession")
        if session is None or session.nodemanager is None:
            return
        # an entry of the store is whole or not there at all: whoever builds one may be killed
        session.nodemanager.EXIT_TIMEOUT = _SECONDS_TO_END
        self._hear(session.queue, len(session._active_nodes))

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

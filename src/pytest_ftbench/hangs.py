"""A cell that hangs and can't be ended: what is said of it before its process is. PYTEST_DONT_REWRITE."""

import json
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pytest_ftbench.endings import end_session, stacks
from pytest_ftbench.fixtures import has_cell
from pytest_ftbench.grid import UserError
from pytest_ftbench.plugin import is_worker
from pytest_ftbench.progress import show
from pytest_ftbench.xdist_endings import FOLDER

_CONTINUES = "what was measured is stored: run again to go on from there"


def end_hanging(item: pytest.Item, error: UserError) -> NoReturn:
    """End the process of an item that can't be ended otherwise, with the ``error`` as what became of it.

    A worker leaves word to the process that replaces it; alone, the session is finished.
    """
    if is_worker(item.config):
        try:
            _leave_word(item.config, error)
        finally:  # a disk may be full
            os._exit(pytest.ExitCode.TESTS_FAILED)
    told = stacks()

    def tell() -> None:
        for line in (*told.splitlines(), f"{error} It can't be ended, and so the run is; {_CONTINUES}."):
            show(item.config, line)
        report = pytest.TestReport(item.nodeid, item.location, {}, "failed", str(error), "setup")
        if has_cell(item):
            from pytest_ftbench.recorder import failed_payload

            vars(report)["ftbench"] = failed_payload(item, error)
        item.config.hook.pytest_runtest_logreport(report=report)

    end_session(item.session, pytest.ExitCode.TESTS_FAILED, tell)


def _leave_word(config: pytest.Config, error: UserError) -> None:
    given: dict[str, Any] = config.workerinput  # type: ignore[attr-defined]
    folder = Path(given.get(FOLDER, ""))
    if FOLDER in given and folder.is_dir():
        failure = {"class": error.failure, "advice": error.fix}
        word = {"error": str(error), "failure": failure, "stacks": stacks()}
        draft = folder / f".{given['workerid']}"
        draft.write_text(json.dumps(word), encoding="utf-8")
        draft.replace(folder / str(given["workerid"]))

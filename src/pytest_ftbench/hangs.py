"""A cell that hangs and can't be ended: what is said of it before its process is. PYTEST_DONT_REWRITE."""

import json
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pytest_ftbench.collection import SuiteRun
from pytest_ftbench.endings import end_session, stacks
from pytest_ftbench.fixtures import has_cell
from pytest_ftbench.grid import CheckpointKey, UserError
from pytest_ftbench.plugin import is_worker
from pytest_ftbench.progress import show
from pytest_ftbench.xdist_endings import FOLDER

_CONTINUES = "what was measured is stored: run again to go on from there"


def end_hanging(item: pytest.Item, run: SuiteRun, error: UserError) -> NoReturn:
    """End the process of an item that can't be ended otherwise, with the ``error`` as what became of it.

    A worker leaves word to the process that replaces it; alone, the session is finished.
    """
    if is_worker(item.config):
        _leave_word(item.config, run, error)
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


def hung_trainings(config: pytest.Config, suite: Path) -> dict[CheckpointKey, str]:
    """The trainings of a suite that have cost a worker of this run: whoever replaces it need not try them again."""
    found = {}
    for path in _folder(config).glob("gw*"):
        word = json.loads(path.read_text(encoding="utf-8"))
        if word["training"] is not None and word["suite"] == str(suite):
            found[CheckpointKey(*word["training"])] = f"it hung, and cost worker {path.name}"
    return found


def _leave_word(config: pytest.Config, run: SuiteRun, error: UserError) -> None:
    folder = _folder(config)
    if folder.is_dir():
        training = None if run.workbench is None else run.workbench.training
        word = {
            "error": str(error),
            "failure": {"class": error.failure, "advice": error.fix},
            "stacks": stacks(),
            "suite": str(run.suite.place),
            "training": training and list(training),
        }
        name = config.workerinput["workerid"]  # type: ignore[attr-defined]
        draft = folder / f".{name}"
        draft.write_text(json.dumps(word), encoding="utf-8")
        draft.replace(folder / name)


def _folder(config: pytest.Config) -> Path:
    """Where a worker leaves word; a folder that isn't there where none can be left."""
    given: dict[str, Any] = getattr(config, "workerinput", {})
    return Path(given.get(FOLDER, "/nowhere"))

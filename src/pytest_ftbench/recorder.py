"""Runs a cell in the process that executes its item, and puts the outcome on the item's report. PYTEST_DONT_REWRITE.

The report carries plain built-in values only: it may travel to another process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ftbench.cache_keeper import kept_open
from pytest_ftbench.collection import Entry, SuiteRun, entry_of, runtime_of
from pytest_ftbench.fixtures import has_cell, is_gate
from pytest_ftbench.grid import CellRecord, Failure, UserError, first_line, release
from pytest_ftbench.plugin import FOUND
from pytest_ftbench.progress import Progress, send
from pytest_ftbench.supervision import supervised
from pytest_ftbench.xdist_bridge import tell_groups, trail_of

if TYPE_CHECKING:
    from pytest_ftbench.ml.checkpoint import Checkpoint
    from pytest_ftbench.ml.workbench import Workbench

_RECORD: pytest.StashKey[CellRecord] = pytest.StashKey()
_SAID: pytest.StashKey[list[str]] = pytest.StashKey()
"""What is the matter with the rows of an item's cell."""

_FAILURE: pytest.StashKey[Failure] = pytest.StashKey()
"""Why an item's cell failed, where that was seen here."""

_PROGRESS: pytest.StashKey[Progress] = pytest.StashKey()
_REASON_LENGTH = 300


def announce(item: pytest.Item) -> None:
    """Tell the process that reports which cell is begun: of a worker that dies, nothing else would be known."""
    entry = entry_of(item)
    send(item, {"begun": _payload(entry, CellRecord.of(entry.cell, status="failed"))})


def tell_checkpoints(session: pytest.Session) -> None:
    """Tell the process that hands out items which of them are tested on one training, whatever it is quantized to.

    And what is the matter with their rows: it has a terminal, and can say it before hours are spent.
    """
    groups = {}
    for item in filter(has_cell, session.items):
        entry = entry_of(item)
        groups[item.nodeid] = f"{entry.run.suite.place}: {entry.cell.checkpoint_key._replace(quantization=None)}"
    found: list[str] = session.config.stash.setdefault(FOUND, [])
    tell_groups(session.config, groups, found, [item.nodeid for item in filter(is_gate, session.items)])


def open_checkpoint(item: pytest.Item, entry: Entry) -> "Checkpoint":
    """The checkpoint of an item's cell."""
    with _at_work(item, entry) as workbench:
        return workbench.checkpoint(entry.cell.checkpoint_key)


def measure(item: pytest.Item, entry: Entry) -> CellRecord:
    """The record of an item's cell, kept for its report."""
    with _at_work(item, entry) as workbench:
        record = workbench.measure(entry.cell)
        item.stash[_SAID] = workbench.hygiene.said(entry.cell, workbench.base(entry.cell.model))
    item.stash[_RECORD] = record
    return record


def measured(item: pytest.Item, entry: Entry) -> dict[str, Any]:
    """What is to be told of a cell that no item measures: its record, measured now for another item's sake."""
    said: list[str] = []
    try:
        with at_work(item, entry.run, entry.cell.id) as workbench:
            record = workbench.measure(entry.cell)
            said = workbench.hygiene.said(entry.cell, workbench.base(entry.cell.model))
    except Exception as error:  # a cell that fails is a record, here as where its own item runs
        why = Failure.of(error)
        record = CellRecord.of(entry.cell, status="failed", error=first_line(error), extra=why.as_extra())
        release(error)
    return _payload(entry, record, said)


def attach(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Put a cell's record on the report of the phase that settles it."""
    entry = entry_of(item)
    record = _outcome(item, call, report, entry)
    if record is None:
        return
    vars(report)["ftbench"] = _payload(entry, record, item.stash.get(_SAID, []))


def failed_payload(item: pytest.Item, error: UserError) -> dict[str, Any]:
    """What is told of an item's cell where that can't tell it itself any more."""
    entry, extra = entry_of(item), Failure.of(error).as_extra()
    return _payload(entry, CellRecord.of(entry.cell, status="failed", error=str(error), extra=extra))


def _payload(entry: Entry, record: CellRecord, said: list[str] | None = None) -> dict[str, Any]:
    """A record, where it belongs, and what was found on the way to it."""
    run, suite = entry.run, entry.run.suite
    payload = {
        "suite": suite.name,
        "place": str(suite.place),
        "checks": suite.checks.as_dict(),
        "questions": list(suite.questions),
        "gate": None if run.gate is None else run.gate.as_dict(),
        "index": entry.index,
        "record": _readable(entry, record).to_json(),
    }
    if run.workbench is not None and record.ok:
        payload["trivial"] = run.workbench.trivial(entry.cell.eval_task)
        payload["hygiene"] = said or []
        payload["machine"] = run.workbench.runtime.as_dict()
    return payload


def _readable(entry: Entry, record: CellRecord) -> CellRecord:
    """The record, or where a test has put into it what no record holds, one that says so: it costs no other cell."""
    try:
        CellRecord.from_json(record.to_json(), "result")
    except UserError as error:
        return CellRecord.of(entry.cell, status="failed", error=str(error))
    return record


def _outcome(
    item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport, entry: Entry
) -> CellRecord | None:
    record = item.stash.get(_RECORD, None)
    if record is None:
        # a test that doesn't ask for the result says nothing of it
        asked = "result" in getattr(item, "fixturenames", ())
        if not asked or report.passed:
            return None
        return CellRecord.of(entry.cell, status=report.outcome, error=_reason(call), extra=_failure(item, report))
    if call.when != "call":
        return None
    # measured, and its numbers stay; but the test that judges them has failed
    record.error = f"its test failed: {_reason(call)}" if report.failed else None
    return record


def _failure(item: pytest.Item, report: pytest.TestReport) -> dict[str, Any]:
    """What a failed record has of its class and the advice; JUnit's file gets the class as the case's property."""
    if not report.failed:
        return {}
    failure = item.stash.get(_FAILURE, Failure("error"))
    told = "ftbench_failure", failure.kind
    if told not in item.user_properties:
        item.user_properties.append(told)
    return failure.as_extra()


def _reason(call: pytest.CallInfo[None]) -> str | None:
    """Why a phase ended early: the first line of what was said; pytest shows the rest."""
    if call.excinfo is None:
        return None
    error = call.excinfo.value
    said = str(error) if isinstance(error, (pytest.fail.Exception, pytest.skip.Exception)) else call.excinfo.exconly()
    return next((line.strip() for line in said.splitlines() if line.strip()), type(error).__name__)[:_REASON_LENGTH]


@contextmanager
def _at_work(item: pytest.Item, entry: Entry) -> Iterator["Workbench"]:
    """The cell's workbench, its progress told; a user's mistake is the sentence it is, no traceback through here."""
    if (fault := entry.run.faults.get(entry.cell.id)) is not None:
        item.stash[_FAILURE] = Failure.of(fault)
        pytest.fail(str(fault), pytrace=False)
    said = None
    try:
        with at_work(item, entry.run, entry.cell.id) as workbench:
            yield workbench
    except Exception as error:
        item.stash[_FAILURE] = Failure.of(error)
        if not isinstance(error, UserError):
            raise
        said = str(error)
        # pytest keeps what failed for as long as the item, and the next one needs the memory
        release(error)
    if said is not None:
        raise pytest.fail.Exception(said, pytrace=False) from None


@contextmanager
def at_work(item: pytest.Item, run: SuiteRun, name: str) -> Iterator["Workbench"]:
    """A suite's workbench, whose progress is told as that of an item under a name."""
    progress = progress_of(item)
    with progress.of(item, name), supervised(item, run, name, progress):
        yield _workbench(item.config, run, progress)


def progress_of(item: pytest.Item) -> Progress:
    """What this process's items say of themselves."""
    return item.config.stash.setdefault(_PROGRESS, Progress(item.config))


def _workbench(config: pytest.Config, run: SuiteRun, progress: Progress) -> "Workbench":
    if run.workbench is None:
        from pytest_ftbench.ml.workbench import Workbench
        from pytest_ftbench.store import MachineLock, Store

        machine = MachineLock(progress.say, waiting=progress.waiting)
        with machine.shared():  # it imports torch, which a neighbour's timing would feel
            runtime = runtime_of(config, run.suite)
        store = kept_open(config, Store(run.settings.cache, progress.say, run.settings.cache_size, progress.waiting))
        given = progress.say, run.retimes, machine, progress.now, trail_of(config), run.rows
        run.workbench = Workbench(run.suite, store, runtime, *given)
        config.add_cleanup(run.workbench.close)
    return run.workbench

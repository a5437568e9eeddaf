"""The records of a run: each suite is compared with its own part of a stored one, and no failure is forgotten."""

from types import SimpleNamespace

import pytest

from pytest_ftbench.benchmark_bridge import Baseline
from pytest_ftbench.grid import Cell, CellRecord
from pytest_ftbench.ledger import Ledger
from pytest_ftbench.suite_records import SuiteRecords, joined

CELLS = [Cell("nano", "base", task) for task in ("arc", "squad")]


def record(cell, tokens, **more):
    return CellRecord.of(cell, n=2, output_tokens={"mean": tokens}, **more)


def items(folder):
    return [f"{folder}/test_cells.py::test_cell[{cell.id}]" for cell in CELLS]


@pytest.fixture
def ledger():
    """The records of two suites whose cells have the same ids, 4 tokens in one and 6 in the other."""
    config = SimpleNamespace(getoption=lambda _: None)
    suites = [
        SuiteRecords(
            folder,
            records={index: record(cell, tokens) for index, cell in enumerate(CELLS)},
            nodeids=dict(enumerate(items(folder))),
        )
        for folder, tokens in (("a", 4.0), ("b", 6.0))
    ]
    return Ledger(config, {suite.name: suite for suite in suites})


def test_suites_with_cells_of_one_name_are_each_compared_with_their_own(ledger):
    then = {
        nodeid: record(cell, tokens)
        for folder, tokens in (("a", 5.0), ("b", 6.0))
        for nodeid, cell in zip(items(folder), CELLS, strict=True)
    }
    ledger._compare(Baseline("stored", then), list(ledger.suites.values()), [])
    changes = [
        [change.deltas["tokens"].change for change in comparison.changes] for _, comparison in ledger.comparisons
    ]
    assert changes == [[-1.0, -1.0], [0.0, 0.0]]


def test_what_no_suite_of_this_run_has_is_named_once(ledger):
    then = {"c/test_cells.py::test_cell[nano-lora-r2-arc-to-arc]": record(Cell("nano", "lora", "arc", "arc", 2), 5.0)}
    ledger._compare(Baseline("stored", then), list(ledger.suites.values()), [])
    assert [comparison.absent_now for _, comparison in ledger.comparisons] == [("nano-lora-r2-arc-to-arc",), ()]


@pytest.mark.parametrize("order", [1, -1])
def test_a_cell_that_was_measured_and_then_lost_keeps_its_numbers_and_says_so(order):
    both = [record(CELLS[0], 4.0), record(CELLS[0], 4.0, status="failed", error="worker 'gw0' crashed")][::order]
    kept = joined(*both)
    assert kept.ok
    assert kept.error == "worker 'gw0' crashed"


def test_a_later_skip_is_no_failure():
    kept = joined(record(CELLS[0], 4.0), record(CELLS[0], 4.0, status="skipped", error="not today"))
    assert kept.ok
    assert kept.error is None

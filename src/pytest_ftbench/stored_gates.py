"""The gates of stored results: items that judge what a file holds, where nothing is run. PYTEST_DONT_REWRITE."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ftbench.gate_items import GateItem
from pytest_ftbench.gate_settings import baseline_records, usual_gate
from pytest_ftbench.grid import Cell, CellRecord, Gate, Results
from pytest_ftbench.ledger import ledger_of

if TYPE_CHECKING:
    from pytest_ftbench.analysis.gate_verdict import Verdict


class StoredFile(pytest.File):
    """The file of ``--ftbench-from``, as the parent of its gate items."""

    def collect(self) -> "list[GateItem]":
        """The gate items of its records."""
        config, results = self.config, ledger_of(self.config).stored
        assert results is not None
        gate = _gate(config, results)
        if gate is None:
            return []
        keeper = StoredKeeper(results, gate, self.path, config)
        return [GateItem.of(self, cells, keeper) for cells in _ways(results.cells, gate).values()]


class StoredKeeper:
    """The verdicts on stored records; none is measured again.

    Where no baseline is named they are those that the file holds, for it was judged against one then.
    """

    def __init__(self, results: Results, gate: Gate, path: Path, config: pytest.Config) -> None:
        self.results = results
        self.gate = gate
        self.path = path
        self.config = config
        self._gone: list[str] = []
        self._verdicts: list[Verdict] | None = None

    def judge(self, item: GateItem) -> "list[Verdict]":
        """The verdicts on an item's way."""
        if self._verdicts is None:
            then = baseline_records(self.config, self.gate)
            self._verdicts = self._found() if then is None else []
            self._gone = _texts(self.results.extra.get("gates_gone"))
            if not self._verdicts:
                from pytest_ftbench.analysis.gates import gone, judge

                self._gone = gone(then, set(_ways(self.results.cells, self.gate)), self.gate)
                self._verdicts = judge(self.results.cells, then, self.gate, self.results.trivial)
        return [verdict for verdict in self._verdicts if item.is_of(verdict)]

    def _found(self) -> "list[Verdict]":
        """The verdicts that the file holds, none where one of them makes no sense."""
        from pytest_ftbench.report.verdicts import read_verdicts

        found, bad = read_verdicts(self.results.extra.get("gates"))
        return [] if bad else found

    def payload(self) -> dict[str, Any]:
        """Where the verdicts belong."""
        gate = self.gate.as_dict()
        return {
            "suite": self.results.suite,
            "place": str(self.path),
            "gate": gate,
            "cells": [],
            "gone": self._gone,
        }


def collect(session: pytest.Session) -> None:
    """Collect the gates of the stored results that are to be rendered, as pytest collects the tests of a file.

    Raises pytest's usage error where the file is no results, or a file to compare with is none.
    """
    config = session.config
    path = config.invocation_params.dir / config.getoption("ftbench_from")
    ledger_of(config).load(path)
    inside = path.is_relative_to(config.rootpath)
    nodeid = (path.relative_to(config.rootpath) if inside else path).as_posix()
    file = StoredFile.from_parent(session, path=path, nodeid=nodeid)
    # as pytest does where it collects, so that -k, -m and --lf choose among them, and the terminal counts them
    report = config.hook.pytest_make_collect_report(collector=file)
    session.items = list(report.result)
    if session.items:
        config.hook.pytest_collectreport(report=report)
        config.hook.pytest_collection_modifyitems(session=session, config=config, items=session.items)
        config.hook.pytest_collection_finish(session=session)
    session.testscollected = len(session.items)


def _gate(config: pytest.Config, results: Results) -> Gate | None:
    """The gate that stored results were judged by, else the usual one where a baseline is named."""
    if config.getoption("ftbench_gate") == "off":
        return None
    return Gate.from_json(results.provenance.get("gate")) or usual_gate(config)


def _texts(value: object) -> list[str]:
    """The texts in a list; none where it isn't one."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _ways(records: Sequence[CellRecord], gate: Gate) -> dict[str, dict[int, Cell]]:
    """The cells that a rule is for, by way and by their places in the file."""
    ways: dict[str, dict[int, Cell]] = {}
    for index, cell in enumerate(_cells(records)):
        if gate.rules_for(cell.way, cell.train_task, cell.eval_task):
            ways.setdefault(cell.way, {})[index] = cell
    return ways


def _cells(records: Sequence[CellRecord]) -> Iterator[Cell]:
    """The cells of records, by what they say of themselves."""
    for record in records:
        yield Cell(record.model, record.method, record.eval_task, record.train_task, record.rank, record.quantization)

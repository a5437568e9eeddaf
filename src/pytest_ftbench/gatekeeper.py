"""Judges a suite where its gate items run: hears the records, decides, measures again. PYTEST_DONT_REWRITE.

Verdicts are over all cells of the run, for chance is counted over them together: each process that has a gate item
waits for all, and decides the same.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ftbench.collection import Entry, SuiteRun, measured_by
from pytest_ftbench.fixtures import is_gate
from pytest_ftbench.gate_items import GateItem
from pytest_ftbench.gate_reruns import Reruns, note_company
from pytest_ftbench.gate_settings import baseline_records
from pytest_ftbench.grid import Cell, CellRecord, UserError
from pytest_ftbench.plugin import is_worker
from pytest_ftbench.recorder import measured
from pytest_ftbench.suite_records import SuiteRecords, test_of
from pytest_ftbench.xdist_bridge import inbox_of

if TYPE_CHECKING:
    from pytest_ftbench.analysis.gate_verdict import Verdict

_LOST = "it wasn't measured in this run"


class Gatekeeper:
    """The verdicts on one suite, decided when the first of its gate items runs."""

    def __init__(self, run: SuiteRun) -> None:
        self.run = run
        self._heard = SuiteRecords(run.suite.name)
        self._measured: list[dict[str, Any]] = []
        self._now: list[CellRecord] = []
        self._then: list[CellRecord] | None = None
        self._verdicts: list[Verdict] | None = None

    def judge(self, item: GateItem) -> "list[Verdict]":
        """The verdicts on an item's way, those that fail after they were measured again."""
        try:
            if self._verdicts is None:
                self._verdicts = self._decided(item)
            assert self.run.gate is not None
            mine = [verdict for verdict in self._verdicts if verdict.cell == item.ftbench_way]
            return Reruns(self.run, item, self._now, self._then, self._heard.trivial).judged_again(mine)
        except UserError as error:
            pytest.fail(str(error), pytrace=False)

    def payload(self) -> dict[str, Any]:
        """Where verdicts belong, and the records that no cell's item made."""
        suite, gate = self.run.suite, self.run.gate
        return {
            "suite": suite.name,
            "place": str(suite.place),
            "gate": None if gate is None else gate.as_dict(),
            "cells": self._measured,
        }

    def _decided(self, item: GateItem) -> "list[Verdict]":
        from pytest_ftbench.analysis.gates import judge

        gate = self.run.gate
        assert gate is not None
        wanted = self._wanted(item.session)
        self._hear(item, wanted)
        self._now = [record for _, record in sorted(self._heard.records.items())]
        note_company(self._now, self.run.suite.checks)
        self._then = baseline_records(item.config, gate, self._tests_of_others(item.session))
        return judge(self._now, self._then, gate, self._heard.trivial)

    def _wanted(self, session: pytest.Session) -> dict[int, tuple[Cell, bool]]:
        """The cells to judge, by their places in the suite, and whether an item of this session measures them.

        Where none measures a way whose gate was chosen, all its seeds are: they are in the cache, or made now.
        """
        entries = (measured_by(item) for item in session.items)
        found = {entry.index: (entry.cell, True) for entry in entries if entry is not None and entry.run is self.run}
        ways = {cell.way for cell, _ in found.values()}
        for gate in filter(is_gate, session.items):
            if isinstance(gate, GateItem) and gate.keeper is self and gate.ftbench_way not in ways:
                found |= {index: (cell, False) for index, cell in gate.cells.items()}
        return found

    def _hear(self, item: GateItem, wanted: dict[int, tuple[Cell, bool]]) -> None:
        """Gather the records of the wanted cells: what others measure is waited for, the rest measured now."""
        place, heard = str(self.run.suite.place), self._heard
        awaited = {index for index, (_, is_run) in wanted.items() if is_run}

        def take(payload: dict[str, Any], nodeid: str) -> None:
            if payload["place"] == place:
                heard.take(payload, nodeid)

        if is_worker(item.config):
            may_come = inbox_of(item.config).wait(take, lambda: awaited <= heard.records.keys())
        else:
            from pytest_ftbench.ledger import ledger_of

            told, may_come = ledger_of(item.config).suites.get(place), True
            if told is not None:
                self._heard = heard = SuiteRecords(told.name, dict(told.records), dict(told.trivial))
        for index, (cell, _) in sorted(wanted.items()):
            if index in heard.records:
                continue
            # left to be run behind this gate, by this very process: it is taken from the cache then
            if index not in awaited or may_come:
                self._measured.append(measured(item, Entry(cell, index, self.run)))
                heard.take(self._measured[-1], None)
            else:
                heard.records[index] = CellRecord.of(cell, status="failed", error=_LOST)
        for index in heard.records.keys() - wanted.keys():
            del heard.records[index]

    def _tests_of_others(self, session: pytest.Session) -> set[str]:
        """The tests whose cells are another suite's, and not this one's."""
        mine, others = set[str](), set[str]()
        for item, entry in _measuring(session):
            (mine if entry.run is self.run else others).add(test_of(item.nodeid))
        return others - mine


def _measuring(session: pytest.Session) -> Iterator[tuple[pytest.Item, Entry]]:
    """The items that measure cells."""
    for item in session.items:
        if (entry := measured_by(item)) is not None:
            yield item, entry

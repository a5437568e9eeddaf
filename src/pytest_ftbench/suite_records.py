"""The records of one suite as reports bring them: which item says what of which cell. PYTEST_DONT_REWRITE."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_ftbench.grid import CellRecord

_WEIGHT = {"skipped": 0, "failed": 1, "ok": 2}


@dataclass
class SuiteRecords:
    """The records of one suite, and the items that measured them first, by the place of their cells in it.

    ``gate`` is what its gates were, as plain values, ``judged`` what each gate item found, by its place among them.
    """

    name: str
    records: dict[int, CellRecord] = field(default_factory=dict)
    trivial: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    checks: dict[str, Any] = field(default_factory=dict)
    questions: list[str] = field(default_factory=list)
    hygiene: list[str] = field(default_factory=list)
    nodeids: dict[int, str] = field(default_factory=dict)
    gate: dict[str, Any] | None = None
    judged: dict[int, list[dict[str, Any]]] = field(default_factory=dict)

    def take(self, payload: Mapping[str, Any], nodeid: str | None) -> None:
        """Take what an item's report carries of a cell; without an id, no cell's item measured it."""
        index, record = payload["index"], CellRecord.from_json(payload["record"])
        before = self.records.get(index)
        self.records[index] = record if before is None else joined(before, record)
        self.trivial |= {record.eval_task: payload["trivial"]} if "trivial" in payload else {}
        self.hygiene += [text for text in payload.get("hygiene", []) if text not in self.hygiene]
        self.machine |= payload.get("machine", {})
        self.checks = payload.get("checks", {})
        self.questions = payload.get("questions", [])
        self.gate = payload.get("gate")
        # the item that measured a cell first is what it is stored under
        if nodeid is not None and (before is None or (record.ok and not before.ok)):
            self.nodeids[index] = nodeid

    def take_verdicts(self, payload: Mapping[str, Any]) -> None:
        """Take what a gate item's report carries: its verdicts, and the records of cells that no item measured."""
        self.gate = payload.get("gate")
        self.judged[payload["index"]] = payload["verdicts"]
        for cell in payload.get("cells", ()):
            if cell["index"] not in self.records:
                self.take(cell, None)

    def measured(self) -> list[tuple[str, CellRecord]]:
        """The cells that items measured, by the ids of these, in the suite's order."""
        found = sorted(self.records.items())
        return [(self.nodeids[index], record) for index, record in found if record.ok and index in self.nodeids]

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        """What all gate items found, in the suite's order."""
        return [verdict for _, verdicts in sorted(self.judged.items()) for verdict in verdicts]

    @property
    def tests(self) -> set[str]:
        """The tests whose items they are."""
        return {test_of(nodeid) for nodeid in self.nodeids.values()}


def test_of(nodeid: str) -> str:
    """The test that an item is of."""
    return nodeid.partition("[")[0]


def joined(before: CellRecord, after: CellRecord) -> CellRecord:
    """What two items say of one cell: a measured record outweighs a failed one, and no failed test is forgotten."""
    kept = after if _WEIGHT.get(after.status, 1) >= _WEIGHT.get(before.status, 1) else before
    if kept.ok:
        said = dict.fromkeys(record.error for record in (before, after) if record.error and record.status != "skipped")
        kept.error = "; ".join(said) or None
    return kept

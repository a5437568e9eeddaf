"""The test items that judge: one for each way and eval task of a suite that has gates. PYTEST_DONT_REWRITE.

They stand in the module of the first test that asks for the suite's results, as if it had one more test, ``gate``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pytest_ftbench.collection import SuiteRun, measured_by
from pytest_ftbench.grid import Cell, plain, printable

if TYPE_CHECKING:
    from pytest_ftbench.analysis.gate_verdict import Verdict

_NAME = "gate"
_AGAIN = re.compile(r"\+[0-9]+$")
_JUDGED: pytest.StashKey[dict[str, Any]] = pytest.StashKey()


class GateWarning(pytest.PytestWarning):
    """A gate's verdict that lets its item pass, and is to be seen."""


class Keeper(Protocol):
    """What a gate item asks for its verdicts."""

    def judge(self, item: "GateItem") -> "list[Verdict]":
        """The verdicts on the item's way."""

    def payload(self) -> dict[str, Any]:
        """What is told beside them to the process that reports."""


class GateItem(pytest.Item):
    """Judges one way of tuning on one eval task, over its seeds: ``cells`` by their places in the suite."""

    def __init__(self, *, cells: dict[int, Cell], keeper: Keeper, **rest: Any) -> None:
        super().__init__(**rest)
        self.cells = cells
        self.keeper = keeper
        first = next(iter(cells.values()))
        self.ftbench_way = first.way
        self.add_marker(
            pytest.mark.cell(
                model=first.model,
                method=first.method,
                rank=first.rank,
                train=first.train_task,
                eval=first.eval_task,
                seed=first.seed if len(cells) == 1 else None,
            )
        )

    @classmethod
    def of(cls, parent: pytest.Collector, cells: dict[int, Cell], keeper: Keeper) -> "GateItem":
        """The item of some cells that differ in their seed alone."""
        name = f"{_NAME}[{printable(next(iter(cells.values())).way)}]"
        # as text, so that pytest reads the brackets as it does those of its own
        item: GateItem = cls.from_parent(
            parent, name=name, nodeid=f"{parent.nodeid}::{name}", cells=cells, keeper=keeper
        )
        return item

    def is_of(self, verdict: "Verdict") -> bool:
        """Whether a verdict is its own: also of trainings of its name whose settings differ, a way and its ``+2``."""
        return _AGAIN.sub("", verdict.cell) == self.ftbench_way or verdict.cell == self.ftbench_way

    def runtest(self) -> None:
        """Judge, and fail, warn, skip or pass."""
        verdicts = self.keeper.judge(self)
        # what leaves the process is made of built-in values alone
        told = [plain(verdict.as_dict()) for verdict in verdicts]
        payload = self.keeper.payload()
        self.stash[_JUDGED] = payload | {"index": next(iter(self.cells)), "verdicts": told}
        self.user_properties += properties(told)
        self._act(verdicts, payload["gone"] if self._is_first else [])

    @property
    def _is_first(self) -> bool:
        """Whether it is the first of its suite's gates that were chosen: it speaks for all."""
        mine = (item for item in self.session.items if isinstance(item, GateItem) and item.keeper is self.keeper)
        return next(mine, self) is self

    def _act(self, verdicts: "Sequence[Verdict]", gone: Sequence[str]) -> None:
        from pytest_ftbench.analysis.gate_words import gone_text, message

        said = {
            action: [message(verdict) for verdict in verdicts if verdict.action == action]
            for action in ("fail", "warn", "skip")
        }
        said["warn"] += [gone_text(gone)] * bool(gone)
        failing = said["fail"] if verdicts else [f"{self.ftbench_way}: nothing was judged."]
        for text in said["warn"]:
            try:
                self.warn(GateWarning(text))
            except GateWarning:  # who has made it an error reads it as one
                failing.append(text)
        if failing:
            pytest.fail("\n".join(failing), pytrace=False)
        if said["skip"] and not said["warn"]:
            pytest.skip(" ".join(said["skip"]))

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where it is, for reports: it has no line of its own, and pytest wants one where an item is skipped."""
        return self.path, 0, self.name


def add_gates(collector: pytest.Collector, nodes: "list[pytest.Item | pytest.Collector]") -> None:
    """Add a suite's gate items behind what was collected, where that has the first test that asks for its results."""
    for run in _asked_for(nodes):
        if run.gate is not None and run.gates_in in (None, collector.nodeid):
            from pytest_ftbench.gatekeeper import Gatekeeper

            run.gates_in = collector.nodeid
            run.keeper = run.keeper or Gatekeeper(run)
            nodes += gates_of(run, collector, run.keeper)


def _asked_for(nodes: "Sequence[pytest.Item | pytest.Collector]") -> list[SuiteRun]:
    """The suites whose results tests among the nodes ask for."""
    entries = (measured_by(node) for node in nodes if isinstance(node, pytest.Item))
    return list({id(entry.run): entry.run for entry in entries if entry is not None}.values())


def gates_of(run: SuiteRun, parent: pytest.Collector, keeper: Keeper) -> Iterator[GateItem]:
    """The gate items of a suite: of each way that a rule is for."""
    assert run.gate is not None
    ways: dict[str, dict[int, Cell]] = {}
    for index, cell in enumerate(run.suite.cells()):
        if run.gate.rules_for(cell.way, cell.train_task, cell.eval_task):
            ways.setdefault(cell.way, {})[index] = cell
    for cells in ways.values():
        yield GateItem.of(parent, cells, keeper)


def attach_verdicts(item: pytest.Item, report: pytest.TestReport) -> None:
    """Put the verdicts of a gate item on its report."""
    if (judged := item.stash.get(_JUDGED, None)) is not None:
        vars(report)["ftbench_gate"] = judged


def properties(verdicts: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, object]]:
    """The numbers of verdicts as JUnit's readers get them; of a metric's floor or ceiling, beside its change, apart."""
    changing = {verdict["metric"] for verdict in verdicts if verdict["kind"] != "limit"}
    for verdict in verdicts:
        low, high = verdict["interval"] or (None, None)
        p = verdict["p"] if verdict["adjusted"] is None else verdict["adjusted"]
        named = {key: verdict[key] for key in ("was", "now", "change")} | {"low": low, "high": high, "p": p}
        named |= {key: verdict[key] for key in ("limit", "outcome")}
        bound = verdict["kind"] == "limit" and verdict["metric"] in changing
        prefix = f"{verdict['metric']}.bound" if bound else verdict["metric"]
        for name, value in named.items():
            if value is not None:
                yield f"{prefix}.{name}", value

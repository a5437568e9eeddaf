"""Measures again what a gate says has become worse, before that is its verdict. PYTEST_DONT_REWRITE.

A training is repeated with a seed that the suite hasn't got, times are taken anew. Where nothing is left to chance, as
in answers of the same weights or in a peak of memory, nothing is repeated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_ftbench.collection import SuiteRun
from pytest_ftbench.gate_items import GateItem
from pytest_ftbench.grid import CellRecord, Suite, Thresholds, first_line
from pytest_ftbench.recorder import at_work, progress_of

if TYPE_CHECKING:
    from pytest_ftbench.analysis.gate_verdict import Verdict
    from pytest_ftbench.ml.workbench import Workbench

_TIMES = "ms_per_token"
_COMPANY = "V16"
_PEAKS = ("train_memory", "eval_memory")
_Measure = Callable[["Workbench"], list[CellRecord]]


class Reruns:
    """The second look at one way, with what all cells of the run were ``now`` and ``then``."""

    def __init__(
        self,
        run: SuiteRun,
        item: GateItem,
        now: Sequence[CellRecord],
        then: Sequence[CellRecord] | None,
        trivial: Mapping[str, Any],
    ) -> None:
        self.run = run
        self.item = item
        self.now = now
        self.then = then
        self.trivial = trivial

    def judged_again(self, verdicts: "Sequence[Verdict]") -> "list[Verdict]":
        """The verdicts, each that fails and may owe it to chance decided again."""
        from pytest_ftbench.analysis.gate_verdict import Outcome

        assert self.run.gate is not None
        again = self.run.gate.rerun
        failing = [verdict for verdict in verdicts if verdict.outcome is Outcome.FAIL and again]
        fresh: dict[_Measure, list[CellRecord] | str] = {}
        decided = []
        for verdict in verdicts:
            measure = self._measure(verdict) if verdict in failing else None
            if measure is None:
                decided.append(verdict)
                continue
            if measure not in fresh:
                fresh[measure] = self._measured(measure)
            decided.append(self._decided(verdict, fresh[measure]))
        return decided

    def _measure(self, verdict: "Verdict") -> _Measure | None:
        """What measures a verdict's metric again; None where it would only be found again."""
        from pytest_ftbench.analysis.gate_verdict import Kind

        if verdict.metric == _TIMES:
            return self._timed_again
        settled = verdict.kind in (Kind.EVALUATION, Kind.PEAK) or verdict.metric in _PEAKS
        is_base = next(iter(self.item.cells.values())).is_base
        return None if settled or is_base else self._trained_again

    def _measured(self, measure: _Measure) -> list[CellRecord] | str:
        """The fresh records, or why there are none."""
        try:
            with at_work(self.item, self.run, self.item.ftbench_way) as workbench:
                records = measure(workbench)
        except Exception as error:  # whatever it is, the verdict it was to check stands
            return first_line(error)
        note_company(records, self.run.suite.checks)
        return records

    def _decided(self, verdict: "Verdict", fresh: list[CellRecord] | str) -> "Verdict":
        from pytest_ftbench.analysis.gates import judge_again

        assert self.run.gate is not None
        if isinstance(fresh, str):
            return replace(verdict, rerun=f"could not be measured again ({fresh})")
        return judge_again(verdict, self.now, self.then, self.run.gate, fresh, self.trivial)

    def _trained_again(self, workbench: "Workbench") -> list[CellRecord]:
        assert self.run.gate is not None
        cell = next(iter(self.item.cells.values()))
        records = []
        for seed in fresh_seeds(self.run.suite, self.run.gate.rerun):
            self._say(f"trained again with seed {seed} before the verdict")
            records.append(workbench.measure(replace(cell, seed=seed, seeded=True)))
        return records

    def _timed_again(self, workbench: "Workbench") -> list[CellRecord]:
        assert self.run.gate is not None
        ids = {record.id for record in self.now if record.ok}
        cells = [cell for cell in self.item.cells.values() if cell.id in ids]
        self._say("timed again before the verdict")
        return [workbench.time_again(cell) for _ in range(self.run.gate.rerun) for cell in cells]

    def _say(self, what: str) -> None:
        progress_of(self.item).say(f"{self.item.ftbench_way}: the gate fails; {what}")


def note_company(records: Sequence[CellRecord], checks: Thresholds) -> None:
    """Flag the records whose times others had a part in, as the report will: of such times a gate is in doubt."""
    from pytest_ftbench.analysis.flags import CHECKS, flags

    off = tuple(code for code in CHECKS if code != _COMPANY or code in checks.off)
    for record, found in zip(records, flags(records, {}, replace(checks, off=off)), strict=True):
        record.flags = [finding.code for finding in found]


def fresh_seeds(suite: Suite, count: int) -> list[int]:
    """Seeds that nothing in a suite was trained with, not even to choose a learning rate; the same each time."""
    taken = {*suite.seeds, suite.sweep.seed, *([suite.selection_seed] if suite.tuned else [])}
    seeds: list[int] = []
    while len(seeds) < count:
        seeds.append(next(seed for seed in range(len(taken) + count) if seed not in taken and seed not in seeds))
    return seeds

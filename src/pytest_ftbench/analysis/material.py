"""The records of a run as questions see them: what is known of each, and differences that may be claimed.

Nothing that is marked INVALID or <trivial wins here, whatever its number is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pytest_ftbench.analysis.answers import Entry
from pytest_ftbench.analysis.case import Finding
from pytest_ftbench.analysis.differences import difference_interval
from pytest_ftbench.analysis.evidence import Evidence
from pytest_ftbench.analysis.flags import pooled_flags
from pytest_ftbench.analysis.intervals import LEVEL, Interval
from pytest_ftbench.analysis.metrics import (
    EvalTask,
    Trivial,
    above_zero,
    embedder_key,
    number,
    with_known_headline,
)
from pytest_ftbench.analysis.pairs import FULL
from pytest_ftbench.analysis.pooling import pooled
from pytest_ftbench.analysis.table import TableCell, checkpoint_key, eval_tasks, in_reading_order, table_cell
from pytest_ftbench.analysis.trivial import known_trivial
from pytest_ftbench.analysis.validity import Standing
from pytest_ftbench.analysis.wording import MARKS, MEMORY, UNKNOWN, short, shown, signed, way_of
from pytest_ftbench.grid import CellRecord, Results, Thresholds

Checks = Sequence[tuple[Finding, ...]]
"""What the checks find on each of some records."""

_OF_STUDY = frozenset({"V01", "V09"})  # how a whole study is made, more often than one training of it
_IN_WORDS = "V17"


@dataclass(frozen=True)
class Gap:
    """A score less another's in its unit, its interval at 95 %, and what is ``shown``: 1 better, -1 worse, 0 neither.

    What may not be ranked is never better, and nothing is better or worse than what can't be read. ``ranked`` says that
    both may be. ``shown`` is corrected for so many ``comparisons``, by Bonferroni; the interval is not.
    """

    first: CellRecord
    second: CellRecord
    task: EvalTask
    value: float
    interval: Interval | None
    shown: int
    ranked: bool = True
    comparisons: int = 1

    @property
    def text(self) -> str:
        """Such as ``+0.050 (95 % +0.010 to +0.090)``."""
        return f"{self.difference} ({'interval unknown' if self.interval is None else f'95 % {self.span}'})"

    @property
    def difference(self) -> str:
        """The difference alone."""
        return signed(self.task, self.value)

    @property
    def span(self) -> str:
        """The interval alone."""
        if self.interval is None:
            return UNKNOWN
        return f"{signed(self.task, self.interval.low)} to {signed(self.task, self.interval.high)}"


@dataclass(eq=False)
class Material:
    """The measured records, seeds pooled, and what is known of each; ``beside`` is a run to hold them against."""

    records: Sequence[CellRecord]
    trivial: Trivial
    evidence: Evidence
    found: Mapping[int, tuple[str, ...]]
    beside: Results | None = None
    _cells: dict[int, TableCell] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        results: Results,
        evidence: Evidence | None = None,
        other: Results | None = None,
        checks: Checks | None = None,
    ) -> "Material":
        """What questions are answered from; see :func:`~pytest_ftbench.analysis.questions.answers`."""
        evidence = evidence or Evidence.of(pooled(results.cells))
        records = evidence.records
        trivial, _ = known_trivial(records, results.trivial)
        if checks is None:
            limits = Thresholds.from_json(results.provenance.get("checks"))
            checks = pooled_flags(records, trivial, limits, evidence)
        codes = {id(record): tuple(f.code for f in found) for record, found in zip(records, checks, strict=True)}
        measured = [record for record in records if record.ok]
        tuned = [set(codes[id(record)]) for record in measured if record.train_task is not None]
        silent = {_IN_WORDS} | (_OF_STUDY.intersection(*tuned) if tuned else set())
        kept = {name: tuple(code for code in mine if code not in silent) for name, mine in codes.items()}
        return cls(measured, trivial, evidence, kept, other)

    @cached_property
    def other(self) -> "Material | None":
        """The run to hold these records against: made where a question needs it, for it takes as long as this one."""
        return None if self.beside is None else Material.of(self.beside)

    @cached_property
    def tasks(self) -> dict[str, EvalTask]:
        """The eval tasks by name, each with a headline that records have."""
        return {name: with_known_headline(task, self.records) for name, task in eval_tasks(self.records).items()}

    @cached_property
    def models(self) -> list[str]:
        """The models in order of first appearance."""
        return list(dict.fromkeys(record.model for record in self.records))

    @cached_property
    def bases(self) -> dict[tuple[str, str | None, str], CellRecord]:
        """The untuned cells by model, quantization and eval task."""
        untuned = [record for record in self.records if record.train_task is None]
        return {(record.model, record.quantization, record.eval_task): record for record in reversed(untuned)}

    def base(self, record: CellRecord) -> CellRecord | None:
        """The untuned model's cell on the same task, in the same quantization."""
        return self.bases.get((record.model, record.quantization, record.eval_task))

    @cached_property
    def trained(self) -> dict[tuple[str, str], list[CellRecord]]:
        """By model and train task the cells tested on that very task, answered on unquantized weights if any are."""
        groups: dict[tuple[str, str], list[CellRecord]] = {}
        for record in self.in_order(self.records):
            if record.train_task is not None and record.train_task == record.eval_task:
                groups.setdefault((record.model, record.train_task), []).append(record)
        return {key: [r for r in mine if r.quantization is None] or mine for key, mine in groups.items()}

    def in_order(self, records: Iterable[CellRecord]) -> list[CellRecord]:
        """These records in reading order."""
        listed = list(records)
        place = {key: index for index, key in enumerate(in_reading_order(map(checkpoint_key, listed)))}
        return sorted(listed, key=lambda record: place[checkpoint_key(record)])

    def task(self, record: CellRecord) -> EvalTask:
        """What a record was tested on."""
        return self.tasks[record.eval_task]

    def cell(self, record: CellRecord) -> TableCell:
        """Its numbers and standing."""
        if id(record) not in self._cells:
            self._cells[id(record)] = table_cell(record, self.trivial, self.task(record))
        return self._cells[id(record)]

    def standing(self, record: CellRecord) -> Standing:
        """Whether it may be ranked."""
        return self.cell(record).standing

    def score(self, record: CellRecord) -> float | None:
        """The headline score; None: unknown, or not on one scale with others."""
        task = self.task(record)
        return task.score(record) if task.comparable else None

    def goodness(self, record: CellRecord) -> float | None:
        """The score with the sign that makes more better; None where it may not be ranked."""
        score = self.score(record)
        return None if score is None or self.standing(record) is not Standing.OK else self.task(record).goodness(score)

    def best(self, records: Iterable[CellRecord]) -> list[CellRecord]:
        """Those with the best score of all that may be ranked; several where they tie, none where none may."""
        good = [(value, record) for record in records if (value := self.goodness(record)) is not None]
        top = max((value for value, _ in good), default=None)
        return [record for value, record in good if value == top]

    def gap(self, first: CellRecord, second: CellRecord, comparisons: int = 1) -> Gap | None:
        """The first score less the second; what is shown holds for all of so many ``comparisons`` together."""
        task, scores = self.task(first), (self.task(first).score(first), self.task(first).score(second))
        if scores[0] is None or scores[1] is None or first.eval_task != second.eval_task:
            return None
        if not task.comparable and embedder_key(first) != embedder_key(second):
            return None
        value = number(scores[0] - scores[1])
        if value is None:
            return None
        interval = difference_interval(first, second, task, self.evidence)
        strict = difference_interval(first, second, task, self.evidence, 1 - (1 - LEVEL) / max(1, comparisons))
        verdict = self._shown(first, second, task.goodness(value), strict)
        ranked = all(self.standing(record) is Standing.OK for record in (first, second))
        return Gap(first, second, task, value, interval, verdict, ranked, comparisons)

    def _shown(self, first: CellRecord, second: CellRecord, better: float, interval: Interval | None) -> int:
        if interval is None or interval.includes_zero or better == 0:
            return 0
        winner, loser = (first, second) if better > 0 else (second, first)
        if self.standing(winner) is not Standing.OK or self.standing(loser) is Standing.INVALID:
            return 0
        return 1 if better > 0 else -1

    def peaks(self, records: Sequence[CellRecord], phase: str) -> tuple[str, dict[int, float]] | None:
        """The peaks of memory of these records in ``train`` or ``eval``, of the first kind that all of them know."""
        for kind in MEMORY:
            known = {id(record): above_zero(record.memory_gib.get(f"{phase}_{kind}")) for record in records}
            values = {name: value for name, value in known.items() if value is not None}
            if values and len(values) == len(known):
                return kind, values
        return None

    @cached_property
    def _models_of(self) -> dict[str, int]:
        """Of how many models there are cells, by method."""
        pairs = {(record.method, record.model) for record in self.records}
        return {method: sum(other == method for other, _ in pairs) for method, _ in pairs}

    def way(self, record: CellRecord) -> str:
        """How it was tuned, in a few words, such as ``LoRA r64``; and which model where that method has several."""
        words = [short(record.model)] if self._models_of.get(record.method, 2) > 1 else []
        return " ".join([*words, way_of(checkpoint_key(record))])

    def flagged(self, *records: CellRecord) -> Entry:
        """The codes of the checks that fired on any of these, without those that fired on all that was tuned."""
        return Entry(" ".join(sorted({code for record in records for code in self.found.get(id(record), ())})))

    def scored(self, record: CellRecord | None, best: bool = False) -> Entry:
        """The headline score of a record with its mark."""
        if record is None:
            return Entry(UNKNOWN)
        return Entry(shown(self.task(record), self.task(record).score(record)), self.standing(record), best)

    def said(self, record: CellRecord) -> str:
        """Way, score and mark in words, such as ``NoPeft 27.95 <trivial``."""
        entry = self.scored(record)
        return " ".join(filter(None, [self.way(record), entry.text, MARKS.get(entry.standing, "")]))


def is_adapter(record: CellRecord) -> bool:
    """Whether it was tuned with something else than full fine-tuning."""
    return record.train_task is not None and record.method != FULL

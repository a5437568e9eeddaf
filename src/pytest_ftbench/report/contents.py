"""What a report on a page holds: everything the terminal's tables do in all their detail, each table with its notes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from pytest_ftbench.analysis import (
    Answer,
    CurveGroup,
    Evidence,
    Finding,
    FullTable,
    TransferMatrix,
    answers,
    checkpoint_costs,
    full_table,
    known_trivial,
    latencies,
    learning_curves,
    pooled,
    pooled_flags,
    rate_sweeps,
    seed_table,
    transfer_matrices,
)
from pytest_ftbench.grid import Results, Thresholds
from pytest_ftbench.report.cost_table import COST_TITLE, Costs, cost_notes, cost_sheet
from pytest_ftbench.report.curve_table import TITLE as CURVE_TITLE
from pytest_ftbench.report.curve_table import curve_notes, curve_sheet
from pytest_ftbench.report.flag_marks import FlagMarks, checks_note, flag_notes, invalid_notes
from pytest_ftbench.report.full_table import full_sheet
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.latency_table import LATENCY_TITLE, latency_notes, latency_sheet
from pytest_ftbench.report.layout import Sheet
from pytest_ftbench.report.notes import explained, marks
from pytest_ftbench.report.seed_table import SEED_TITLE, seed_notes, seed_sheet
from pytest_ftbench.report.statistics import Baseline, Findings, Part
from pytest_ftbench.report.story import Reason, counts, facts, judged, reasons, table_notes, trivial_lines
from pytest_ftbench.report.sweep_table import SWEEP_TITLE, sweep_notes, sweep_sheet
from pytest_ftbench.report.transfer_table import TRANSFER_TITLE, transfer_notes, transfer_sheet

_LARGE = (
    "Of so many cells only comparisons and correlations on the task trained on are here, and no intervals of all "
    "scores; the terminal's report in full (-v) has the others."
)
FULL_TITLE = "All cells: score, speed and form by task"
MANY_CELLS = 400
_NO_LIMIT = 100_000  # characters: a page scrolls, so no column is left out
_NAMES_WIDTH, _FIGURE_WIDTH = 480, 160


@dataclass(eq=False)
class Contents:
    """A run's findings, computed once; ``results`` are those over seeds, ``found`` what the checks find on each.

    ``sources`` says of tasks from where it is known what trivial answerers score.
    """

    results: Results
    found: Sequence[tuple[Finding, ...]]
    baseline: Baseline | None = None
    evidence: Evidence | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, results: Results, baseline: Baseline | None = None) -> "Contents":
        """The contents of a report on these results."""
        trivial, sources = known_trivial(results.cells, results.trivial)
        together = replace(results, cells=pooled(results.cells), trivial=trivial)
        evidence = Evidence.of(together.cells)
        limits = Thresholds.from_json(results.provenance.get("checks"))
        found = pooled_flags(together.cells, trivial, limits, evidence)
        return cls(together, found, judged(baseline), evidence, sources)

    @cached_property
    def table(self) -> FullTable:
        """The full table."""
        return full_table(self.results.cells, self.results.trivial)

    @cached_property
    def names(self) -> Names:
        """The names of models and methods as tables have them."""
        return Names([row.key for row in self.table.rows], _NAMES_WIDTH)

    @cached_property
    def short_names(self) -> Names:
        """The names as figures have room for them."""
        return Names(self.names.keys, _FIGURE_WIDTH)

    def short_notes(self) -> list[str]:
        """Which names figures show shorter than tables do."""
        told = self.names.shortened
        return [f"{short} is {name}." for short, name in self.short_names.shortened.items() if short not in told]

    @cached_property
    def costs(self) -> Costs:
        """What each checkpoint took."""
        return checkpoint_costs(self.results.cells)

    @property
    def is_large(self) -> bool:
        """Whether there are more cells than anybody reads comparisons of, on every task with every other way."""
        return len(self.results.cells) > MANY_CELLS

    @cached_property
    def findings(self) -> Findings:
        """The statistics, of all cells unless these are very many."""
        return Findings(self.results, detail=not self.is_large, baseline=self.baseline, evidence=self.evidence)

    @cached_property
    def matrices(self) -> list[TransferMatrix]:
        """What training on one task does to another."""
        return transfer_matrices(self.results.cells, self.results.trivial, self.findings.evidence)

    @cached_property
    def curves(self) -> list[CurveGroup]:
        """The learning curves."""
        return learning_curves(self.results.cells, self.results.trivial)

    @cached_property
    def checked(self) -> FlagMarks:
        """Where the codes of checks stand."""
        return FlagMarks.of(self.results.cells, self.found)

    @cached_property
    def answers(self) -> list[Answer]:
        """What the records say to the questions of the suite."""
        then = None if self.baseline is None else self.baseline[1]
        return answers(self.results, self.findings.evidence, then, self.found)

    def facts(self) -> list[str]:
        """How many cells there are, what became of them, and where the numbers come from."""
        return [counts(self.results, self.table), *facts(self.results, self.table)]

    def reasons(self) -> list[Reason]:
        """Which cells failed, were skipped, or failed their tests; and why."""
        return list(reasons(self.results.cells))

    def flag_notes(self) -> list[str]:
        """What each check that fired found, in a sentence."""
        return list(flag_notes(self.results.cells, self.found, self.checked.everywhere))

    def full(self) -> Part:
        """The full table, what trivial answerers score, and what could have been seen."""
        sheet, left_out = full_sheet(self.table, self.costs, self.checked, self.names, _NO_LIMIT)
        notes = [
            *trivial_lines(self.table, self.results, self.sources),
            *self.findings.seen(),
            *table_notes(marks(sheet), left_out, self.table, self.costs, self.names),
            *invalid_notes(self.results.cells),
            *checks_note(Thresholds.from_json(self.results.provenance.get("checks"))),
        ]
        return Part(FULL_TITLE, sheet, tuple(notes))

    def transfer(self) -> Part | None:
        """The transfer matrices."""
        if not self.matrices:
            return None
        return _with_marks(TRANSFER_TITLE, transfer_sheet(self.matrices, self.names), transfer_notes(self.matrices))

    def learning(self) -> Part | None:
        """The learning curves' table."""
        if not self.curves:
            return None
        sheet = curve_sheet(self.curves, self.names)
        return _with_marks(CURVE_TITLE, sheet, curve_notes(self.curves, sheet))

    def others(self) -> Iterator[Part]:
        """The tables that no figure shows: latencies, seeds, costs, learning rates, statistics."""
        if blocks := latencies(self.results.cells, self.results.trivial):
            sheet, left_out = latency_sheet(blocks, self.names, _NO_LIMIT)
            yield _with_marks(LATENCY_TITLE, sheet, latency_notes(blocks, left_out))
        if seeds := seed_table(self.results.cells, self.results.trivial):
            sheet = seed_sheet(seeds, self.names)
            yield _with_marks(SEED_TITLE, sheet, seed_notes(sheet))
        if training := cost_sheet(self.table, self.costs, self.names):
            yield _with_marks(COST_TITLE, training, cost_notes(self.table, self.costs))
        if sweeps := rate_sweeps(self.results.cells):
            sheet = sweep_sheet(sweeps, self.names)
            yield Part(SWEEP_TITLE, sheet, tuple(sweep_notes(sweeps, sheet)))
        for part in self.findings.tables(self.table, self.names):
            yield part if part.sheet is None else _with_marks(part.title, part.sheet, part.notes)
        if self.is_large:
            yield Part(_LARGE)


def _with_marks(title: str, sheet: Sheet, notes: "Iterator[str] | tuple[str, ...]" = ()) -> Part:
    """A table with its notes, and the meaning of every mark in it: on a page no other table need be read before."""
    return Part(title, sheet, (*notes, *explained(marks(sheet))))

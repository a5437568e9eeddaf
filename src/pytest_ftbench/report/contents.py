"""The findings of a run, computed once, however many reports are made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from pytest_ftbench.analysis import (
    Answer,
    CurveGroup,
    Evidence,
    Finding,
    FullTable,
    PooledRecord,
    TransferMatrix,
    answers,
    checkpoint_costs,
    flags,
    full_table,
    known_trivial,
    learning_curves,
    pooled,
    pooled_flags,
    transfer_matrices,
)
from pytest_ftbench.grid import Results, Thresholds
from pytest_ftbench.report.cost_table import Costs
from pytest_ftbench.report.flag_marks import FlagMarks
from pytest_ftbench.report.statistics import Baseline


@dataclass(eq=False)
class Contents:
    """What reports are made of.

    ``results`` are those over seeds, ``evidence`` what their cells are compared by, ``found`` what the checks within
    ``limits`` find on each, ``alone`` what they find on each single record. ``sources`` says of tasks from where it is
    known what trivial answerers score.
    """

    results: Results
    evidence: Evidence
    limits: Thresholds
    found: Sequence[tuple[Finding, ...]]
    alone: Sequence[tuple[Finding, ...]]
    sources: Mapping[str, str]
    baseline: Baseline | None = None

    @classmethod
    def of(cls, results: "Results | Contents", baseline: Baseline | None = None) -> "Contents":
        """The contents of a report on these results, its ranking held against the ``baseline``'s.

        Contents are those they are: what was computed isn't computed again.
        """
        if isinstance(results, Contents):
            return results
        trivial, sources = known_trivial(results.cells, results.trivial)
        together = replace(results, cells=pooled(results.cells), trivial=trivial)
        evidence = Evidence.of(together.cells)
        limits = Thresholds.from_json(results.provenance.get("checks"))
        several = any(isinstance(record, PooledRecord) for record in together.cells)
        alone = flags(results.cells, trivial, limits, None if several else evidence)
        by_id = {id(record): findings for record, findings in zip(results.cells, alone, strict=True)}
        found = pooled_flags(together.cells, trivial, limits, evidence, by_id)
        return cls(together, evidence, limits, found, alone, sources, _judged(baseline))

    @cached_property
    def table(self) -> FullTable:
        """The full table."""
        return full_table(self.results.cells, self.results.trivial)

    @cached_property
    def costs(self) -> Costs:
        """What each checkpoint took."""
        return checkpoint_costs(self.results.cells)

    @cached_property
    def matrices(self) -> list[TransferMatrix]:
        """What training on one task does to another."""
        return transfer_matrices(self.results.cells, self.results.trivial, self.evidence)

    @cached_property
    def curves(self) -> list[CurveGroup]:
        """The learning curves."""
        return learning_curves(self.results.cells, self.results.trivial)

    @cached_property
    def flags(self) -> FlagMarks:
        """Where the codes of checks stand."""
        return FlagMarks.of(self.results.cells, self.found)

    @cached_property
    def answers(self) -> list[Answer]:
        """What the records say to the questions of the suite."""
        then = None if self.baseline is None else self.baseline[1]
        return answers(self.results, self.evidence, then, self.found)


def _judged(baseline: Baseline | None) -> Baseline | None:
    """The baseline with what trivial answerers score there, as far as that can be known."""
    if baseline is None:
        return None
    name, stored = baseline
    return name, replace(stored, trivial=known_trivial(stored.cells, stored.trivial).scores)

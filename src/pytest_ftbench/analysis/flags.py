"""The validity checks V01 to V17: which of them fire on which cell, each with a sentence that holds its numbers.

They judge from records alone, wherever these were made: what a record doesn't say is no finding. What follows from V17
and from a form that can't be read is in ``validity``; all others are marks, which move no rank.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_ftbench.analysis import flags_outputs, flags_setup, flags_speed
from pytest_ftbench.analysis.case import Case, Finding
from pytest_ftbench.analysis.evidence import Evidence
from pytest_ftbench.analysis.metrics import Trivial
from pytest_ftbench.analysis.study import Study
from pytest_ftbench.grid import CellRecord, Thresholds

TRAINING = frozenset({"V01", "V08", "V09", "V10", "V11", "V14"})
"""The checks of a training, which so fire on all cells of a checkpoint."""


@dataclass(frozen=True)
class Check:
    """A check: what it finds, in a few words, and how."""

    title: str
    find: Callable[[Case, Study], Iterator[Finding]]


CHECKS: Mapping[str, Check] = {
    "V01": Check("single seed", flags_setup.single_seed),
    "V02": Check("too few items for the difference", flags_setup.too_few_items),
    "V03": Check("format", flags_outputs.unreadable),
    "V04": Check("empty or cut off", flags_outputs.empty_or_cut),
    "V05": Check("one item decides", flags_outputs.one_item),
    "V06": Check("other dtype", flags_setup.other_dtype),
    "V07": Check("no faster per token", flags_speed.only_shorter),
    "V08": Check("training changed nothing", flags_outputs.unchanged),
    "V09": Check("learning rate not tuned", flags_setup.rate_not_tuned),
    "V10": Check("adapter scaled down", flags_setup.weak_scale),
    "V11": Check("other prompts", flags_setup.other_prompts),
    "V12": Check("test items in training", flags_setup.overlap),
    "V13": Check("one class", flags_outputs.collapsed),
    "V14": Check("merging changed it", flags_setup.merge_differs),
    "V15": Check("worse than base", flags_outputs.worse_than_base),
    "V16": Check("shared device", flags_speed.company),
    "V17": Check("trivial", flags_outputs.trivial),
}
"""Every check by its code."""


def flags(
    records: Sequence[CellRecord],
    trivial: Trivial,
    thresholds: Thresholds | None = None,
    evidence: Evidence | None = None,
) -> list[tuple[Finding, ...]]:
    """What the checks find on each of these records, in their order; nothing on one that wasn't measured.

    ``evidence`` saves resampling again what was resampled before.
    """
    study = Study.of(records, trivial, thresholds or Thresholds(), evidence)
    wanted = [check for code, check in CHECKS.items() if code not in study.thresholds.off]
    found = {id(case.record): tuple(f for check in wanted for f in check.find(case, study)) for case in study.cases}
    return [found.get(id(record), ()) for record in records]


def over_seeds(found: Sequence[tuple[Finding, ...]]) -> tuple[Finding, ...]:
    """Of what the checks find on the seeds of a cell, the most striking finding of each code."""
    by_code: dict[str, Finding] = {}
    for finding in (finding for findings in found for finding in findings):
        if finding.code not in by_code or finding.size > by_code[finding.code].size:
            by_code[finding.code] = finding
    return tuple(by_code[code] for code in CHECKS if code in by_code)


def set_flags(records: Sequence[CellRecord], trivial: Trivial, thresholds: Thresholds | None = None) -> None:
    """Write the codes of what the checks find into the records."""
    for record, found in zip(records, flags(records, trivial, thresholds), strict=True):
        record.flags = [finding.code for finding in found]

"""The validity checks V01 to V17: which of them fire on which cell, each with a sentence that holds its numbers.

They judge from records alone, wherever these were made: what a record doesn't say is no finding. What follows from V17
and from a form that can't be read is in ``validity``; all others are marks, which move no rank.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_ftbench.analysis import flags_outputs, flags_setup, flags_speed
from pytest_ftbench.analysis.case import Case, Finding
from pytest_ftbench.analysis.evidence import Evidence
from pytest_ftbench.analysis.metrics import Trivial
from pytest_ftbench.analysis.pooling import PooledRecord, seeds_of
from pytest_ftbench.analysis.study import Study
from pytest_ftbench.grid import CellRecord, Thresholds

TRAINING = frozenset({"V01", "V08", "V09", "V10", "V11", "V14"})
"""The checks of a training, which so fire on all cells of a checkpoint."""
COMPARISONS = frozenset({"V02", "V07", "V15", "V17"})
"""The checks of a score or a time beside another: of a cell of several seeds they are made on its means."""
_LISTED = 3


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

    ``evidence`` of the same records saves drawing it again.
    """
    study = Study.of(records, trivial, thresholds or Thresholds(), evidence)
    wanted = [check for code, check in CHECKS.items() if code not in study.thresholds.off]
    found = {id(case.record): tuple(f for check in wanted for f in check.find(case, study)) for case in study.cases}
    return [found.get(id(record), ()) for record in records]


def pooled_flags(
    records: Sequence[CellRecord],
    trivial: Trivial,
    thresholds: Thresholds | None = None,
    evidence: Evidence | None = None,
    alone: Mapping[int, Sequence[Finding]] | None = None,
) -> list[tuple[Finding, ...]]:
    """What the checks find on each of these records, of which some are pooled from several seeds.

    Means are compared with means, as tables show them. All other checks are of single trainings: of each kind of
    finding the most striking one stands for all, and says which seeds have it where not all do. ``alone``, what is
    found on single records by their ``id()``, saves finding it again.
    """
    several = any(isinstance(record, PooledRecord) for record in records)
    if alone is None:
        singles = [each for record in records for each in seeds_of(record)]
        made = flags(singles, trivial, thresholds, None if several else evidence)
        alone = {id(each): found for each, found in zip(singles, made, strict=True)}
    if not several:
        return [tuple(alone[id(record)]) for record in records]
    limits = thresholds or Thresholds()
    found_by = {key: [each for each in found if each.code not in COMPARISONS] for key, found in alone.items()}
    others = tuple(code for code in CHECKS if code in limits.off or code not in COMPARISONS)
    means = flags(records, trivial, replace(limits, off=others), evidence)
    return [
        tuple(sorted([*_over_seeds(seeds_of(record), found_by), *found], key=lambda finding: finding.code))
        for record, found in zip(records, means, strict=True)
    ]


def _over_seeds(seeds: Sequence[CellRecord], found_by: Mapping[int, Sequence[Finding]]) -> Iterator[Finding]:
    """Of what is found on the seeds of a cell, the most striking finding of each kind."""
    kinds: dict[tuple[str, str], list[tuple[Finding, CellRecord]]] = {}
    for record in seeds:
        for finding in found_by[id(record)]:
            kinds.setdefault((finding.code, finding.kind), []).append((finding, record))
    for mine in kinds.values():
        finding, _ = max(mine, key=lambda pair: pair[0].size)
        names = [str(record.seed) for _, record in mine]
        listed = " and ".join(names) if len(names) <= _LISTED else f"{', '.join(names[:_LISTED])}, …"
        alone = f", under seed{'s' * (len(names) > 1)} {listed} alone"
        yield finding if len(mine) == len(seeds) else replace(finding, said=finding.said + alone)


def set_flags(records: Sequence[CellRecord], found: Sequence[Sequence[Finding]]) -> None:
    """Write the codes of what the checks found on each of these records into it."""
    for record, findings in zip(records, found, strict=True):
        record.flags = list(dict.fromkeys(finding.code for finding in findings))

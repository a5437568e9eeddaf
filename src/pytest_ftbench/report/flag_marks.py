"""The findings of the validity checks on a page: short codes beside the cells, and under the table what they mean.

A code that a training has on all its cells stands once, beside the row's name; one seed and one learning rate for all
trainings are said under the table alone. V17 has no code in the table: its cells say ``<trivial``.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_ftbench.analysis import CHECKS, TRAINING, Finding, FullTable, checkpoint_key, unreadable_seeds
from pytest_ftbench.grid import CellRecord, CheckpointKey, Thresholds
from pytest_ftbench.report.layout import Column, Text
from pytest_ftbench.report.words import clean, elided

HEADING = "Flags"
FINDINGS_TITLE = "Findings of the validity checks, cell by cell"
_IN_WORDS = "V17"
_OF_STUDY = frozenset({"V01", "V09"})  # how a whole study is made, more often than one training of it
_ALSO = {_IN_WORDS: " <trivial"}
_MEANING = (
    "Flags: the validity checks that fired, each kind of finding explained below by its most striking case; beside a "
    "row's name they hold for all its cells. Of them V17 alone moves ranks."
)
_SAID_ROOM = 240
_ID_ROOM = 60
_LISTED = 3


@dataclass(frozen=True)
class FlagMarks:
    """Which codes stand where: ``cells`` by checkpoint and eval task, ``rows`` by checkpoint; not ``everywhere``."""

    cells: dict[tuple[CheckpointKey, str], tuple[str, ...]]
    rows: dict[CheckpointKey, tuple[str, ...]]
    everywhere: tuple[str, ...]

    @classmethod
    def of(cls, records: Sequence[CellRecord], found: Sequence[Sequence[Finding]]) -> "FlagMarks":
        """The marks of these records, of which ``found`` are the findings."""
        codes: dict[tuple[CheckpointKey, str], set[str]] = {}
        for record, findings in zip(records, found, strict=True):
            # of records that share a place in the table the last one stands there
            codes[checkpoint_key(record), record.eval_task] = {finding.code for finding in findings}
        measured = {(checkpoint_key(record), record.eval_task) for record in records if record.ok}
        tuned = {place for place in measured if place[0].train_task is not None}
        everywhere = _OF_STUDY.intersection(*(codes[place] for place in tuned)) if tuned else frozenset()
        rows: dict[CheckpointKey, set[str]] = {}
        for key, task in measured:
            rows[key] = rows.get(key, set(TRAINING)) & codes[key, task]
        return cls(
            {place: _sorted(mine - rows.get(place[0], set()) - {_IN_WORDS}) for place, mine in codes.items()},
            {key: _sorted(mine - everywhere) for key, mine in rows.items()},
            _sorted(everywhere),
        )

    def label(self, table: FullTable) -> list[Column]:
        """The codes of whole rows as a column; none where no row has any."""
        return _columns([self.rows.get(row.key, ()) for row in table.rows])

    def column(self, table: FullTable, task: str) -> list[Column]:
        """The codes of a task's cells as a column; none where no cell has any."""
        return _columns([self.cells.get((row.key, task), ()) if task in row.cells else () for row in table.rows])


def flag_notes(
    records: Sequence[CellRecord], found: Sequence[Sequence[Finding]], everywhere: Sequence[str]
) -> Iterator[str]:
    """What the flags are; and for each kind of finding the most striking one, where that is, and how many there are."""
    by_kind: dict[tuple[str, str], list[tuple[Finding, CellRecord]]] = {}
    for record, findings in zip(records, found, strict=True):
        for finding in findings:
            by_kind.setdefault((finding.code, finding.kind), []).append((finding, record))
    if by_kind:
        yield _MEANING
    kinds = Counter(code for code, _ in by_kind)
    for code, kind in sorted(by_kind, key=lambda each: each[0]):
        mine = by_kind[code, kind]
        finding, record = max(mine, key=lambda pair: pair[0].size)
        name = elided(clean(record.id), _ID_ROOM)
        of = "all tuned cells" if code in everywhere and kinds[code] == 1 else f"{len(mine)} cells"
        alike = len({each.said for each, _ in mine}) == 1
        where = name if len(mine) == 1 else of if alike else f"{name}; {of}"
        yield f"{code}{_ALSO.get(code, '')}: {elided(clean(finding.said), _SAID_ROOM)} ({where})."


def checks_note(thresholds: Thresholds) -> Iterator[str]:
    """Which checks the results' own ``[checks]`` leave out, and which thresholds they move; nothing where none."""
    off = [f"{' '.join(thresholds.off)} not made"] if thresholds.off else []
    moved = [f"{name} {value:g} (default {usual:g})" for name, (value, usual) in thresholds.moved.items()]
    if off or moved:
        yield f"Checks as the results ask for them: {'; '.join([*off, *moved])}."


def listed_findings(records: Sequence[CellRecord], found: Sequence[Sequence[Finding]]) -> Iterator[str]:
    """For each cell all that was found on it."""
    for record, findings in zip(records, found, strict=True):
        if findings:
            said = "; ".join(f"{each.code} {elided(clean(each.said), _SAID_ROOM)}" for each in findings)
            yield f"{elided(clean(record.id), _ID_ROOM)}: {said}."


def invalid_notes(records: Sequence[CellRecord]) -> Iterator[str]:
    """Which means over seeds are INVALID through some of their seeds alone: their own rates don't show it."""
    named = [
        f"{elided(clean(record.id), _ID_ROOM)} (seed {' and '.join(clean(each.seed) for each in seeds)})"
        for record in records
        if (seeds := unreadable_seeds(record))
    ]
    if named:
        more = [f"and {len(named) - _LISTED} more"] if len(named) > _LISTED else []
        listed = ", ".join([*named[:_LISTED], *more])
        yield f"INVALID through a seed of it, though the others can be read: {listed}."


def _columns(codes: Sequence[Sequence[str]]) -> list[Column]:
    if not any(codes):
        return []
    return [Column(HEADING, [Text(" ".join(mine)) for mine in codes], words=True)]


def _sorted(codes: "set[str] | frozenset[str]") -> tuple[str, ...]:
    return tuple(code for code in CHECKS if code in codes)

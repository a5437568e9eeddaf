"""The findings of the validity checks on a page: short codes beside the cells, and under the table what they mean.

A code that a training has on all its cells stands once, beside the row's name; one seed and one learning rate for all
trainings are said under the table alone. V17 has no code in the table: its cells say ``<trivial``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_ftbench.analysis import CHECKS, TRAINING, Finding, FullTable, checkpoint_key
from pytest_ftbench.grid import CellRecord, CheckpointKey
from pytest_ftbench.report.layout import Column, Text
from pytest_ftbench.report.words import clean, elided

FLAGS = "Flags"
_IN_WORDS = "V17"
_OF_STUDY = frozenset({"V01", "V09"})  # how a whole study is made, more often than one training of it
_ALSO = {_IN_WORDS: " <trivial"}
_MEANING = (
    "Flags: the validity checks that fired, each explained below by its most striking case; beside a "
    "row's name they hold for all its cells. Of them V17 alone moves ranks."
)
_SAID_ROOM = 240
_ID_ROOM = 60


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
    """What the flags are; and for each code that occurred its most striking finding, where that is, and how many."""
    by_code: dict[str, list[tuple[Finding, CellRecord]]] = {}
    for record, findings in zip(records, found, strict=True):
        for finding in findings:
            by_code.setdefault(finding.code, []).append((finding, record))
    if by_code:
        yield _MEANING
    for code in (code for code in CHECKS if code in by_code):
        mine = by_code[code]
        finding, record = max(mine, key=lambda pair: pair[0].size)
        name = elided(clean(record.id), _ID_ROOM)
        of = "all tuned cells" if code in everywhere else f"{len(mine)} cells"
        alike = len({each.said for each, _ in mine}) == 1
        where = name if len(mine) == 1 else of if alike else f"{name}; {of}"
        yield f"{code}{_ALSO.get(code, '')}: {elided(clean(finding.said), _SAID_ROOM)} ({where})."


def _columns(codes: Sequence[Sequence[str]]) -> list[Column]:
    if not any(codes):
        return []
    return [Column(FLAGS, [Text(" ".join(mine)) for mine in codes], words=True)]


def _sorted(codes: "set[str] | frozenset[str]") -> tuple[str, ...]:
    return tuple(code for code in CHECKS if code in codes)

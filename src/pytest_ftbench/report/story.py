"""What a report tells, whatever it is drawn on: what was run, its tables, what these mean, what failed.

A medium (text, Markdown, a page) only draws it: nothing is told in one that another leaves out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pytest_ftbench.analysis import Answer, FullTable, latencies, rate_sweeps, seed_table
from pytest_ftbench.report.contents import Contents
from pytest_ftbench.report.cost_table import COST_TITLE, Costs, cost_notes, cost_sheet, memory_notes
from pytest_ftbench.report.curve_table import CURVE_TITLE, curve_notes, curve_sheet
from pytest_ftbench.report.facts import Reason, counts, facts, reasons, trivial_lines
from pytest_ftbench.report.flag_marks import (
    FINDINGS_TITLE,
    FlagMarks,
    checks_note,
    flag_notes,
    invalid_notes,
    listed_findings,
)
from pytest_ftbench.report.full_table import full_sheet, unrecorded
from pytest_ftbench.report.gate_table import Gates
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.latency_table import LATENCY_TITLE, latency_notes, latency_sheet
from pytest_ftbench.report.layout import Sheet
from pytest_ftbench.report.notes import COLUMNS, embedders, explained, marks
from pytest_ftbench.report.seed_table import SEED_TITLE, seed_notes, seed_sheet
from pytest_ftbench.report.statistics import Findings, Part
from pytest_ftbench.report.sweep_table import SWEEP_TITLE, sweep_notes, sweep_sheet
from pytest_ftbench.report.transfer_table import NO_TRANSFER, TRANSFER_TITLE, transfer_notes, transfer_sheet, untold
from pytest_ftbench.report.words import clean

NO_WIDTH = 100_000
"""Characters: the width of a page on which tables scroll, so that no column is left out."""
_WIDEST = 480  # on such a page names still have a width

_LARGE = (
    "Of so many cells only comparisons and correlations on the task trained on are here, and no intervals of all "
    "scores; the terminal's report in full (-v) has the others."
)


@dataclass(frozen=True)
class Story:
    """A report without a medium.

    ``gates`` are their verdicts (None: there are none); ``sheet`` is the full table (None: no cells), ``columns`` what
    its columns mean; ``baselines`` what trivial answerers score and what difference could have been seen; ``cautions``
    what marks don't show: seeds that make a mean INVALID, checks not made; ``checks`` the sentences of the flags;
    ``parts`` all other tables; ``answers`` what the records say to the questions of the suite.
    """

    contents: Contents
    suite: str
    counts: str
    facts: tuple[str, ...]
    names: Names
    gates: Gates | None = None
    sheet: Sheet | None = None
    columns: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    answers: tuple[Answer, ...] = ()
    reasons: tuple[Reason, ...] = ()

    @property
    def table(self) -> FullTable:
        """The full table's numbers."""
        return self.contents.table

    @property
    def flags(self) -> FlagMarks:
        """Where the codes of checks stand."""
        return self.contents.flags

    def part(self, title: str) -> Part | None:
        """The table of that title; None where there is none."""
        return next((part for part in self.parts if part.title == title), None)


def tell(contents: Contents, width: int, detail: bool = False, most: int | None = None) -> Story:
    """The story of these contents, its tables made for ``width`` characters; see ``render`` for what ``detail`` adds.

    Of more than ``most`` cells (None: there is no such number) not all are compared with all.
    """
    results, table, found = contents.results, contents.table, contents.found
    names = Names([row.key for row in table.rows], min(width, _WIDEST))
    story = Story(
        contents,
        suite=clean(results.suite) or "unnamed",
        counts=counts(results, table),
        facts=tuple(facts(results, table)),
        names=names,
        gates=Gates.of(contents, width, min(width, _WIDEST)),
        reasons=tuple(reasons(results.cells)),
    )
    if not table.rows:
        return story
    large = most is not None and len(results.cells) > most
    findings = Findings(results, detail and not large, contents.baseline, contents.evidence)
    sheet, left_out = full_sheet(table, contents.costs, contents.flags, names, width)
    parts = list(_parts(contents, findings, names, width, detail))
    parts += [Part(_LARGE)] if large else []
    if detail and (listed := tuple(listed_findings(results.cells, found))):
        parts.append(Part(FINDINGS_TITLE, notes=listed))
    return replace(
        story,
        sheet=sheet,
        columns=tuple(_table_notes(marks(sheet), left_out, table, contents.costs, names)),
        baselines=(*trivial_lines(table, results, contents.sources), *findings.seen()),
        cautions=(*invalid_notes(results.cells), *checks_note(contents.limits)),
        checks=tuple(flag_notes(results.cells, found, contents.flags.everywhere)),
        parts=tuple(parts),
        answers=tuple(contents.answers),
    )


def _parts(contents: Contents, findings: Findings, names: Names, width: int, detail: bool) -> Iterator[Part]:
    """All tables but the full one."""
    records, trivial, table = contents.results.cells, contents.results.trivial, contents.table
    blocks = latencies(records, trivial)
    if blocks and (detail or any(row.fixed.is_known or row.fast.is_known for block in blocks for row in block.rows)):
        sheet, left_out = latency_sheet(blocks, names, width)
        yield Part(LATENCY_TITLE, sheet, tuple(latency_notes(blocks, left_out)))
    if detail and (seeds := seed_table(records, trivial)):
        sheet = seed_sheet(seeds, names)
        yield Part(SEED_TITLE, sheet, tuple(seed_notes(sheet)))
    if training := cost_sheet(table, contents.costs, names):
        yield Part(COST_TITLE, training, tuple(cost_notes(table, contents.costs)))
    if sweeps := rate_sweeps(records):
        sheet = sweep_sheet(sweeps, names)
        yield Part(SWEEP_TITLE, sheet, tuple(sweep_notes(sweeps, sheet)))
    if matrices := contents.matrices:
        why = untold(matrices)
        if why and not detail:
            yield Part(NO_TRANSFER, notes=tuple(explained(why)))
        else:
            yield Part(TRANSFER_TITLE, transfer_sheet(matrices, names), tuple(transfer_notes(matrices)))
    yield from findings.tables(table, names)
    if curves := contents.curves:
        sheet = curve_sheet(curves, names)
        yield Part(CURVE_TITLE, sheet, tuple(curve_notes(curves, sheet)))


def _table_notes(
    found: set[str], left_out: Sequence[str], table: FullTable, costs: Costs, names: Names
) -> Iterator[str]:
    """What the columns and marks of the full table are."""
    yield COLUMNS
    yield from memory_notes(costs, names)
    yield from embedders(table.tasks)
    yield from explained(found)
    if missing := unrecorded(table):
        so = "; without tokens latencies can't be compared" if "Tok" in missing else ""
        yield f"Not recorded: {', '.join(missing)}{so}."
    if left_out:
        yield f"Left out at this width: {', '.join(left_out)}."
    yield from (f"{short} is {full}." for short, full in names.shortened.items())

"""What a report tells, whatever it is written on: what was run, its tables, what these mean, what failed.

A medium (text, Markdown) only draws it: nothing is told in one that another leaves out.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pytest_ftbench.analysis import (
    EvalTask,
    FullTable,
    Standing,
    Trivial,
    checkpoint_costs,
    flags,
    full_table,
    latencies,
    learning_curves,
    over_seeds,
    pooled,
    rate_sweeps,
    seed_table,
    seeds_of,
    transfer_matrices,
    trivial_scores,
)
from pytest_ftbench.grid import CellRecord, Results, Thresholds
from pytest_ftbench.report.cost_table import COST_TITLE, Costs, cost_notes, cost_sheet, memory_notes
from pytest_ftbench.report.curve_table import TITLE, curve_notes, curve_sheet
from pytest_ftbench.report.flag_marks import FlagMarks, flag_notes
from pytest_ftbench.report.full_table import full_sheet, unrecorded
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.latency_table import LATENCY_TITLE, latency_notes, latency_sheet
from pytest_ftbench.report.layout import Sheet
from pytest_ftbench.report.notes import COLUMNS, embedders, explained, marks
from pytest_ftbench.report.seed_table import SEED_TITLE, seed_notes, seed_sheet
from pytest_ftbench.report.statistics import Baseline, Findings, Part
from pytest_ftbench.report.sweep_table import SWEEP_TITLE, sweep_notes, sweep_sheet
from pytest_ftbench.report.transfer_table import NO_TRANSFER, TRANSFER_TITLE, transfer_sheet, untold
from pytest_ftbench.report.words import clean, elided, score

_NAME_ROOM = 40
_WIDEST = 400  # where a page has no width, names still have one
_ERROR_ROOM = 600  # an error can carry a whole traceback: results.json keeps all of it

_APART = ((Standing.INVALID, "INVALID"), (Standing.TRIVIAL, "<trivial"))


@dataclass(frozen=True)
class Reason:
    """Why a cell failed, was skipped, or failed its test after it was measured (``what`` is the mark of that)."""

    cell: str
    what: str
    why: str


@dataclass(frozen=True)
class Story:
    """A report without a medium. ``sheet`` is the full table (None: no cells), ``columns`` what its columns mean.

    ``baselines`` are what trivial answerers score and what difference could have been seen; ``checks`` the sentences of
    the flags; ``parts`` all other tables.
    """

    suite: str
    counts: str
    facts: tuple[str, ...]
    table: FullTable
    names: Names
    flags: FlagMarks
    sheet: Sheet | None = None
    columns: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    reasons: tuple[Reason, ...] = ()


def tell(results: Results, width: int, detail: bool = False, baseline: Baseline | None = None) -> Story:
    """The story of these results, its tables made for ``width`` characters; see ``render`` for what ``detail`` adds."""
    checks = flags(results.cells, results.trivial, Thresholds.from_json(results.provenance.get("checks")))
    found_by = {id(record): found for record, found in zip(results.cells, checks, strict=True)}
    results = replace(results, cells=pooled(results.cells))
    found_in = [over_seeds([found_by[id(each)] for each in seeds_of(record)]) for record in results.cells]
    table = full_table(results.cells, results.trivial)
    names = Names([row.key for row in table.rows], min(width, _WIDEST))
    checked = FlagMarks.of(results.cells, found_in)
    story = Story(
        suite=clean(results.suite) or "unnamed",
        counts=_counts(results, table),
        facts=tuple(_facts(results, table)),
        table=table,
        names=names,
        flags=checked,
        reasons=tuple(_reasons(results.cells)),
    )
    if not table.rows:
        return story
    costs = checkpoint_costs(results.cells)
    findings = Findings(results, detail, baseline)
    sheet, left_out = full_sheet(table, costs, checked, names, width)
    return replace(
        story,
        sheet=sheet,
        columns=tuple(table_notes(marks(sheet), left_out, table, costs, names)),
        baselines=(*trivial_lines(table.tasks, results.trivial), *findings.seen()),
        checks=tuple(flag_notes(results.cells, found_in, checked.everywhere)),
        parts=tuple(_parts(results, findings, table, costs, names, width)),
    )


def _parts(
    results: Results, findings: Findings, table: FullTable, costs: Costs, names: Names, width: int
) -> Iterator[Part]:
    """All tables but the full one."""
    records, trivial, detail = results.cells, results.trivial, findings.detail
    blocks = latencies(records, trivial)
    if blocks and (detail or any(row.fixed.is_known for block in blocks for row in block.rows)):
        sheet, left_out = latency_sheet(blocks, names, width)
        yield Part(LATENCY_TITLE, sheet, tuple(latency_notes(blocks, left_out)))
    if detail and (seeds := seed_table(records, trivial)):
        sheet = seed_sheet(seeds, names)
        yield Part(SEED_TITLE, sheet, tuple(seed_notes(sheet)))
    if training := cost_sheet(table, costs, names):
        yield Part(COST_TITLE, training, tuple(cost_notes(table, costs)))
    if sweeps := rate_sweeps(records):
        sheet = sweep_sheet(sweeps, names)
        yield Part(SWEEP_TITLE, sheet, tuple(sweep_notes(sweeps, sheet)))
    if matrices := transfer_matrices(records, trivial, findings.evidence):
        why = untold(matrices)
        if why and not detail:
            yield Part(NO_TRANSFER, notes=tuple(explained(why)))
        else:
            yield Part(TRANSFER_TITLE, transfer_sheet(matrices, names))
    yield from findings.tables(table, names)
    if curves := learning_curves(records, trivial):
        sheet = curve_sheet(curves, names)
        yield Part(TITLE, sheet, tuple(curve_notes(curves, sheet)))


def _counts(results: Results, table: FullTable) -> str:
    """How many cells there are, and what became of them."""
    counts = Counter(cell.standing for row in table.rows for cell in row.cells.values())
    failed, skipped = counts[Standing.FAILED], counts[Standing.SKIPPED]
    measured = counts.total() - failed - skipped
    apart = [f"{counts[s]} {word}" for s, word in _APART if counts[s]]
    text = (
        f"{counts.total()} cells{_seeds(results.cells)}: {measured} ok{' (' + ', '.join(apart) + ')' if apart else ''},"
        f" {failed} failed"
    )
    return text + (f", {skipped} skipped" if skipped else "")


def _facts(results: Results, table: FullTable) -> Iterator[str]:
    """Where the numbers come from, on how many items they stand, and what is the matter with the rows."""
    facts = [", ".join(_provenance(results)), ", ".join(_sizes(results, table))]
    yield from (text for text in facts if text)
    said = results.provenance.get("hygiene")
    if isinstance(said, list):
        yield from (elided(clean(text), _ERROR_ROOM) for text in said if isinstance(text, str))


def _seeds(records: Sequence[CellRecord]) -> str:
    """Over how many seeds the tuned cells are means; empty where none is one."""
    counts = {len(seeds_of(record)) for record in records if record.train_task is not None and record.ok}
    few, many = min(counts, default=1), max(counts, default=1)
    return "" if many == 1 else f", the tuned ones means over {few if few == many else f'{few} to {many}'} seeds"


def _sizes(results: Results, table: FullTable) -> Iterator[str]:
    """On how many test items each task's scores stand: ten items make no finding."""
    for task in table.tasks:
        cells = (cell for cell in results.cells if cell.ok and cell.eval_task == task.name)
        known = {cell.n for cell in cells if isinstance(cell.n, int)}
        if known:
            few, many = min(known), max(known)
            yield f"{clean(task.label)} on {few if few == many else f'{few} to {many}'} items"


def _provenance(results: Results) -> Iterator[str]:
    """The essentials of where the numbers come from, as far as they are known."""
    known = results.provenance
    if device := known.get("device_name") or known.get("device"):
        yield f"device {elided(clean(device), _NAME_ROOM)}"
    measured_in = dict.fromkeys(cell.eval_dtype for cell in results.cells if isinstance(cell.eval_dtype, str))
    if dtype := known.get("dtype") or " and ".join(filter(None, measured_in)):
        yield f"dtype {elided(clean(dtype), _NAME_ROOM)}"
    for word, key in (("reasoning", "reasoning"), ("rows of", "data")):
        said = sorted({text for cell in results.cells if cell.ok and (text := cell.provenance(key))})
        if said:
            yield f"{word} {elided(clean(' and '.join(said)), _NAME_ROOM)}"
    if sha := known.get("git_sha"):
        yield f"git {clean(sha)[:12]}{' (uncommitted changes)' if known.get('dirty') else ''}"


def table_notes(
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


def trivial_lines(tasks: Sequence[EvalTask], trivial: Trivial) -> Iterator[str]:
    """For each task what answerers score that read nothing, in its headline metric."""
    for task in tasks:
        if scores := trivial_scores(trivial, task):
            said = [
                f"{clean(name).replace('_', ' ').replace('always abstain', 'always abstaining')} scores "
                f"{score(value, task.headline.format)}"
                for name, value in scores.items()
            ]
            yield f"Trivial on {clean(task.label)}: {', '.join(said)}."


def _reasons(records: Sequence[CellRecord]) -> Iterator[Reason]:
    """Each cell that failed, was skipped for a reason, or failed its test after it was measured; and why."""
    for record in records:
        why = elided(clean(record.error or ""), _ERROR_ROOM)
        if record.ok and why:
            yield Reason(clean(record.id), "†", why)
        elif not record.ok and (why or record.status != "skipped"):
            yield Reason(clean(record.id), clean(record.status), why or "no reason was recorded")

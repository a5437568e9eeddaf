"""What a report tells, whatever it is written on: what was run, its tables, what these mean, what failed.

A medium (text, Markdown) only draws it: nothing is told in one that another leaves out.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_ftbench.analysis import (
    Answer,
    EvalTask,
    FullTable,
    Standing,
    Trivial,
    answerer,
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
    seeds_of,
    transfer_matrices,
    trivial_scores,
)
from pytest_ftbench.grid import CellRecord, Results, Thresholds
from pytest_ftbench.report.cost_table import COST_TITLE, Costs, cost_notes, cost_sheet, memory_notes
from pytest_ftbench.report.curve_table import TITLE, curve_notes, curve_sheet
from pytest_ftbench.report.flag_marks import (
    FINDINGS_TITLE,
    FlagMarks,
    checks_note,
    flag_notes,
    invalid_notes,
    listed_findings,
)
from pytest_ftbench.report.full_table import full_sheet, unrecorded
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.latency_table import LATENCY_TITLE, latency_notes, latency_sheet
from pytest_ftbench.report.layout import Sheet
from pytest_ftbench.report.notes import COLUMNS, embedders, explained, marks
from pytest_ftbench.report.seed_table import SEED_TITLE, seed_notes, seed_sheet
from pytest_ftbench.report.statistics import Baseline, Findings, Part
from pytest_ftbench.report.sweep_table import SWEEP_TITLE, sweep_notes, sweep_sheet
from pytest_ftbench.report.transfer_table import NO_TRANSFER, TRANSFER_TITLE, transfer_notes, transfer_sheet, untold
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

    ``baselines`` are what trivial answerers score and what difference could have been seen; ``cautions`` what marks
    don't show: seeds that make a mean INVALID, checks not made; ``checks`` the sentences of the flags; ``parts`` all
    other tables; ``answers`` what the records say to the questions of the suite.
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
    cautions: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    answers: tuple[Answer, ...] = ()
    reasons: tuple[Reason, ...] = ()


def tell(results: Results, width: int, detail: bool = False, baseline: Baseline | None = None) -> Story:
    """The story of these results, its tables made for ``width`` characters; see ``render`` for what ``detail`` adds."""
    trivial, sources = known_trivial(results.cells, results.trivial)
    results = replace(results, cells=pooled(results.cells), trivial=trivial)
    then = judged(baseline)
    findings = Findings(results, detail, then)
    limits = Thresholds.from_json(results.provenance.get("checks"))
    found_in = pooled_flags(results.cells, results.trivial, limits, findings.evidence)
    table = full_table(results.cells, results.trivial)
    names = Names([row.key for row in table.rows], min(width, _WIDEST))
    checked = FlagMarks.of(results.cells, found_in)
    story = Story(
        suite=clean(results.suite) or "unnamed",
        counts=counts(results, table),
        facts=tuple(facts(results, table)),
        table=table,
        names=names,
        flags=checked,
        reasons=tuple(reasons(results.cells)),
    )
    if not table.rows:
        return story
    costs = checkpoint_costs(results.cells)
    sheet, left_out = full_sheet(table, costs, checked, names, width)
    parts = list(_parts(results, findings, table, costs, names, width))
    if detail and (listed := tuple(listed_findings(results.cells, found_in))):
        parts.append(Part(FINDINGS_TITLE, notes=listed))
    return replace(
        story,
        sheet=sheet,
        columns=tuple(table_notes(marks(sheet), left_out, table, costs, names)),
        baselines=(*trivial_lines(table, results, sources), *findings.seen()),
        cautions=(*invalid_notes(results.cells), *checks_note(limits)),
        checks=tuple(flag_notes(results.cells, found_in, checked.everywhere)),
        parts=tuple(parts),
        answers=tuple(answers(results, findings.evidence, None if then is None else then[1], found_in)),
    )


def judged(baseline: Baseline | None) -> Baseline | None:
    """The baseline with what trivial answerers score there, as far as that can be known."""
    if baseline is None:
        return None
    name, stored = baseline
    return name, replace(stored, trivial=known_trivial(stored.cells, stored.trivial).scores)


def _parts(
    results: Results, findings: Findings, table: FullTable, costs: Costs, names: Names, width: int
) -> Iterator[Part]:
    """All tables but the full one."""
    records, trivial, detail = results.cells, results.trivial, findings.detail
    blocks = latencies(records, trivial)
    if blocks and (detail or any(row.fixed.is_known or row.fast.is_known for block in blocks for row in block.rows)):
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
            yield Part(TRANSFER_TITLE, transfer_sheet(matrices, names), tuple(transfer_notes(matrices)))
    yield from findings.tables(table, names)
    if curves := learning_curves(records, trivial):
        sheet = curve_sheet(curves, names)
        yield Part(TITLE, sheet, tuple(curve_notes(curves, sheet)))


def counts(results: Results, table: FullTable) -> str:
    """How many cells there are, and what became of them."""
    found = Counter(cell.standing for row in table.rows for cell in row.cells.values())
    failed, skipped = found[Standing.FAILED], found[Standing.SKIPPED]
    measured = found.total() - failed - skipped
    apart = [f"{found[s]} {word}" for s, word in _APART if found[s]]
    text = (
        f"{found.total()} cells{_seeds(results.cells)}: {measured} ok{' (' + ', '.join(apart) + ')' if apart else ''},"
        f" {failed} failed"
    )
    return text + (f", {skipped} skipped" if skipped else "")


def facts(results: Results, table: FullTable) -> Iterator[str]:
    """Where the numbers come from, on how many items they stand, and what is the matter with the rows."""
    known = [", ".join(_provenance(results)), ", ".join(_sizes(results, table))]
    yield from (text for text in known if text)
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


def trivial_lines(table: FullTable, results: Results, sources: Mapping[str, str]) -> Iterator[str]:
    """For each task what answerers score that read nothing, in the metrics that its cells are judged by."""
    for task in table.tasks:
        source = f" ({sources[task.name]})" if task.name in sources else ""
        if said := _said(results.trivial, task):
            yield f"Trivial on {clean(task.label)}: {said}{source}."
        judged = (task.judged_by(cell) for cell in results.cells if cell.ok and cell.eval_task == task.name)
        other = next((each for each in judged if each != task), None)
        if other is not None and (said := _said(results.trivial, other)):
            without = f"{clean(task.label)} cells without {task.headline.label}"
            yield f"{without} are judged by {other.headline.label}: {said}{source}."


def _said(trivial: Trivial, task: EvalTask) -> str:
    scores = trivial_scores(trivial, task).items()
    return ", ".join(f"{answerer(clean(name))} scores {score(value, task.headline.format)}" for name, value in scores)


def reasons(records: Sequence[CellRecord]) -> Iterator[Reason]:
    """Each cell that failed, was skipped for a reason, or failed its test after it was measured; and why."""
    for record in records:
        why = elided(clean(record.error or ""), _ERROR_ROOM)
        if record.ok and why:
            yield Reason(clean(record.id), "†", why)
        elif not record.ok and (why or record.status != "skipped"):
            yield Reason(clean(record.id), clean(record.status), why or "no reason was recorded")

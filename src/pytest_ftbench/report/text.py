"""The report as text for a terminal: what was run, its tables, what their marks mean, what failed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from pytest_ftbench.analysis import (
    CurveGroup,
    EvalTask,
    FullTable,
    LatencyBlock,
    RateSweep,
    SeedTable,
    Standing,
    TransferMatrix,
    Trivial,
    answerer,
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
from pytest_ftbench.report.layout import Paint, Sheet, Style, ansi, no_paint, wrapped
from pytest_ftbench.report.notes import COLUMNS, embedders, explained, marks
from pytest_ftbench.report.seed_table import SEED_TITLE, seed_notes, seed_sheet
from pytest_ftbench.report.statistics import Baseline, Findings
from pytest_ftbench.report.sweep_table import SWEEP_TITLE, sweep_notes, sweep_sheet
from pytest_ftbench.report.transfer_table import transfer_notes, transfer_sheet
from pytest_ftbench.report.words import clean, elided, score

_NAME_ROOM = 40
_ERROR_ROOM = 600  # an error can carry a whole traceback: results.json keeps all of it

_APART = ((Standing.INVALID, "INVALID"), (Standing.TRIVIAL, "<trivial"))


def render(
    results: Results, width: int = 100, color: bool = False, detail: bool = False, baseline: Baseline | None = None
) -> list[str]:
    """The report's lines, none over ``width`` characters; below 80, rows of a wide table may have to be cut.

    Cells of several seeds are shown as one. The table of latencies is there with ``detail``, or where any was measured
    at a fixed length. With ``detail`` there are each seed's scores and intervals of all scores too, and comparisons and
    correlations on other tasks than the one trained on. The ranking is held against the ``baseline``'s.
    """
    paint = ansi if color else no_paint
    trivial, sources = known_trivial(results.cells, results.trivial)
    results = replace(results, cells=pooled(results.cells), trivial=trivial)
    table = full_table(results.cells, results.trivial)
    findings = Findings(results, detail, _judged(baseline))
    limits = Thresholds.from_json(results.provenance.get("checks"))
    found_in = pooled_flags(results.cells, results.trivial, limits, findings.evidence)
    names = Names([row.key for row in table.rows], width)
    lines = _heading(results, table, width, paint)
    if table.rows:
        costs = checkpoint_costs(results.cells)
        checked = FlagMarks.of(results.cells, found_in)
        sheet, left_out = full_sheet(table, costs, checked, names, width)
        found = marks(sheet)
        lines += ["", *sheet.draw(width, paint), ""]
        lines += wrapped([*_trivial_lines(table, results, sources), *findings.seen()], width, no_paint)
        lines += wrapped(_table_notes(found, left_out, table, costs, names), width, paint)
        lines += wrapped([*invalid_notes(results.cells), *checks_note(limits)], width, no_paint)
        lines += wrapped(flag_notes(results.cells, found_in, checked.everywhere), width, no_paint)
        lines += _measured_parts(results, detail, names, found, width, paint)
        lines += _training_parts(results, table, costs, names, found, width, paint)
        if matrices := transfer_matrices(results.cells, results.trivial, findings.evidence):
            lines += ["", *_transfer_part(matrices, names, found, width, paint)]
        lines += findings.parts(table, names, found, width, paint)
        if curves := learning_curves(results.cells, results.trivial):
            lines += ["", *_curve_part(curves, names, found, width, paint)]
        if detail and (listed := list(listed_findings(results.cells, found_in))):
            lines += ["", *wrapped([FINDINGS_TITLE], width, paint, Style.STRONG), "", *wrapped(listed, width, no_paint)]
    return lines + _reasons(results.cells, width, paint)


def _judged(baseline: Baseline | None) -> Baseline | None:
    """The baseline with what trivial answerers score there, as far as that can be known."""
    if baseline is None:
        return None
    name, stored = baseline
    return name, replace(stored, trivial=known_trivial(stored.cells, stored.trivial).scores)


def _measured_parts(
    results: Results, detail: bool, names: Names, found: set[str], width: int, paint: Paint
) -> Iterator[str]:
    """The lines of what stands behind a cell's latency and score, an empty one before each table."""
    blocks = latencies(results.cells, results.trivial)
    if blocks and (detail or any(row.fixed.is_known for block in blocks for row in block.rows)):
        yield from ["", *_latency_part(blocks, names, found, width, paint)]
    if detail and (seeds := seed_table(results.cells, results.trivial)):
        yield from ["", *_seed_part(seeds, names, found, width, paint)]


def _training_parts(
    results: Results, table: FullTable, costs: Costs, names: Names, found: set[str], width: int, paint: Paint
) -> Iterator[str]:
    """The lines of what training took and which rates were tried, an empty one before each table."""
    if training := cost_sheet(table, costs, names):
        yield from ["", *_cost_part(training, cost_notes(table, costs), found, width, paint)]
    if sweeps := rate_sweeps(results.cells):
        yield from ["", *_sweep_part(sweeps, names, width, paint)]


def _heading(results: Results, table: FullTable, width: int, paint: Paint) -> list[str]:
    counts = Counter(cell.standing for row in table.rows for cell in row.cells.values())
    failed, skipped = counts[Standing.FAILED], counts[Standing.SKIPPED]
    measured = counts.total() - failed - skipped
    apart = [f"{counts[s]} {word}" for s, word in _APART if counts[s]]
    seeds = _seeds(results.cells)
    text = (
        f"{counts.total()} cells{seeds}: {measured} ok{' (' + ', '.join(apart) + ')' if apart else ''}, {failed} failed"
    )
    lines = wrapped([f"suite: {clean(results.suite) or 'unnamed'}"], width, paint, Style.STRONG)
    lines += wrapped([text + (f", {skipped} skipped" if skipped else "")], width, no_paint)
    facts = [", ".join(_provenance(results)), ", ".join(_sizes(results, table))]
    return lines + wrapped([*(text for text in facts if text), *_hygiene(results)], width, no_paint)


def _hygiene(results: Results) -> Iterator[str]:
    """What is the matter with the rows, as the run that read them says it."""
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


def _table_notes(
    found: set[str], left_out: Sequence[str], table: FullTable, costs: Costs, names: Names
) -> Iterator[str]:
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


def _trivial_lines(table: FullTable, results: Results, sources: Mapping[str, str]) -> Iterator[str]:
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


def _latency_part(blocks: Sequence[LatencyBlock], names: Names, told: set[str], width: int, paint: Paint) -> list[str]:
    """How long answers took, and what the columns mean."""
    sheet, left_out = latency_sheet(blocks, names, width)
    notes = [*latency_notes(blocks, left_out), *explained(marks(sheet) - told)]
    told |= marks(sheet)
    lines = [*wrapped([LATENCY_TITLE], width, paint, Style.STRONG), "", *sheet.draw(width, paint)]
    return [*lines, "", *wrapped(notes, width, paint)]


def _seed_part(seeds: SeedTable, names: Names, told: set[str], width: int, paint: Paint) -> list[str]:
    """The score under each seed, and what the columns mean."""
    sheet = seed_sheet(seeds, names)
    notes = [*seed_notes(sheet), *explained(marks(sheet) - told)]
    told |= marks(sheet)
    lines = [*wrapped([SEED_TITLE], width, paint, Style.STRONG), "", *sheet.draw(width, paint)]
    return [*lines, "", *wrapped(notes, width, paint)]


def _cost_part(sheet: Sheet, columns: Iterable[str], told: set[str], width: int, paint: Paint) -> list[str]:
    """What training took, and what the columns mean."""
    notes = [*columns, *explained(marks(sheet) - told)]
    told |= marks(sheet)
    lines = [*wrapped([COST_TITLE], width, paint, Style.STRONG), "", *sheet.draw(width, paint)]
    return [*lines, "", *wrapped(notes, width, paint)]


def _sweep_part(sweeps: Sequence[RateSweep], names: Names, width: int, paint: Paint) -> list[str]:
    """Which learning rates were tried, and what the table means."""
    sheet = sweep_sheet(sweeps, names)
    lines = [*wrapped([SWEEP_TITLE], width, paint, Style.STRONG), "", *sheet.draw(width, paint)]
    return [*lines, "", *wrapped(sweep_notes(sweeps, sheet), width, paint)]


def _transfer_part(
    matrices: Sequence[TransferMatrix], names: Names, told: set[str], width: int, paint: Paint
) -> list[str]:
    """The transfer matrices, and the marks in them that were not told before, which are then."""
    sheet = transfer_sheet(matrices, names)
    title = "Transfer: change of the headline score against the untuned model, in percent; + is better"
    notes = [*explained(marks(sheet) - told), *transfer_notes(matrices)]
    told |= marks(sheet)
    lines = [*wrapped([title], width, paint, Style.STRONG), "", *sheet.draw(width, paint)]
    return lines + [""] * bool(notes) + wrapped(notes, width, paint)


def _curve_part(curves: Sequence[CurveGroup], names: Names, told: set[str], width: int, paint: Paint) -> list[str]:
    """The learning curves, and what their numbers mean."""
    sheet = curve_sheet(curves, names)
    notes = [*curve_notes(curves, sheet), *explained(marks(sheet) - told)]
    lines = [*wrapped([TITLE], width, paint, Style.STRONG), "", *sheet.draw(width, paint)]
    return [*lines, "", *wrapped(notes, width, paint)]


def _reasons(records: Sequence[CellRecord], width: int, paint: Paint) -> list[str]:
    """Each cell that failed, was skipped for a reason, or failed its test after it was measured; and why."""
    texts = []
    for record in records:
        why = elided(clean(record.error or ""), _ERROR_ROOM)
        if record.ok and why:
            texts.append(f"{clean(record.id)} †: {why}")
        elif not record.ok and (why or record.status != "skipped"):
            texts.append(f"{clean(record.id)} {clean(record.status)}: {why or 'no reason was recorded'}")
    if not texts:
        return []
    return ["", *wrapped(["Reasons"], width, paint, Style.STRONG), *wrapped(texts, width, no_paint)]

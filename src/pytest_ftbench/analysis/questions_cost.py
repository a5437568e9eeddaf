"""What is cheapest: the Pareto fronts, the ladder by training memory, the cells that cost least to answer with."""

from collections.abc import Callable, Sequence

from pytest_ftbench.analysis.answers import AnswerTable, Entry, Reply
from pytest_ftbench.analysis.clauses import gap_entries, seconds, tokens
from pytest_ftbench.analysis.ladder import Ladder, ladders
from pytest_ftbench.analysis.material import Material
from pytest_ftbench.analysis.pareto import Front, Point, fronts
from pytest_ftbench.analysis.validity import Standing
from pytest_ftbench.analysis.wording import MEMORY, UNKNOWN, cap, gib, label, listed
from pytest_ftbench.grid import CellRecord

NO_FRONT = "cells with a score that may be ranked, and the latency or the memory of their answers"
NO_MEMORY = "peaks of training memory of every way of tuning that is to be compared"
NO_COST = (
    "two cells or more that were tested on one task and may be ranked, with the latency or the memory of their answers"
)
_UNWEIGHED = {"latency": "latency", "memory": "memory of answering"}


def pareto(material: Material) -> Reply:
    """The front of each task over everything that was run, and what dominates the rest."""
    return _fronts(material, fronts(material), "Pareto-optimal")


def best_balance(material: Material) -> Reply:
    """The front of each task among what was tuned on that very task."""
    cells = [record for mine in material.trained.values() for record in mine]
    return _fronts(material, fronts(material, cells), "Not dominated, of what was tuned on the very task")


def by_memory(material: Material) -> Reply:
    """Which way of tuning is best with so much memory to train."""
    found = ladders(material)
    if not found:
        return Reply(missing=NO_MEMORY)
    rows = []
    for ladder in found:
        task = label(ladder.task.name)
        if ladder.base is not None:
            rows.append(
                (Entry(task), Entry("0"), Entry("untuned"), material.scored(ladder.base), *gap_entries(None), Entry())
            )
        for rung in ladder.rungs:
            way, size = material.way(rung.record), cap(rung.memory_gib)
            score = material.scored(rung.record, best=rung.step is not None and rung.step.shown > 0)
            rows.append(
                (Entry(task), Entry(size), Entry(way), score, *gap_entries(rung.step), material.flagged(rung.record))
            )
    kinds = {MEMORY[ladder.memory] for ladder in found}
    said = [f"{_climb(material, ladder)}." for ladder in found]
    count = max((rung.step.comparisons for e in found for rung in e.rungs if rung.step is not None), default=1)
    corrected = f"; steps corrected for {count} comparisons" if count > 1 else ""
    said[0] = f"With so much memory to train ({listed(sorted(kinds))}{corrected}): {said[0]}"
    left = [f"{label(e.task.name)}: {listed(map(material.way, e.not_worth))}" for e in found if e.not_worth]
    unranked = [f"{label(e.task.name)}: {listed(map(material.said, e.unranked))}" for e in found if e.unranked]
    apart = [f"more memory for no better score ({'; '.join(left)})"] if left else []
    apart += [f"not ranked ({'; '.join(unranked)})"] if unranked else []
    also = [f"Off the ladder: {'; '.join(apart)}."] if apart else []
    headings = ("Task", "From GiB", "Way", "Score", "Step", "95 %", "Flags")
    return Reply((*said, *also), AnswerTable(headings, tuple(rows), labels=1))


def cheapest(material: Material) -> Reply:
    """For each task the ranked cell with the lowest latency, time per token, and memory of answering."""
    rows, clauses = [], []
    for name, task in material.tasks.items():
        # the first of equals in reading order
        cells = [
            r for r in material.in_order(material.records) if r.eval_task == name and material.goodness(r) is not None
        ]
        peaks = material.peaks(cells, "eval")
        sizes = {} if peaks is None else peaks[1]
        best = material.best(cells)
        by: dict[str, Callable[[CellRecord], float | None]] = {
            "latency": lambda record: material.cell(record).latency_s,
            "ms/token": lambda record: material.cell(record).s_per_token,
            "memory": lambda record, sizes=sizes: sizes.get(id(record)),  # type: ignore[misc]
        }
        for what, read in by.items():
            known = [(value, record) for record in cells if (value := read(record)) is not None]
            # a longer answer spreads the reading of its prompt over more tokens
            fair = what != "ms/token" or _of_like_length(material, cells)
            if len(known) == len(cells) and len(known) > 1 and fair:
                record = min(known, key=lambda pair: pair[0])[1]
                gap = material.gap(record, best[0])
                rows.append(_cheap_row(material, f"{label(task.name)}: {what}", record, sizes, gap))
                if what == "latency":
                    beside = "best in score too" if record in best else f"best in score: {material.said(best[0])}"
                    clauses.append(f"{label(task.name)}: {material.said(record)} ({beside})")
    if not rows:
        return Reply(missing=NO_COST)
    said = [f"Lowest latency of what may be ranked: {'; '.join(clauses)}."] if clauses else []
    headings = ("Lowest in", "Trained on", "Way", "Score", "to best", "95 %", "Lat s", "Tok", "ms/tok", "GiB", "Flags")
    tied = "A latency counts tokens as well as time: beside it stand the tokens of an answer and the time of one."
    return Reply((*said, tied), AnswerTable(headings, tuple(rows), labels=2))


def _fronts(material: Material, found: Sequence[Front], what: str) -> Reply:
    weighed = [front for front in found if len(front.axes) > 1 and front.points]
    if not weighed:
        return Reply(missing=NO_FRONT)
    clauses = [
        f"{label(front.task.name)}: {listed((_who(material, p.record) for p in front.front), 6)} "
        f"({len(front.dominated)} dominated, {len(front.unranked)} not ranked)"
        for front in weighed
    ]
    empty = [label(front.task.name) for front in found if not front.points]
    clauses += [f"{listed(empty)}: nothing can be ranked"] if empty else []
    said = [f"{what}: {'; '.join(clauses)}."]
    axes = {axis for front in weighed for axis in front.axes}
    kinds = sorted({MEMORY[front.memory] for front in weighed if front.memory is not None})
    lacking = [text for axis, text in _UNWEIGHED.items() if any(axis not in front.axes for front in weighed)]
    weights = "score" + (", seconds per answer" if "latency" in axes else "")
    weights += f", memory of answering ({listed(kinds)})" if kinds else ""
    unknown = f"; {listed(lacking)} is not known of all cells" if lacking else ""
    said.append(f"Weighed: {weights}{unknown}. By the numbers as they are; ~: the two scores can't be told apart.")
    rows = tuple(_point_row(material, front, point) for front in weighed for point in front.points)
    headings = ("Tested on", "Trained on", "Way", "Score", "Lat s", "Tok", "GiB", "Dominated by", "Flags")
    return Reply(tuple(said), AnswerTable(headings, rows, labels=3))


def _who(material: Material, record: CellRecord) -> str:
    trained = "" if record.train_task in (None, record.eval_task) else f" tuned on {label(str(record.train_task))}"
    return material.way(record) + trained


def _point_row(material: Material, front: Front, point: Point) -> tuple[Entry, ...]:
    by = "" if point.by is None else f"{'~ ' if point.open else ''}{_who(material, point.by)}"
    return (
        Entry(label(front.task.name)),
        Entry(_trained(point.record)),
        Entry(material.way(point.record)),
        material.scored(point.record, best=point.by is None),
        Entry(seconds(point.latency_s)),
        Entry(tokens(point.tokens)),
        Entry(gib(point.memory_gib)),
        Entry(by or "none"),
        material.flagged(point.record),
    )


def _cheap_row(
    material: Material, what: str, record: CellRecord, sizes: dict[int, float], gap: object
) -> tuple[Entry, ...]:
    cell = material.cell(record)
    per_token = cell.ms_per_token
    return (
        Entry(what),
        Entry(_trained(record)),
        Entry(material.way(record)),
        material.scored(record),
        *gap_entries(gap),  # type: ignore[arg-type]
        Entry(seconds(cell.latency_s)),
        Entry(tokens(cell.output_tokens)),
        Entry(UNKNOWN if per_token is None else f"{per_token:.3g}"),
        Entry(gib(sizes.get(id(record)))),
        material.flagged(record),
    )


def _of_like_length(material: Material, cells: Sequence[CellRecord]) -> bool:
    """Whether times per token can be compared: the first token was timed apart, or lengths are within 20 %."""
    known = [material.cell(record) for record in cells]
    lengths = [cell.output_tokens or 0.0 for cell in known]
    if all(cell.tpot_s is not None for cell in known):
        return True
    return all(cell.tpot_s is None for cell in known) and max(lengths, default=0) <= 1.2 * min(lengths, default=0)


def _trained(record: CellRecord) -> str:
    return UNKNOWN if record.train_task is None else label(record.train_task)


def _climb(material: Material, ladder: Ladder) -> str:
    task = label(ladder.task.name)
    base = "nothing" if ladder.base is None else f"the untuned {material.said(ladder.base)}"
    if not ladder.rungs:
        above = f"no way of tuning scores more than {base}" if ladder.not_worth else "no way of tuning can be ranked"
        return f"{task}: {above}"
    first = cap(ladder.rungs[0].memory_gib)
    steps = [f"below {first} GiB {base}"]
    for rung in ladder.rungs:
        gap = rung.step
        unsure = "" if gap is not None and gap.shown else " (not shown to be better)"
        # than nothing, and than what can't be read, it need not be
        if rung is ladder.rungs[0] and (ladder.base is None or material.standing(ladder.base) is Standing.INVALID):
            unsure = ""
        steps.append(f"from {cap(rung.memory_gib)} GiB {material.said(rung.record)}{unsure}")
    return f"{task}: {', '.join(steps)}"

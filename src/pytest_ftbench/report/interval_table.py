"""Scores with their intervals on a page; of absolute differences the median and quartiles, a mean saying too little."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pytest_ftbench.analysis import (
    UNMEASURED,
    EvalTask,
    Evidence,
    FullTable,
    Interval,
    Quartiles,
    checkpoint_key,
    difference_quartiles,
    score_interval,
)
from pytest_ftbench.grid import CellRecord, CheckpointKey
from pytest_ftbench.report.full_table import metric_heading, standing_style
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.layout import Column, Group, Section, Sheet, Text
from pytest_ftbench.report.words import ABSENT, clean, score

INTERVAL_TITLE = "Scores with intervals"

_NOTE = "95 %: the score's interval over items of this kind, by {methods}."
_QUARTILES = "Off by: the median absolute difference of parsed outputs, those of all seeds together, and its quartiles."
_METHODS = {
    "Wilson": "Wilson (shares, and scores that nearly all items have at an end)",
    "BCa": "BCa bootstrap",
    "cluster BCa": "BCa bootstrap of whole passages",
    "seeds + items": "Student's t for seeds and items (Howe; seeds taken to vary alike over the ways tuned on a task)",
    "percentile": "percentile bootstrap",
    "at most": "Wilson as for a share of that height, the widest it can be (no items)",
    "degenerate": "nothing (all items score the same)",
}
Scores = Mapping[tuple[CheckpointKey, str], float | None]
Intervals = Mapping[tuple[CheckpointKey, str], Interval | None]
Medians = Mapping[tuple[CheckpointKey, str], Quartiles | None]


def interval_sheet(
    table: FullTable, records: Sequence[CellRecord], evidence: Evidence, names: Names
) -> tuple[Sheet, list[str]] | None:
    """The table and what its columns are; None where no interval is known."""
    tasks = {task.name: _known(task, records) for task in table.tasks}
    cells = [(record, (checkpoint_key(record), record.eval_task)) for record in records]
    intervals = {key: score_interval(record, tasks[record.eval_task], evidence) for record, key in cells}
    scores = {key: tasks[record.eval_task].score(record) for record, key in cells}
    medians = {key: difference_quartiles(record, evidence) for record, key in cells}
    if not any(intervals.values()) and not any(medians.values()):
        return None
    keys = [row.key for row in table.rows]
    groups = [
        Group(clean(task.label), list(_columns(table, task, scores, intervals, medians))) for task in tasks.values()
    ]
    sections = [Section(clean(block.heading), len(block.rows)) for block in table.blocks]
    sheet = Sheet(Group("", [names.model(keys), *names.way(keys)]), groups, sections)
    return sheet, list(_notes(intervals, medians))


def _known(task: EvalTask, records: Sequence[CellRecord]) -> EvalTask:
    """The task; where no record has its macro F1, as those of the studies haven't, with the accuracy instead."""
    mine = [record for record in records if record.ok and record.eval_task == task.name]
    if task.headline.key != "macro_f1" or any(task.score(record) is not None for record in mine):
        return task
    return replace(task, headline=replace(task.headline, key="accuracy", label="Accuracy"))


def _columns(
    table: FullTable, task: EvalTask, scores: Scores, intervals: Intervals, medians: Medians
) -> Iterator[Column]:
    name, format = task.name, task.headline.format
    shown, ends, off = [], [], []
    for row in table.rows:
        cell, key = row.cells.get(name), (row.key, name)
        measured = cell is not None and cell.standing not in UNMEASURED
        value = scores.get(key) if measured else None
        found, quartiles = intervals.get(key), medians.get(key)
        style = standing_style(cell.standing) if cell is not None else None
        shown.append(Text(score(value, format), style=style) if style is not None else Text(ABSENT))
        ends.append(Text(ABSENT if found is None else f"{score(found.low, format)} to {score(found.high, format)}"))
        off.append(Text(ABSENT if quartiles is None else _off(quartiles)))
    yield Column(metric_heading(task.headline), shown)
    yield Column("95 %", ends)
    if any(text.body != ABSENT for text in off):
        yield Column("Off by", off)


def _off(quartiles: Quartiles) -> str:
    low, middle, high = (f"{value:.3g}" for value in (quartiles.low, quartiles.median, quartiles.high))
    return f"{middle} ({low} to {high})"


def _notes(intervals: Intervals, medians: Medians) -> Iterator[str]:
    methods = dict.fromkeys(interval.method for interval in intervals.values() if interval is not None)
    if methods:
        yield _NOTE.format(methods=", ".join(_METHODS.get(method, method) for method in methods))
    if any(medians.values()):
        yield _QUARTILES

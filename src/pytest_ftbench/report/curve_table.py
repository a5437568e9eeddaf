"""The learning curves on a page: epochs as columns; for each train task its scores, then training loss and seconds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_ftbench.analysis import (
    UNMEASURED,
    UNTUNED,
    CurveGroup,
    CurvePoint,
    LearningCurve,
    Standing,
    curve_epochs,
    task_label,
    training_curves,
)
from pytest_ftbench.grid import CheckpointKey
from pytest_ftbench.report.full_table import metric_heading, standing_style
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.layout import Column, Group, Section, Sheet, Text
from pytest_ftbench.report.words import ABSENT, aligned, clean, score

CURVE_TITLE = "Learning curves: what one training has reached after so many epochs"

# there is a column per epoch: whole words would take the room of every second one
_MARKS = {Standing.INVALID: "!", Standing.TRIVIAL: "<"}
_EXPLAINED = {
    "!": "! INVALID: under half of the outputs after that epoch can be read, or over half are empty.",
    "<": "< after that epoch not better than the best trivial answerer on the same items.",
}
_UNTUNED = "ep 0: the untuned model."
_WHOLE = (
    "ep: epochs of one training under its whole learning-rate schedule, not ends of separate trainings: where the rate "
    "decays, one that was to end there would end elsewhere. The last point of a row is the score above."
)
_TRAINING = (
    "Training loss: the mean over the steps of that epoch. Training seconds: up to the end of that epoch; saving and "
    "evaluating are left out."
)


@dataclass(frozen=True)
class _Part:
    """One section: a heading, and for each of its rows the checkpoint and the texts by epoch."""

    heading: str
    rows: Sequence[tuple[CheckpointKey, Mapping[float, Text]]]


def curve_sheet(groups: Sequence[CurveGroup], names: Names) -> Sheet:
    """All curves in one table, so that an epoch is one column throughout."""
    parts = list(_parts(groups))
    rows = [row for part in parts for row in part.rows]
    keys = [key for key, _ in rows]
    return Sheet(
        labels=Group("", [names.model(keys), *names.way(keys)]),
        groups=[
            Group("", [Column(f"ep {round(epoch, 2):g}", [texts.get(epoch, Text(ABSENT)) for _, texts in rows])])
            for epoch in curve_epochs(groups)
        ],
        sections=[Section(part.heading, len(part.rows)) for part in parts],
    )


def curve_notes(groups: Sequence[CurveGroup], sheet: Sheet) -> Iterator[str]:
    """What the numbers mean, and the marks that occur."""
    yield _WHOLE
    if UNTUNED in curve_epochs(groups):
        yield _UNTUNED
    yield _TRAINING
    tails = {cell.tail for group in sheet.groups for column in group.columns for cell in column.cells}
    yield from (text for mark, text in _EXPLAINED.items() if mark in tails)


def _parts(groups: Sequence[CurveGroup]) -> Iterator[_Part]:
    for train_task in dict.fromkeys(group.train_task for group in groups):
        trained = f"Trained on {clean(task_label(train_task))}"
        for group in groups:
            if group.train_task == train_task:
                heading = f"{trained}, tested on {clean(group.task.label)}: {metric_heading(group.task.headline)}"
                yield _Part(heading, [(curve.key, _scores(curve, group)) for curve in group.curves])
        trainings = training_curves(groups, train_task)
        yield _Part(f"{trained}: training loss ↓", _numbers(trainings, lambda point: point.loss))
        yield _Part(f"{trained}: training seconds", _numbers(trainings, lambda point: point.seconds))


def _scores(curve: LearningCurve, group: CurveGroup) -> dict[float, Text]:
    return {epoch: _score_text(point, group.task.headline.format) for epoch, point in curve.points.items()}


def _score_text(point: CurvePoint, format: str) -> Text:
    if point.standing in UNMEASURED or point.score is None:
        return Text(ABSENT)
    return Text(score(point.score, format), _MARKS.get(point.standing, ""), standing_style(point.standing))


def _numbers(
    curves: Sequence[LearningCurve], read: Callable[[CurvePoint], float | None]
) -> list[tuple[CheckpointKey, Mapping[float, Text]]]:
    """A number of each curve's points, those of an epoch with equal decimals."""
    texts: dict[CheckpointKey, dict[float, Text]] = {curve.key: {} for curve in curves}
    for epoch in {epoch for curve in curves for epoch in curve.points}:
        there = [curve for curve in curves if epoch in curve.points]
        shown = aligned([read(curve.points[epoch]) for curve in there], digits=3, room=6)
        for curve, text in zip(there, shown, strict=True):
            texts[curve.key][epoch] = Text(text)
    return list(texts.items())

"""The learning curves as the fact-learning study has them: score, training loss and training time by epoch."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pytest_ftbench.analysis import (
    UNMEASURED,
    CurveGroup,
    CurvePoint,
    LearningCurve,
    Standing,
    task_label,
    training_curves,
)
from pytest_ftbench.report.curve_table import CURVE_TITLE
from pytest_ftbench.report.figure import Drawing, drawable, short_names, short_notes
from pytest_ftbench.report.full_table import metric_heading
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.looks import Look, crossed, key_of, legend, looks, panel_width, panels, point
from pytest_ftbench.report.story import Story
from pytest_ftbench.report.words import clean, elided, score

_MOST_PANELS, _MOST_CURVES = 15, 10
_ROOM = 14
_Panel = tuple[str, str, Sequence[LearningCurve], Callable[[CurvePoint], float | None]]
"""A title, what its values are, curves, and how to read them."""


def learning_figure(story: Story) -> Drawing | None:
    """The figure; None where no cell has a curve."""
    part = story.part(CURVE_TITLE)
    if part is None or part.sheet is None:
        return None
    panels = _panels(story.contents.curves)
    shown = [(title, axis, curves[:_MOST_CURVES], read) for title, axis, curves, read in panels[:_MOST_PANELS]]
    few = len(shown) < len(panels) or any(len(curves) > _MOST_CURVES for _, _, curves, _ in panels[:_MOST_PANELS])
    left_out = [f"The figure shows {len(shown)} of {len(panels)} panels, {_MOST_CURVES} curves in each at most."]
    return Drawing(
        name="learning",
        title=part.title,
        says=_says(story.contents.curves),
        notes=part.explained,
        key=[
            *(left_out if few else []),
            "Crossed: INVALID or <trivial after that epoch.",
            *short_notes(story.names),
        ],
        sheet=part.sheet,
        draw=partial(_draw, shown, short_names(story.names)),
        width=panel_width(len(shown)),
        height=0.9 + 2.7 * -(-len(shown) // 3),
    )


def _panels(groups: Sequence[CurveGroup]) -> list[_Panel]:
    """For each task trained on: the scores on each task tested on, then loss and seconds."""
    found: list[_Panel] = []
    for train in dict.fromkeys(group.train_task for group in groups):
        trained = elided(clean(task_label(train)), _ROOM)
        for group in (group for group in groups if group.train_task == train):
            title = f"{trained} to {elided(clean(group.task.label), _ROOM)}"
            found.append((title, metric_heading(group.task.headline), group.curves, _score))
        trainings = training_curves(groups, train)
        found.append((f"Training on {trained}", "mean loss of the epoch ↓", trainings, lambda each: each.loss))
        found.append((f"Training on {trained}", "seconds of training ↓", trainings, lambda each: each.seconds))
    return found


def _score(each: CurvePoint) -> float | None:
    return None if each.standing in UNMEASURED else each.score


def _says(groups: Sequence[CurveGroup]) -> str:
    """In words: where the curves of each pair of tasks end."""
    said = []
    for group in groups[:_MOST_PANELS]:
        ends = [list(curve.points.values())[-1].score for curve in group.curves if curve.points]
        known = [end for end in ends if end is not None]
        if known:
            format = group.task.headline.format
            between = f"{score(min(known), format)} and {score(max(known), format)}"
            said.append(f"{clean(task_label(group.train_task))} to {clean(group.task.label)} ends between {between}")
    return f"Learning curves by epoch: score, training loss, training seconds. {'; '.join(said)}."


def _draw(shown: Sequence[_Panel], names: Names, figure: Any) -> None:
    # of one training, however it is quantized to answer, the curve looks the same in every panel
    ways = [_way(curve, names) for _, _, curves, _ in shown for curve in curves]
    seen = looks(ways)
    for axes, (title, heading, curves, read) in zip(panels(figure, len(shown)), shown, strict=True):
        for curve in curves:
            _curve(axes, curve, read, seen[_way(curve, names)])
        axes.margins(0.1)
        axes.set(xlabel="epoch", ylabel=heading, title=title)
        axes.xaxis.get_major_locator().set_params(integer=True)
    entries = [key_of(look.marker, look.colour, name, look.dash) for name, look in list(seen.items())[:_MOST_CURVES]]
    legend(figure, [*entries, crossed()])


def _way(curve: LearningCurve, names: Names) -> str:
    return names.way_of(curve.key._replace(quantization=None))


def _curve(axes: Any, curve: LearningCurve, read: Callable[[CurvePoint], float | None], look: Look) -> None:
    known = [
        (epoch, value, each.standing)
        for epoch, each in curve.points.items()
        if (value := read(each)) is not None and drawable(epoch, value)
    ]
    axes.plot([x for x, _, _ in known], [y for _, y, _ in known], look.dash, color=look.colour, lw=1.3, zorder=2)
    # of a long training not every point needs its marker; those that can't be ranked do
    step = -(-len(known) // 25) or 1
    marked = [
        (x, y, stands is Standing.OK)
        for index, (x, y, stands) in enumerate(known)
        if index % step == 0 or index == len(known) - 1 or stands is not Standing.OK
    ]
    for is_ranked in (True, False):
        mine = [(x, y) for x, y, ranked in marked if ranked is is_ranked]
        if mine:
            point(axes, [x for x, _ in mine], [y for _, y in mine], look, is_ranked)

"""Learning curves: what one training has reached after some of its epochs, on each task it was tested on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_ftbench.analysis.metrics import EvalTask, Trivial, embedder_key, number
from pytest_ftbench.analysis.table import checkpoint_key, eval_tasks, in_reading_order
from pytest_ftbench.analysis.validity import UNMEASURED, Standing, standing
from pytest_ftbench.grid import CellRecord, CheckpointKey

UNTUNED = 0.0
"""The epoch of the untuned model."""


@dataclass(frozen=True)
class CurvePoint:
    """A checkpoint after one epoch: its headline score and standing, and how its training was; None is unknown.

    ``loss`` is the mean of that epoch's steps, ``seconds`` are those of training until then.
    """

    standing: Standing
    score: float | None = None
    loss: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class LearningCurve:
    """A checkpoint's points by epoch; the untuned model's under :data:`UNTUNED`, where it was tested on one scale."""

    key: CheckpointKey
    points: Mapping[float, CurvePoint]


@dataclass(frozen=True)
class CurveGroup:
    """The curves of everything trained on one task and tested on one."""

    train_task: str
    task: EvalTask
    curves: tuple[LearningCurve, ...]


def learning_curves(records: Sequence[CellRecord], trivial: Trivial) -> list[CurveGroup]:
    """The curves of every cell that has one, grouped by what was trained and tested on."""
    tasks = eval_tasks(records)
    untuned = {
        (record.model, record.quantization, record.eval_task): record for record in records if record.train_task is None
    }
    groups: dict[tuple[str, str], dict[CheckpointKey, LearningCurve]] = {}
    for record in records:
        task = tasks[record.eval_task]
        points = _points(record, trivial, task)
        if record.train_task is None or not points:
            continue
        base = untuned.get((record.model, record.quantization, record.eval_task))
        if base is not None and (task.comparable or embedder_key(base) == embedder_key(record)):
            points = _start(base, trivial, task) | points
        curves = groups.setdefault((record.train_task, record.eval_task), {})
        curves[checkpoint_key(record)] = LearningCurve(checkpoint_key(record), points)
    return [
        CurveGroup(train, tasks[test], tuple(curves[key] for key in in_reading_order(curves)))
        for (train, test), curves in groups.items()
    ]


def curve_epochs(groups: Iterable[CurveGroup]) -> list[float]:
    """Every epoch that any curve has a point at, ascending."""
    return sorted({epoch for group in groups for curve in group.curves for epoch in curve.points})


def training_curves(groups: Sequence[CurveGroup], train_task: str) -> list[LearningCurve]:
    """How the trainings on a task went, each once, however often it was tested; of the scores none are told."""
    found: dict[CheckpointKey, dict[float, CurvePoint]] = {}
    for group in groups:
        for curve in group.curves if group.train_task == train_task else ():
            mine = found.setdefault(curve.key._replace(quantization=None), {})
            for epoch, point in curve.points.items():
                if epoch != UNTUNED and epoch not in mine:
                    mine[epoch] = CurvePoint(Standing.OK, None, point.loss, point.seconds)
    return [LearningCurve(key, found[key]) for key in in_reading_order(found)]


def _start(base: CellRecord, trivial: Trivial, task: EvalTask) -> dict[float, CurvePoint]:
    """The untuned model's point; none where it wasn't measured."""
    point = _point(base, trivial, task)
    return {} if point.standing in UNMEASURED else {UNTUNED: point}


def _points(record: CellRecord, trivial: Trivial, task: EvalTask) -> dict[float, CurvePoint]:
    """A record's points by epoch, ascending; one whose epoch isn't known has no place on a curve."""
    points: dict[float, CurvePoint] = {}
    for point in record.curve if record.ok else ():
        epoch = number(point.get("epoch"))
        if epoch is not None and epoch > UNTUNED:
            there = _there(record, point)
            points[epoch] = _point(there, trivial, task, number(point.get("loss")), number(point.get("seconds")))
    return dict(sorted(points.items()))


def _there(record: CellRecord, point: Mapping[str, Any]) -> CellRecord:
    """The record as it would be had the training ended at a point of its curve: what judges cells judges points."""
    return replace(
        record,
        scores=point.get("scores") or {},
        format_rate=point.get("format_rate"),
        empty_rate=point.get("empty_rate"),
        truncated_rate=point.get("truncated_rate"),
    )


def _point(
    record: CellRecord, trivial: Trivial, task: EvalTask, loss: float | None = None, seconds: float | None = None
) -> CurvePoint:
    return CurvePoint(standing(record, trivial, task), task.score(record) if record.ok else None, loss, seconds)

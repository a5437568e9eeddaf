"""How the score goes with an adapter's rank: the points of each method, beside the ways of tuning without a rank."""

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_ftbench.analysis.evidence import Evidence
from pytest_ftbench.analysis.intervals import Interval, score_interval
from pytest_ftbench.analysis.metrics import EvalTask, Trivial, above_zero
from pytest_ftbench.analysis.table import checkpoint_key, eval_tasks, in_reading_order
from pytest_ftbench.analysis.validity import Standing, standing
from pytest_ftbench.grid import CellRecord, CheckpointKey

_FEWEST_RANKS = 2


@dataclass(frozen=True)
class RankPoint:
    """A cell's headline score, its interval (None: unknown) and its standing; ``rank`` is None where it has none."""

    key: CheckpointKey
    rank: float | None
    score: float
    interval: Interval | None
    standing: Standing


@dataclass(frozen=True)
class RankCurves:
    """The ways of tuning one model on one task, tested on it: their points in reading order, the base's last."""

    model: str
    task: EvalTask
    points: tuple[RankPoint, ...]

    @property
    def lines(self) -> list[tuple[RankPoint, ...]]:
        """The points of each method and quantization that has a rank, by rank."""
        found: dict[tuple[str, str | None], list[RankPoint]] = {}
        for point in self.points:
            if point.rank is not None:
                found.setdefault((point.key.method, point.key.quantization), []).append(point)
        return [tuple(sorted(points, key=lambda point: point.rank or 0.0)) for points in found.values()]

    @property
    def levels(self) -> list[RankPoint]:
        """The points without a rank: other ways of tuning, and the untuned model."""
        return [point for point in self.points if point.rank is None]


def rank_curves(records: Sequence[CellRecord], trivial: Trivial, evidence: Evidence) -> list[RankCurves]:
    """The curves of every model and task where something was tuned at two ranks or more."""
    tasks = eval_tasks(records)
    groups: dict[tuple[str, str], dict[CheckpointKey, CellRecord]] = {}
    for record in records:
        if record.train_task is None or record.train_task == record.eval_task:
            groups.setdefault((record.model, record.eval_task), {})[checkpoint_key(record)] = record
    found = []
    for (model, name), cells in groups.items():
        in_order = sorted(in_reading_order(cells), key=lambda key: key.train_task is None)
        known = [_point(key, cells[key], trivial, tasks[name], evidence) for key in in_order]
        points = tuple(point for point in known if point is not None)
        if len({point.rank for point in points} - {None}) >= _FEWEST_RANKS:
            found.append(RankCurves(model, tasks[name], points))
    return found


def _point(
    key: CheckpointKey, record: CellRecord, trivial: Trivial, task: EvalTask, evidence: Evidence
) -> RankPoint | None:
    score = task.score(record)
    if not record.ok or score is None:
        return None
    interval = score_interval(record, task, evidence)
    return RankPoint(key, above_zero(key.rank), score, interval, standing(record, trivial, task))

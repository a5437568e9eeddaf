"""Which cells no other beats: the Pareto front of a task over score, seconds per answer and memory of answering.

A cell is dominated where another is as good in everything and better in something. What may not be ranked neither
stands on a front nor dominates anything: an answer that can't be read is no cheap answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_ftbench.analysis.material import Material
from pytest_ftbench.analysis.metrics import EvalTask
from pytest_ftbench.grid import CellRecord


@dataclass(frozen=True)
class Point:
    """A ranked cell; ``by`` is what dominates it (None: it is on the front).

    ``open`` says that nobody knows whether its score is lower than that one's: the interval of their difference
    includes zero, or isn't known.
    """

    record: CellRecord
    score: float
    latency_s: float | None
    tokens: float | None
    memory_gib: float | None
    by: CellRecord | None = None
    open: bool = False


@dataclass(frozen=True)
class Front:
    """The ranked cells of a task, best score first; ``axes`` are what they were held against each other in.

    ``memory`` is what the memory is of (None: not known of all). ``unranked`` are the cells that may not be on a front.
    """

    task: EvalTask
    axes: tuple[str, ...]
    memory: str | None
    points: tuple[Point, ...]
    unranked: tuple[CellRecord, ...]

    @property
    def front(self) -> list[Point]:
        """The points that nothing dominates."""
        return [point for point in self.points if point.by is None]

    @property
    def dominated(self) -> list[Point]:
        """The others."""
        return [point for point in self.points if point.by is not None]


def fronts(material: Material, records: Sequence[CellRecord] | None = None) -> list[Front]:
    """The fronts of these records (None: all), one for each task that was tested on."""
    chosen = material.in_order(material.records if records is None else records)
    found = []
    for name, task in material.tasks.items():
        mine = [record for record in chosen if record.eval_task == name and material.score(record) is not None]
        ranked = [record for record in mine if material.goodness(record) is not None]
        if mine:
            unranked = tuple(record for record in mine if material.goodness(record) is None)
            found.append(_front(material, task, ranked, unranked))
    return found


def dominators(points: Sequence[Sequence[float]]) -> dict[int, int | None]:
    """What dominates each point, by their indices, the best first; None: it is on the front.

    More is better in every coordinate. Of equal points all are on the front.
    """
    # whatever dominates a point comes before it in this order, and something on the front does as well
    in_order = sorted(range(len(points)), key=lambda index: (tuple(points[index]), index), reverse=True)
    front: list[int] = []
    found: dict[int, int | None] = {}
    for index in in_order:
        found[index] = next((other for other in front if _dominates(points[other], points[index])), None)
        if found[index] is None:
            front.append(index)
    return found


def _front(material: Material, task: EvalTask, ranked: Sequence[CellRecord], unranked: tuple[CellRecord, ...]) -> Front:
    peaks = material.peaks(ranked, "eval")
    kind, sizes = peaks if peaks is not None else (None, {})
    points = [_point(material, record, sizes.get(id(record))) for record in ranked]
    axes = ["score"]
    # what isn't known of all can't be weighed
    if points and all(point.latency_s is not None for point in points):
        axes.append("latency")
    if kind is not None:
        axes.append("memory")
    done = []
    # equal scores in reading order
    for index, other in sorted(dominators([_values(point, task, axes) for point in points]).items()):
        point = points[index]
        if other is not None:
            by = points[other].record
            gap = material.gap(point.record, by)
            untold = gap is None or gap.interval is None or gap.interval.includes_zero
            point = replace(point, by=by, open=untold)
        done.append(point)
    done.sort(key=lambda point: -task.goodness(point.score))
    return Front(task, tuple(axes), kind, tuple(done), unranked)


def _point(material: Material, record: CellRecord, memory: float | None) -> Point:
    cell = material.cell(record)
    score = material.score(record)
    return Point(record, 0.0 if score is None else score, cell.latency_s, cell.output_tokens, memory)


def _values(point: Point, task: EvalTask, axes: Sequence[str]) -> tuple[float, ...]:
    """The point on these axes, more being better on each; memory to four digits, what lies beyond is rounding."""
    values = [task.goodness(point.score)]
    if "latency" in axes:
        values.append(-(point.latency_s or 0.0))
    if "memory" in axes:
        values.append(-float(f"{point.memory_gib or 0.0:.4g}"))
    return tuple(values)


def _dominates(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether the first is as good in everything, and better in something."""
    pairs = list(zip(first, second, strict=True))
    return all(one >= other for one, other in pairs) and any(one > other for one, other in pairs)

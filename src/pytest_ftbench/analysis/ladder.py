"""What to train with so much memory: from which peak on which way of tuning is the best that fits.

A ladder stands on the untuned model, which takes no training, and climbs only where a way that needs more has the
better score. How sure a step is, its interval says.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_ftbench.analysis.material import Gap, Material
from pytest_ftbench.analysis.metrics import EvalTask
from pytest_ftbench.grid import CellRecord


@dataclass(frozen=True)
class Rung:
    """From ``memory_gib`` of training on, ``record`` is the best that fits.

    ``step`` is its difference to the rung below (None: to nothing, or unknown), on the lowest rung to the untuned
    model; what it shows is corrected for all ways that could have been a rung.
    """

    record: CellRecord
    memory_gib: float
    step: Gap | None


@dataclass(frozen=True)
class Ladder:
    """The rungs of a model tuned on a task, least memory first.

    ``base`` is the untuned model's cell; ``not_worth`` are ways that need more than another, or than the untuned model,
    that is as good, and ``unranked`` those that may not be ranked.
    """

    task: EvalTask
    memory: str
    base: CellRecord | None
    rungs: tuple[Rung, ...]
    not_worth: tuple[CellRecord, ...]
    unranked: tuple[CellRecord, ...]


def ladders(material: Material) -> list[Ladder]:
    """The ladders of every model and train task whose trainings have a known peak of memory."""
    known = [
        (cells, peaks) for cells in material.trained.values() if (peaks := material.peaks(cells, "train")) is not None
    ]
    count = sum(material.goodness(record) is not None for cells, _ in known for record in cells)
    return [_ladder(material, cells, *peaks, count) for cells, peaks in known]


def _ladder(
    material: Material, cells: Sequence[CellRecord], kind: str, peaks: dict[int, float], comparisons: int
) -> Ladder:
    ranked = [record for record in cells if material.goodness(record) is not None]
    # of two that take the same, the better one is what fits
    ranked.sort(key=lambda record: (peaks[id(record)], -(material.goodness(record) or 0.0)))
    base = material.base(cells[0])
    rungs: list[Rung] = []
    for record in ranked:
        below = rungs[-1].record if rungs else base
        bar = None if below is None else material.goodness(below)
        if bar is None or (material.goodness(record) or 0.0) > bar:
            step = None if below is None else material.gap(record, below, comparisons)
            rungs.append(Rung(record, peaks[id(record)], step))
    climbed = {id(rung.record) for rung in rungs}
    return Ladder(
        task=material.task(cells[0]),
        memory=kind,
        base=base,
        rungs=tuple(rungs),
        not_worth=tuple(record for record in ranked if id(record) not in climbed),
        unranked=tuple(record for record in cells if material.goodness(record) is None),
    )

"""Which cells no other cell beats: better and no slower, or faster and no worse. Speeds, sizes and scores together.

Without a price on quality no cell of such a front is better than another; what is not on it need not be looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_ftbench.analysis.metrics import EvalTask
from pytest_ftbench.analysis.pareto import dominators
from pytest_ftbench.analysis.table import FullTable, TableCell, of_like_length
from pytest_ftbench.analysis.validity import UNMEASURED, Standing
from pytest_ftbench.grid import CheckpointKey


@dataclass(frozen=True)
class TradeOff:
    """A cell's score beside its speed; on which fronts it is: of seconds per answer, and of time per token."""

    key: CheckpointKey
    cell: TableCell
    on_front: bool = False
    on_token_front: bool = False


@dataclass(frozen=True)
class TradeOffs:
    """The measured cells of one eval task, whatever they were trained on, in the full table's order.

    ``alike`` says whether their times per token may be compared; where not, there is no front of these.
    """

    task: EvalTask
    cells: tuple[TradeOff, ...]
    alike: bool = True


def trade_offs(table: FullTable) -> list[TradeOffs]:
    """For each eval task its cells whose score and speed are known; only those that may be ranked are on a front."""
    return [found for task in table.tasks if (found := _of_task(table, task)).cells]


def _of_task(table: FullTable, task: EvalTask) -> TradeOffs:
    mine = [(row.key, row.cells[task.name]) for row in table.rows if task.name in row.cells]
    known = [
        (key, cell)
        for key, cell in mine
        if cell.standing not in UNMEASURED and cell.score is not None and cell.latency_s is not None
    ]
    whole = _front_of([(cell, cell.latency_s) for _, cell in known], task)
    alike = of_like_length([cell for _, cell in known])
    per_token = _front_of([(cell, cell.s_per_token) for _, cell in known], task) if alike else set()
    cells = (TradeOff(key, cell, i in whole, i in per_token) for i, (key, cell) in enumerate(known))
    return TradeOffs(task, tuple(cells), alike)


def _front_of(cells: Sequence[tuple[TableCell, float | None]], task: EvalTask) -> set[int]:
    """The indices of the front of score and time; none where scores are not on one scale."""
    ranked = {
        index: (task.goodness(cell.ranked_score), -seconds)
        for index, (cell, seconds) in enumerate(cells)
        if task.comparable and cell.standing is Standing.OK and cell.ranked_score is not None and seconds is not None
    }
    indices = list(ranked)
    return {indices[place] for place, by in dominators(list(ranked.values())).items() if by is None}

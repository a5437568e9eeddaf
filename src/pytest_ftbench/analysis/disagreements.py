"""Test items that cells answer most differently: what to read first to see what a score means."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_ftbench.analysis.metrics import EvalTask, Trivial, number
from pytest_ftbench.analysis.pooling import seeds_of
from pytest_ftbench.analysis.table import eval_tasks
from pytest_ftbench.analysis.validity import Standing, standing
from pytest_ftbench.grid import CellRecord

_LARGEST = 1e12  # of a score: what is beyond is none, and its square must be a float


@dataclass(frozen=True)
class Said:
    """One output to an item, the score it got (None: unknown), and who said it: ids of cells, with their standing."""

    output: str
    score: float | None
    cells: tuple[tuple[str, Standing], ...]


@dataclass(frozen=True)
class Disagreement:
    """One test item: its gold answer, what was said to it, the best first, and how far the scores lie apart.

    ``right`` of ``n`` cells had the best score that any had.
    """

    item: str
    gold: str
    said: tuple[Said, ...]
    spread: float
    right: int
    n: int


def disagreements(
    records: Sequence[CellRecord], trivial: Trivial, limit: int
) -> list[tuple[EvalTask, list[Disagreement]]]:
    """For each eval task the ``limit`` items whose scores differ most between cells, the worst first.

    Each seed of a pooled record is a cell of its own, for only that has outputs.
    """
    tasks = eval_tasks(records)
    found = []
    for name, task in tasks.items():
        mine = [each for record in records if record.eval_task == name for each in seeds_of(record) if each.ok]
        stands = {id(record): standing(record, trivial, task) for record in mine}
        items: dict[str, list[tuple[CellRecord, Mapping[str, Any]]]] = {}
        for record in mine:
            for item in _items(record):
                items.setdefault(item["item"], []).append((record, item))
        spreads = {item: _spread([_score(each) for _, each in answers]) for item, answers in items.items()}
        worst = sorted(items, key=lambda item: -spreads[item])[:limit]
        if worst:
            found.append((task, [_disagreement(item, items[item], stands, spreads[item]) for item in worst]))
    return found


def _items(record: CellRecord) -> Iterator[Mapping[str, Any]]:
    """The items of a record that have a name and an output."""
    for item in record.items:
        if isinstance(item, dict) and isinstance(item.get("item"), str) and isinstance(item.get("output"), str):
            yield item


def _disagreement(
    name: str,
    answers: Sequence[tuple[CellRecord, Mapping[str, Any]]],
    stands: Mapping[int, Standing],
    spread: float,
) -> Disagreement:
    by_output: dict[tuple[str, float | None], list[tuple[str, Standing]]] = {}
    for record, item in answers:
        by_output.setdefault((item["output"], _score(item)), []).append((record.id, stands[id(record)]))
    said = [Said(output, score, tuple(cells)) for (output, score), cells in by_output.items()]
    said.sort(key=lambda each: (each.score is None, -(each.score or 0.0), -len(each.cells)))
    top = max((each.score for each in said if each.score is not None), default=None)
    right = sum(len(each.cells) for each in said if each.score == top and top)
    gold = next((str(item["gold"]) for _, item in answers if item.get("gold") is not None), "")
    return Disagreement(name, gold, tuple(said), spread, right, len(answers))


def _score(item: Mapping[str, Any]) -> float | None:
    score = number(item.get("score"))
    return score if score is not None and abs(score) <= _LARGEST else None


def _spread(scores: Sequence[float | None]) -> float:
    known = np.array([score for score in scores if score is not None])
    # equal scores lie no rounding apart
    return float(known.std()) if len(known) > 1 and np.ptp(known) else 0.0

"""Which way of tuning is best on the task it was tuned on, how sure that is, and whether another run agrees.

A place in a ranking is a number as noisy as the scores it comes from. So beside it stands the range of places that the
intervals of the differences leave open, and two rankings differ only where one shows an order that the other doesn't.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from pytest_ftbench.analysis import refusals
from pytest_ftbench.analysis.differences import difference_interval
from pytest_ftbench.analysis.evidence import Evidence
from pytest_ftbench.analysis.intervals import Interval, score_interval
from pytest_ftbench.analysis.metrics import EvalTask, Trivial, above_zero
from pytest_ftbench.analysis.pooling import seeds_of
from pytest_ftbench.analysis.table import checkpoint_key, eval_tasks, in_reading_order
from pytest_ftbench.analysis.validity import Standing, standing
from pytest_ftbench.grid import CellRecord, CheckpointKey


@dataclass(frozen=True)
class Place:
    """Where a way of tuning stands: ``rank`` by its score, ``best`` to ``worst`` the places it may have.

    None where it can't be ranked. ``rate`` is the learning rate it was trained with.
    """

    score: float | None
    standing: Standing
    interval: Interval | None = None
    rate: float | None = None
    rank: int | None = None
    best: int | None = None
    worst: int | None = None


@dataclass(frozen=True)
class Ranking:
    """The ways of tuning one model on one task, by their score on that task.

    ``orders`` holds, for each pair of ranked ways in reading order, 1 where the first is shown to be better, -1 where
    the second is, 0 where the interval of their difference includes zero.
    """

    model: str
    train_task: str
    task: EvalTask
    places: Mapping[CheckpointKey, Place]
    orders: Mapping[tuple[CheckpointKey, CheckpointKey], int]

    @property
    def ranked(self) -> list[CheckpointKey]:
        """The ways that have a place, in reading order."""
        return [key for key, place in self.places.items() if place.rank is not None]

    def order(self, first: CheckpointKey, second: CheckpointKey) -> int | None:
        """The order of two ways, however these are named; None where one of them isn't ranked."""
        if (second, first) in self.orders:
            return -self.orders[second, first]
        return self.orders.get((first, second))


@dataclass(frozen=True)
class Reordering:
    """A pair of ways whose order one run shows and another doesn't, or shows the other way round."""

    ranking: Ranking
    first: CheckpointKey
    second: CheckpointKey
    now: int
    then: int


def rankings(records: Sequence[CellRecord], trivial: Trivial, evidence: Evidence) -> list[Ranking]:
    """The rankings of these records, one for each model and train task; also where few ways can be ranked."""
    tasks = eval_tasks(records)
    groups: dict[tuple[str, str], dict[CheckpointKey, CellRecord]] = {}
    for record in records:
        if record.train_task is not None and record.train_task == record.eval_task:
            groups.setdefault((record.model, record.train_task), {}).setdefault(checkpoint_key(record), record)
    found = []
    for (model, train_task), cells in groups.items():
        task = tasks[train_task]
        in_order = {key: cells[key] for key in in_reading_order(cells)}
        found.append(_ranking(model, train_task, task, in_order, trivial, evidence))
    return found


def reorderings(now: Sequence[Ranking], then: Sequence[Ranking]) -> Iterator[Reordering]:
    """What another run orders otherwise, of the pairs that both rank."""
    for ranking, other in counterparts(now, then):
        for (first, second), order in ranking.orders.items():
            was = other.order(first, second)
            if was is not None and was != order:
                yield Reordering(ranking, first, second, now=order, then=was)


def counterparts(now: Sequence[Ranking], then: Sequence[Ranking]) -> Iterator[tuple[Ranking, Ranking]]:
    """The rankings of one model and train task that both runs have."""
    before = {(ranking.model, ranking.train_task): ranking for ranking in then}
    for ranking in now:
        if (other := before.get((ranking.model, ranking.train_task))) is not None:
            yield ranking, other


def unlike_items(now: Sequence[CellRecord], then: Sequence[CellRecord]) -> refusals.Refusal | None:
    """Why scores of the same cells in two runs can't be set side by side: the first thing they don't agree in."""
    before, after = ({one.id: one for record in run for one in seeds_of(record) if one.ok} for run in (then, now))
    pairs = ((before[name], record) for name, record in after.items() if name in before)
    found = (refusals.refusal(refusals.SCORE, *pair) for pair in pairs)
    return next((refusal for refusal in found if refusal is not None), None)


def _ranking(
    model: str,
    train_task: str,
    task: EvalTask,
    cells: Mapping[CheckpointKey, CellRecord],
    trivial: Trivial,
    evidence: Evidence,
) -> Ranking:
    stands = {key: standing(record, trivial, task) for key, record in cells.items()}
    goodness = {
        key: task.goodness(score)
        for key, record in cells.items()
        if stands[key] is Standing.OK and task.comparable and (score := task.score(record)) is not None
    }
    orders = {
        (first, second): _order(cells[first], cells[second], task, evidence)
        for first, second in combinations(goodness, 2)
    }
    places = {}
    for key, record in cells.items():
        place = Place(task.score(record) if record.ok else None, stands[key])
        if key in goodness:
            above = sum(_seen_from(pair, order, key) < 0 for pair, order in orders.items())
            below = sum(_seen_from(pair, order, key) > 0 for pair, order in orders.items())
            rank = 1 + sum(value > goodness[key] for value in goodness.values())
            place = Place(
                place.score,
                Standing.OK,
                score_interval(record, task, evidence),
                _rate(record),
                rank,
                # the interval of a skewed difference need not hold the difference itself
                min(rank, 1 + above),
                max(rank, len(goodness) - below),
            )
        places[key] = place
    return Ranking(model, train_task, task, places, orders)


def _order(first: CellRecord, second: CellRecord, task: EvalTask, evidence: Evidence) -> int:
    interval = difference_interval(first, second, task, evidence)
    if interval is None or interval.includes_zero:
        return 0
    return 1 if task.goodness(interval.low + interval.high) > 0 else -1


def _seen_from(pair: tuple[CheckpointKey, CheckpointKey], order: int, key: CheckpointKey) -> int:
    """The order of a pair as one of it sees it; 0 where it is none of it."""
    return order if pair[0] == key else -order if pair[1] == key else 0


def _rate(record: CellRecord) -> float | None:
    return above_zero((record.train or {}).get("learning_rate"))

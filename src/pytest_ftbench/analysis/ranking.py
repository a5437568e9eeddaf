"""Which way of tuning is best on the task it was tuned on, how sure that is, and whether another run agrees.

A place in a ranking is a number as noisy as the scores it comes from. So beside it stands the range of places that the
tests of all its pairs leave open, corrected for their number. Of two rankings one may show an order that the other
doesn't, and yet both be of one truth: they differ only where they show opposite orders, or where the difference between
their differences is shown.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from pytest_ftbench.analysis import refusals
from pytest_ftbench.analysis.differences import answers_agree, difference_p, difference_parts, make_tests
from pytest_ftbench.analysis.evidence import Evidence
from pytest_ftbench.analysis.intervals import ALPHA, Interval, score_interval
from pytest_ftbench.analysis.metrics import EvalTask, Trivial, above_zero
from pytest_ftbench.analysis.paired import holm
from pytest_ftbench.analysis.pooling import seeds_of
from pytest_ftbench.analysis.seeds import Parts, p_value
from pytest_ftbench.analysis.table import checkpoint_key, eval_tasks, in_reading_order
from pytest_ftbench.analysis.validity import Standing, standing
from pytest_ftbench.grid import CellRecord, CheckpointKey


@dataclass(frozen=True)
class Place:
    """Where a way of tuning stands: ``rank`` by its score, ``best`` to ``worst`` the places it may have.

    None where it can't be ranked. ``rate`` is the learning rate it was trained with, ``seeds`` how many trainings were
    measured.
    """

    score: float | None
    standing: Standing
    interval: Interval | None = None
    rate: float | None = None
    seeds: int = 1
    rank: int | None = None
    best: int | None = None
    worst: int | None = None


@dataclass(frozen=True)
class Gap:
    """Two ways of one ranking: the first's score less the second's, in its unit, and how sure that is.

    ``p`` is of no difference, corrected by Holm for the pairs of the ranking; ``parts`` are those of the difference's
    variance. ``order`` is 1 where the first is shown to be better, -1 where the second is, 0 where neither is.
    """

    difference: float
    parts: Parts | None = None
    p: float | None = None
    order: int = 0

    @property
    def turned(self) -> "Gap":
        """The same from the second's side."""
        parts = None if self.parts is None else [*self.parts[:1], *reversed(self.parts[1:])]
        return replace(self, difference=-self.difference, parts=parts, order=-self.order)


@dataclass(frozen=True)
class Ranking:
    """The ways of tuning one model on one task, by their score on that task.

    ``gaps`` holds each pair of ranked ways, in reading order.
    """

    model: str
    train_task: str
    task: EvalTask
    places: Mapping[CheckpointKey, Place]
    gaps: Mapping[tuple[CheckpointKey, CheckpointKey], Gap]

    @property
    def ranked(self) -> list[CheckpointKey]:
        """The ways that have a place, in reading order."""
        return [key for key, place in self.places.items() if place.rank is not None]

    def gap(self, first: CheckpointKey, second: CheckpointKey) -> Gap | None:
        """The two ways, however these are named; None where one of them isn't ranked."""
        if (second, first) in self.gaps:
            return self.gaps[second, first].turned
        return self.gaps.get((first, second))


@dataclass(frozen=True)
class Reordering:
    """A pair of ways that two runs order otherwise.

    Each shows an order and the other the opposite one, or ``p`` of no difference between the two differences, corrected
    by Holm for all pairs that both runs rank, is at most 5 %.
    """

    ranking: Ranking
    first: CheckpointKey
    second: CheckpointKey
    now: Gap
    then: Gap
    p: float | None

    @property
    def opposite(self) -> bool:
        """Whether either run shows the opposite order of the other's."""
        return self.now.order * self.then.order < 0


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


def reorderings(now: Sequence[Ranking], then: Sequence[Ranking]) -> tuple[list[Reordering], int]:
    """What another run orders otherwise, and of how many pairs that both rank.

    Seeds of the two runs are taken to be independent, and so are their items: where both answered the same ones, that
    errs to the wide side.
    """
    pairs = [
        (ranking, other, ways, gap, was)
        for ranking, other in counterparts(now, then)
        for ways, gap in ranking.gaps.items()
        if (was := other.gap(*ways)) is not None
    ]
    tested = holm([_p_between(ranking, other, ways) for ranking, other, ways, _, _ in pairs])
    each = [
        Reordering(ranking, *ways, now=gap, then=was, p=p)
        for (ranking, _, ways, gap, was), p in zip(pairs, tested, strict=True)
    ]
    # by how much one way is better is no matter of order
    found = [
        one
        for one in each
        if one.opposite or (one.p is not None and one.p <= ALPHA and not one.now.order * one.then.order)
    ]
    return found, len(pairs)


def _p_between(now: Ranking, then: Ranking, ways: tuple[CheckpointKey, CheckpointKey]) -> float | None:
    """The p-value of no difference between two runs' differences of these ways; None: unknown.

    Where one run has a single seed, its seeds are taken to lie as far apart as the other's.
    """
    (ours, ours_of_seeds), (theirs, theirs_of_seeds) = (_seed_parts(run, ways) for run in (now, then))
    gaps = now.gap(*ways), then.gap(*ways)
    if not ours or not theirs or gaps[0] is None or gaps[1] is None:
        return None
    parts = [
        *ours[:1],
        *theirs[:1],
        *(ours[1:] or theirs_of_seeds),
        *(theirs[1:] or ours_of_seeds),
    ]
    return p_value(gaps[0].difference - gaps[1].difference, parts)


def _seed_parts(run: Ranking, ways: tuple[CheckpointKey, CheckpointKey]) -> tuple[Parts, Parts]:
    """The parts of the variance of a difference, and those that one seed of either way would have."""
    gap = run.gap(*ways)
    parts = [] if gap is None or gap.parts is None else list(gap.parts)
    seeds = [run.places[way].seeds for way in ways]
    # of one part alone, the way it is of is the one that has several seeds
    counts = seeds if len(parts) == 3 else [max(seeds)]
    return parts, [(part * count, freedom) for (part, freedom), count in zip(parts[1:], counts, strict=False)]


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
    gaps = _gaps({key: cells[key] for key in goodness}, task, evidence)
    above, below = Counter[CheckpointKey](), Counter[CheckpointKey]()
    for (first, second), gap in gaps.items():
        if gap.order:
            better, worse = (first, second) if gap.order > 0 else (second, first)
            above[worse] += 1
            below[better] += 1
    places = {}
    for key, record in cells.items():
        place = Place(task.score(record) if record.ok else None, stands[key])
        if key in goodness:
            rank = 1 + sum(value > goodness[key] for value in goodness.values())
            place = Place(
                place.score,
                Standing.OK,
                score_interval(record, task, evidence),
                _rate(record),
                len(seeds_of(record)),
                rank,
                1 + above[key],
                len(goodness) - below[key],
            )
        places[key] = place
    return Ranking(model, train_task, task, places, gaps)


def _gaps(
    cells: Mapping[CheckpointKey, CellRecord], task: EvalTask, evidence: Evidence
) -> dict[tuple[CheckpointKey, CheckpointKey], Gap]:
    """Each pair of ways; an order is shown where Holm's p-value over all of them is at most 5 %."""
    pairs = list(combinations(cells, 2))
    records = [(cells[first], cells[second]) for first, second in pairs]
    make_tests(records, task, evidence)
    tested = holm([difference_p(*pair, task, evidence) for pair in records])
    gaps = {}
    for ways, pair, p in zip(pairs, records, tested, strict=True):
        difference = (task.score(pair[0]) or 0.0) - (task.score(pair[1]) or 0.0)
        shown = p is not None and p <= ALPHA and answers_agree(*pair, task, evidence)
        order = 0 if not shown else 1 if task.goodness(difference) > 0 else -1
        gaps[ways] = Gap(difference, difference_parts(*pair, task, evidence), p, order)
    return gaps


def _rate(record: CellRecord) -> float | None:
    return above_zero((record.train or {}).get("learning_rate"))

"""Intervals of scores: how far a number may be from what it would be on other items of the kind, and other seeds.

Sources: Wilson, Probable inference (1927), for rates; Newcombe, Interval estimation for the difference between
independent proportions (1998), method 10; those of the bootstrap and of seeds are named in their own files. All
intervals are two-sided and at 95 % unless said otherwise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pytest_ftbench.analysis.evidence import Evidence
from pytest_ftbench.analysis.items import ItemTable
from pytest_ftbench.analysis.metrics import EvalTask, item_count
from pytest_ftbench.analysis.pooling import seeds_of
from pytest_ftbench.analysis.resampling import (
    Distribution,
    bca,
    mean_sample,
    percentile,
    resampled,
)
from pytest_ftbench.analysis.seeds import Spread, half_width, variance_parts
from pytest_ftbench.grid import CellRecord

LEVEL = 0.95
ALPHA = 0.05
"""What a corrected p-value is at most of what counts as shown."""
SCALES = {
    "macro_f1": (0.0, 1.0),
    "accuracy": (0.0, 1.0),
    "solve_rate": (0.0, 1.0),
    "exact": (0.0, 1.0),
    "f1": (0.0, 100.0),
    "em": (0.0, 100.0),
    "cosine": (-1.0, 1.0),
}
"""The ends between which a score lies, in its own unit."""
RATES = {"accuracy": 1.0, "solve_rate": 1.0, "exact": 1.0, "em": 100.0}
"""Scores that are shares of all items, and the unit in which a full share is so much."""

FEW = 15
"""Items: of fewer that differ the bootstrap says too little."""
_HARDLY = 5
AT_MOST = "at most"
"""The method of an interval that is the widest a score may have."""


def full_score(key: str) -> float:
    """What an item scores at most in a metric."""
    return SCALES.get(key, (0.0, 1.0))[1]


@dataclass(frozen=True)
class Interval:
    """``low`` to ``high`` in the score's own unit at ``level``, by ``method``, from ``n`` items."""

    low: float
    high: float
    level: float
    method: str
    n: int

    @property
    def includes_zero(self) -> bool:
        """Whether it says nothing of a difference's sign."""
        return self.low <= 0 <= self.high


@dataclass(frozen=True)
class Quartiles:
    """The median of absolute differences and their quartiles, over the ``n`` parsed outputs."""

    median: float
    low: float
    high: float
    n: int


def wilson(share: float, n: int, level: float = LEVEL, unit: float = 1.0) -> Interval:
    """Wilson's interval of a share of ``n`` items; ``unit`` is a full share (100 where the score is in percent).

    Raises :class:`ValueError` without items, and for what is no share.
    """
    if n < 1 or not 0 <= share <= unit:
        raise ValueError(f"{share} is no share of {n} items")
    p, z2 = share / unit, _z(level) ** 2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(p * (1 - p) * z2 / n + (z2 / (2 * n)) ** 2) / (1 + z2 / n)
    # what rounding takes from 0 and 1 is theirs
    low = 0.0 if p == 0 else max(0.0, centre - half)
    high = 1.0 if p == 1 else min(1.0, centre + half)
    return Interval(unit * low, unit * high, level, "Wilson", n)


def newcombe(first: Interval, share: float, second: Interval, other: float) -> Interval:
    """The interval of ``share - other``, two shares of independent items, from the Wilson interval of each."""
    off = share - other
    low = off - math.hypot(share - first.low, second.high - other)
    high = off + math.hypot(first.high - share, other - second.low)
    return Interval(low, high, first.level, "Newcombe", min(first.n, second.n))


def score_interval(record: CellRecord, task: EvalTask, evidence: Evidence, level: float = LEVEL) -> Interval | None:
    """The interval of a cell's headline score: over items, and over seeds where it is a mean of several.

    A share needs only its n. So does any other score between two ends: without its items it is taken to vary as a share
    of its height does, which is the most that it can. None: unknown.
    """
    score, n = task.score(record), item_count(record)
    if not record.ok or score is None:
        return None
    table, found = evidence.table(record), evidence.distribution(record, task)
    seeds, block = evidence.seeds(record, task)
    if len(seeds) > 1 or (seeds and block is not None):
        spread = item_variance(record, task, evidence)
        if spread is None or n is None:
            return None
        return on_scale(seeds_interval(score, seeds, spread, n, level, block), score, scale(task.headline.key))
    unit = RATES.get(task.headline.key)
    if unit is not None and n is not None and 0 <= score <= unit and (table is None or table.clusters is None):
        return wilson(score, n, level, unit)
    if table is None or found is None:
        return None if n is None else _at_most(score, n, task.headline.key, level)
    if task.headline.key == "macro_f1":
        return on_scale(_of_macro_f1(found, table, level), score, scale(task.headline.key))
    interval = _of_mean(found, table, level, full_score(task.headline.key))
    return on_scale(interval, score, scale(task.headline.key))


def on_scale(interval: Interval, value: float, ends: tuple[float, float]) -> Interval:
    """The part of a value's interval that is possible: Student's t knows nothing of a scale's ends."""
    low, high = ends
    if not low <= value <= high:
        return interval
    return replace(interval, low=max(low, interval.low), high=min(high, interval.high))


def scale(key: str) -> tuple[float, float]:
    """The ends between which a score lies; infinite where they aren't known."""
    return SCALES.get(key, (-math.inf, math.inf))


def _at_most(score: float, n: int, key: str, level: float) -> Interval | None:
    """The widest interval that a score between two ends may have; None where it isn't between them."""
    low, high = SCALES.get(key, (1.0, 0.0))
    if not low <= score <= high:
        return None
    share = wilson(score - low, n, level, high - low)
    return replace(share, low=low + share.low, high=low + share.high, method=AT_MOST)


def seeds_interval(
    score: float, seeds: Sequence[float], of_items: float, n: int, level: float = LEVEL, block: Spread | None = None
) -> Interval:
    """The interval of a mean over seeds and ``n`` items, by Howe; ``of_items`` is the variance of the mean over items.

    With one seed, and no ``block`` that tells how far seeds lie apart, only the items are left.
    """
    parts = variance_parts(seeds, of_items, n, block)
    half = half_width(parts, 1 - level)
    return Interval(score - half, score + half, level, "seeds + items" if len(parts) > 1 else "items", n)


def item_variance(record: CellRecord, task: EvalTask, evidence: Evidence) -> float | None:
    """The variance of a score's mean over items, in its unit squared: from its items, else as a share of ``n``.

    A mean of macro F1 over seeds has no letters left; there the mean item score stands in.
    """
    if (found := evidence.distribution(record, task)) is not None:
        return found.variance
    table, n, score = evidence.table(record), item_count(record), task.score(record)
    if table is not None and table.units > 1:
        return resampled([mean_sample(table)], evidence.resamples)[0].variance
    unit = RATES.get(task.headline.key)
    if unit is None or n is None or score is None or not 0 <= score <= unit:
        return None
    return score * (unit - score) / n


def difference_quartiles(record: CellRecord, evidence: Evidence) -> Quartiles | None:
    """Median and quartiles of the absolute differences of a cell's parsed outputs, all seeds'; None: unknown."""
    tables = [evidence.table(seed) for seed in seeds_of(record)] if record.ok else []
    each = [table.differences for table in tables if table is not None and table.differences is not None]
    known = np.concatenate(each)[~np.isnan(np.concatenate(each))] if each and len(each) == len(tables) else np.empty(0)
    if not len(known):
        return None
    # in halves: the mean of two differences near the largest float is one, their sum isn't
    largest = float(np.finfo(np.float64).max)
    halves = [float(half) for half in np.quantile(known / 2, [0.25, 0.5, 0.75], method="midpoint")]
    low, median, high = (min(2 * half, largest) for half in halves)
    return Quartiles(median, low, high, len(known))


def _of_macro_f1(found: Distribution, table: ItemTable, level: float) -> Interval:
    """BCa; where hardly an answer is right, that share's interval times what F1 is of it; hardly one wrong, F1 as one.

    Of two right answers every seventh resample has none: there the bootstrap's intervals are far too narrow.
    """
    right = int(np.sum(table.scores == 1))
    if right < _HARDLY:
        # F1 is at most twice the share of right answers, which it nears where the others say nothing
        share, times = right / table.n, found.value * table.n / right if right else 2.0
        rate = wilson(share, table.n, level)
        return Interval(min(1.0, times * rate.low), min(1.0, times * rate.high), level, "Wilson", table.n)
    if table.n - right < _HARDLY:
        return wilson(min(1.0, found.value), table.n, level)
    return _bootstrapped(found, table, level)


def _of_mean(found: Distribution, table: ItemTable, level: float, full: float) -> Interval:
    """BCa; where nearly all items score 0, or nearly all ``full``, Wilson's interval of such a share.

    A bounded score varies no more than a share of the same mean does, and of what is rare resamples know too little.
    """
    scores = table.scores
    rare = min(int(np.sum(scores != 0)), int(np.sum(scores != full)))
    if rare < FEW and scores.min() >= 0 and scores.max() <= full:
        share = min(full, max(0.0, found.value))
        return replace(wilson(share, found.units, level, full), n=table.n)
    return _bootstrapped(found, table, level)


def _bootstrapped(found: Distribution, table: ItemTable, level: float) -> Interval:
    if found.is_constant:
        return Interval(found.value, found.value, level, "degenerate", table.n)
    if (ends := bca(found, level)) is not None:
        return Interval(*ends, level, "BCa" if table.clusters is None else "cluster BCa", table.n)
    return Interval(*percentile(found, level), level, "percentile", table.n)


def _z(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2))

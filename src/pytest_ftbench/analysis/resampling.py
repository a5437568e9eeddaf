"""The bootstrap: a statistic of sums over items, recomputed on resamples of its units, which all cells share.

Cells of as many units share the same resamples. So a thousand cells draw them once, and the replicates of two cells on
the same items are paired: their difference needs no resampling of its own.

Sources: Efron, Better bootstrap confidence intervals (1987), for BCa; Efron and Tibshirani, An introduction to the
bootstrap (1993), 14.3, for the jackknife's acceleration; Davison and Hinkley, Bootstrap methods (1997), 3.8, for the
resampling of whole clusters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pytest_ftbench.analysis.items import LETTERS, Floats, ItemTable

RESAMPLES = 9_999
_SEED = 20_250_613
_MOST_COUNTS = 40_000_000  # of a table of weights: larger ones take fewer resamples
_FEWEST_RESAMPLES = 999

Statistic = Callable[[Floats], Floats]
"""From sums of shape (k, …) to values of shape (…)."""


@dataclass(frozen=True, eq=False)
class Distribution:
    """A statistic and how it varies: ``replicates`` on resamples of ``units``, ``left_out`` without each of them."""

    value: float
    replicates: Floats
    left_out: Floats
    units: int

    def less(self, other: "Distribution") -> "Distribution":
        """The distribution of the difference, self less other, of two statistics of the same units."""
        return Distribution(
            self.value - other.value,
            self.replicates - other.replicates,
            self.left_out - other.left_out,
            self.units,
        )

    @property
    def is_constant(self) -> bool:
        """Whether no resample differs: all units are alike."""
        return bool(np.ptp(self.replicates) <= 1e-9 * max(1.0, abs(self.value)))

    @property
    def variance(self) -> float:
        """The bootstrap's variance of the statistic."""
        return float(np.var(self.replicates, ddof=1))


@dataclass(frozen=True, eq=False)
class Sample:
    """What a statistic is of: ``features``, shape (units, k), whose sums it takes."""

    features: Floats
    statistic: Statistic


def mean_of_all(each: Sequence[Distribution]) -> Distribution:
    """The distribution of the mean of statistics of the same units."""
    share = 1 / len(each)
    return Distribution(
        sum(one.value * share for one in each),
        np.sum([one.replicates * share for one in each], axis=0),
        np.sum([one.left_out * share for one in each], axis=0),
        each[0].units,
    )


def mean_sample(table: ItemTable) -> Sample:
    """The mean score over the items, whole clusters being units where there are any."""
    return Sample(_by_unit(np.stack([table.scores, np.ones(table.n)], axis=1), table.clusters), _ratio)


def macro_f1_sample(table: ItemTable) -> Sample:
    """Macro F1 over A-D, an unparsed answer being a miss of its gold class.

    Raises :class:`ValueError` where the table has no letters.
    """
    if table.golds is None or table.parsed is None:
        raise ValueError("these items have no letters")
    classes = np.arange(len(LETTERS))
    gold, parsed = table.golds[:, None] == classes, table.parsed[:, None] == classes
    features = np.concatenate([gold & parsed, gold.astype(np.int64) + parsed], axis=1).astype(np.float64)
    return Sample(_by_unit(features, table.clusters), _macro_f1)


def resampled(samples: Sequence[Sample], resamples: int = RESAMPLES) -> list[Distribution]:
    """The distributions of these statistics, all on the same resamples; the samples have as many units each."""
    counts = _weights(len(samples[0].features), fitting_resamples(len(samples[0].features), resamples))
    # scaled, sums in single precision lose nothing that a resample would show
    scales = [np.maximum(np.abs(sample.features).max(axis=0), 1e-300) for sample in samples]
    stacked = [(sample.features / scale).T for sample, scale in zip(samples, scales, strict=True)]
    sums = np.concatenate(stacked).astype(np.float32) @ counts
    found, row = [], 0
    for sample, scale in zip(samples, scales, strict=True):
        mine = sums[row : row + len(scale)].astype(np.float64) * scale[:, None]
        row += len(scale)
        total = sample.features.sum(axis=0)
        left_out = sample.statistic((total - sample.features).T)
        found.append(
            Distribution(float(sample.statistic(total)), sample.statistic(mine), left_out, len(sample.features))
        )
    return found


def fitting_resamples(units: int, resamples: int = RESAMPLES) -> int:
    """How many resamples of so many units are drawn: as many as asked for, fewer of very large test sets."""
    return max(min(resamples, _MOST_COUNTS // units), min(resamples, _FEWEST_RESAMPLES))


def bca(distribution: Distribution, level: float) -> tuple[float, float] | None:
    """The bias-corrected and accelerated interval; None where resamples don't differ, or are all on one side."""
    from scipy.special import ndtr, ndtri

    replicates, value = distribution.replicates, distribution.value
    if distribution.is_constant:
        return None
    near = 1e-6 * max(1e-6, float(np.ptp(replicates)))
    below = (np.mean(replicates < value - near) + np.mean(replicates <= value + near)) / 2
    bias = float(ndtri(below))
    if not np.isfinite(bias):
        return None
    z = bias + ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    shares = ndtr(bias + z / (1 - _acceleration(distribution.left_out) * z))
    low, high = np.quantile(replicates, shares)
    return float(low), float(high)


def percentile(distribution: Distribution, level: float) -> tuple[float, float]:
    """The percentile interval."""
    low, high = np.quantile(distribution.replicates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _acceleration(left_out: Floats) -> float:
    """How the statistic's spread changes with its value, from the jackknife."""
    off = left_out.mean() - left_out
    spread = float(np.sum(off**2))
    return float(np.sum(off**3)) / (6 * spread**1.5) if spread > 0 else 0.0


@lru_cache(maxsize=4)
def _weights(units: int, resamples: int) -> NDArray[np.float32]:
    """How often each unit is in each resample, shape (units, resamples); the same in every process."""
    generator = np.random.default_rng([_SEED, units])
    rows = max(1, 4_000_000 // units)
    weights = np.empty((units, resamples), dtype=np.float32)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = generator.integers(0, units, (count, units)) + np.arange(count)[:, None] * units
        counts = np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units)
        weights[:, start : start + count] = counts.T
    weights.flags.writeable = False
    return weights


def _by_unit(features: Floats, clusters: NDArray[np.int64] | None) -> Floats:
    """The features of items, summed over those of a cluster."""
    if clusters is None:
        return features
    summed = np.zeros((int(clusters.max()) + 1, features.shape[1]))
    np.add.at(summed, clusters, features)
    return summed


def _ratio(sums: Floats) -> Floats:
    """The first sum over the second."""
    ratio: Floats = sums[0] / sums[1]
    return ratio


def _macro_f1(sums: Floats) -> Floats:
    """The mean over classes of 2 hits / (golds + answers), 0 where there are neither."""
    hits, ends = sums[: len(LETTERS)], sums[len(LETTERS) :]
    f1: Floats = (2 * hits / np.maximum(ends, 0.5)).mean(axis=0)
    return f1

"""Tests between two cells: of answers to the same items in pairs, of times apart; and the correction for many of them.

All p-values are two-sided. Sources: McNemar, Sampling error of the difference between correlated proportions (1947), in
its exact form; Fisher, The design of experiments (1935), 21, for sign flips; Wilcoxon, Individual comparisons by
ranking methods (1945); Mann and Whitney (1947); Holm, A simple sequentially rejective multiple test procedure (1979);
Phipson and Smyth (2010) for the 1 that is added to random permutations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pytest_ftbench.analysis.items import Floats

PERMUTATIONS = 9_999
_EXACT_FLIPS = 13  # 8,192 sign patterns: fewer than are drawn at random
_EXACT_RANKS = 10  # so many are too few for the normal curve
_EXACT_TIMES = 60
_SEED = 20_250_614
_MOST_SIGNS = 40_000_000  # of a table of signs: larger ones have fewer patterns
_FEWEST = 999
_AT_A_TIME = 64  # of rows that are flipped together: their sums fit into a processor's cache


@dataclass(frozen=True)
class WinsTiesLosses:
    """On how many items one cell is better than, as good as, worse than another."""

    wins: int
    ties: int
    losses: int

    @property
    def n(self) -> int:
        """All items."""
        return self.wins + self.ties + self.losses

    @property
    def decided(self) -> int:
        """The items on which they differ."""
        return self.wins + self.losses


def wins_ties_losses(differences: Floats) -> WinsTiesLosses:
    """The count of these differences by their sign, + being a win; differences of rounding only are ties."""
    wins, losses = int(np.sum(differences > 1e-9)), int(np.sum(differences < -1e-9))
    return WinsTiesLosses(wins, len(differences) - wins - losses, losses)


def mcnemar(wins: ArrayLike, losses: ArrayLike) -> Floats:
    """The exact p-value of McNemar's test from the items where only one of two is right; of arrays, elementwise."""
    from scipy.special import bdtr

    first, second = np.asarray(wins), np.asarray(losses)
    p: Floats = np.minimum(1.0, 2 * bdtr(np.minimum(first, second), first + second, 0.5))
    return p


def sign_flips(differences: ArrayLike, permutations: int = PERMUTATIONS) -> Floats:
    """The p-value of the paired permutation test of a mean difference of 0, one for each row of shape (…, n).

    Under the null hypothesis each difference might as well have the other sign. With few differences that aren't 0 all
    sign patterns are taken, else ``permutations`` random ones and the observed.
    """
    given = np.atleast_2d(np.asarray(differences, dtype=np.float64))
    # a column of zeros is the same whatever its sign
    given = given[:, np.any(given != 0, axis=0)]
    return _flipped(given, given.shape[1] <= _EXACT_FLIPS, permutations)


def _flipped(given: Floats, few: bool, permutations: int) -> Floats:
    """The p-values of rows of differences, over all signs where these are few."""
    signs = _all_signs(given.shape[1]) if few else _random_signs(_rounded_up(given.shape[1]), permutations)
    scale = np.maximum(np.abs(given).max(axis=1, initial=0.0), 1e-300)[:, None]
    scaled = given / scale
    observed = np.abs(scaled.sum(axis=1))
    sums = np.abs(scaled.astype(np.float32) @ signs[: given.shape[1]])
    # a pattern whose sum is the observed one but for rounding counts as one
    hits = np.sum(sums >= (observed - 1e-5 * np.maximum(1.0, observed))[:, None], axis=1)
    p: Floats = hits / signs.shape[1] if few else (hits + 1) / (signs.shape[1] + 1)
    return p


def sign_flips_of(each: Sequence[Floats]) -> list[float]:
    """The p-values of many sets of differences, of whatever sizes, as :func:`sign_flips` has them one by one.

    Random signs are read from memory for all of a size at once, which takes longer than all there is to compute.
    """
    some = [row[row != 0] for row in each]
    sizes: dict[int, list[int]] = {}
    for index, row in enumerate(some):
        sizes.setdefault(len(row) if len(row) <= _EXACT_FLIPS else _rounded_up(len(row)), []).append(index)
    found = [1.0] * len(some)
    for size, mine in sizes.items():
        for start in range(0, len(mine), _AT_A_TIME):
            batch = mine[start : start + _AT_A_TIME]
            packed = np.zeros((len(batch), size))
            for place, index in enumerate(batch):
                packed[place, : len(some[index])] = some[index]
            for index, p in zip(batch, _flipped(packed, size <= _EXACT_FLIPS, PERMUTATIONS), strict=True):
                found[index] = float(p)
    return found


def wilcoxon(differences: ArrayLike) -> Floats:
    """The p-value of Wilcoxon's signed-rank test, one for each row of shape (…, n); 1 where no difference is any.

    Zeros are left out. Up to ten differences over all signs of their ranks, whatever their ties; beyond by the normal
    curve, corrected for ties and continuity.
    """
    p = []
    for row in np.atleast_2d(np.asarray(differences, dtype=np.float64)):
        some = row[row != 0]
        ranks, ties = ranked(np.abs(some))
        n = len(some)
        if 0 < n <= _EXACT_RANKS:
            p.append(float(sign_flips(np.sign(some) * ranks)[0]))
            continue
        off = float(ranks[some > 0].sum()) - n * (n + 1) / 4
        p.append(_by_normal_curve(off, n * (n + 1) * (2 * n + 1) / 24 - ties / 48))
    return np.array(p)


def mann_whitney(first: ArrayLike, second: ArrayLike) -> Floats:
    """The p-value of the Mann-Whitney U test of two sets of times, one for each row of shape (…, n).

    Where either set has ten times at most, and both sixty together, over all ways to part them; else by the normal
    curve, corrected for ties and continuity.
    """
    p = []
    for one, other in zip(np.atleast_2d(first), np.atleast_2d(second), strict=True):
        ranks, ties = ranked(np.concatenate([one, other]))
        n, m = len(one), len(other)
        off = float(ranks[:n].sum()) - n * (n + m + 1) / 2
        if min(n, m) <= _EXACT_RANKS and n + m <= _EXACT_TIMES:
            doubled = tuple(sorted(round(2 * rank) for rank in ranks))
            p.append(_share_as_far(doubled, min(n, m), round(2 * abs(off))))
            continue
        p.append(_by_normal_curve(off, n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1)))))
    return np.array(p)


def _share_as_far(ranks: tuple[int, ...], chosen: int, off: int) -> float:
    """The share of all choices of so many ranks whose sum is at least ``off`` its mean; ranks are doubled, so whole."""
    ways = _ways(ranks, chosen)
    distance = np.abs(np.arange(len(ways)) - chosen * (len(ranks) + 1))
    return float(ways[distance >= off].sum() / ways.sum())


@lru_cache(maxsize=64)
def _ways(ranks: tuple[int, ...], chosen: int) -> Floats:
    """In how many ways so many of the ranks can be chosen that sum to 0, 1, 2 and so on."""
    ways = np.zeros((chosen + 1, sum(ranks) + 1))
    ways[0, 0] = 1
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, : ways.shape[1] - rank].copy()
    counted: Floats = ways[chosen]
    return counted


def ranked(values: Floats) -> tuple[Floats, float]:
    """The rank of each value from 1 on, ties having the mean of theirs; and the sum of t³-t over ties of t values."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks, float(np.sum(counts.astype(np.float64) ** 3 - counts))


def _by_normal_curve(off: float, variance: float) -> float:
    """The two-sided p-value of a sum of ranks that is ``off`` its mean, half a rank of that being continuity's."""
    if variance <= 0:
        return 1.0
    from scipy.special import ndtr

    return min(1.0, 2 * float(ndtr(-(max(0.0, abs(off) - 0.5)) / variance**0.5)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p-values of one family; what is None is none of it."""
    known = [index for index, p in enumerate(p_values) if p is not None]
    given = np.array([[p_values[index] for index in known]], dtype=np.float64)
    adjusted: list[float | None] = [None] * len(p_values)
    for index, p in zip(known, holm_rows(given)[0], strict=True):
        adjusted[index] = float(p)
    return adjusted


def holm_rows(p_values: Floats) -> Floats:
    """Holm's adjusted p-values, each row of shape (families, m) being one family."""
    order = np.argsort(p_values, axis=1)
    factors = np.arange(p_values.shape[1], 0, -1)
    stepped = np.maximum.accumulate(np.take_along_axis(p_values, order, axis=1) * factors, axis=1)
    adjusted = np.empty_like(p_values)
    np.put_along_axis(adjusted, order, np.minimum(1.0, stepped), axis=1)
    return adjusted


def summed(values: Floats, clusters: NDArray[np.int64] | None) -> Floats:
    """The sums of the values of each cluster: what is exchanged as one."""
    if clusters is None:
        return values
    sums: Floats = np.bincount(clusters, weights=values).astype(np.float64)
    return sums


@lru_cache(maxsize=16)
def _all_signs(n: int) -> NDArray[np.float32]:
    """All sign patterns of n differences, shape (n, 2^n)."""
    bits = (np.arange(2**n) >> np.arange(n)[:, None]) & 1
    return (1 - 2 * bits).astype(np.float32)


def _rounded_up(n: int) -> int:
    """The next power of two, so that few sets of signs serve all sizes."""
    return 1 << (n - 1).bit_length()


@lru_cache(maxsize=8)
def _random_signs(n: int, permutations: int) -> NDArray[np.float32]:
    """Random sign patterns of n differences, shape (n, patterns), the same in every process; fewer for very many."""
    patterns = min(permutations, max(_FEWEST, _MOST_SIGNS // n))
    generator = np.random.default_rng([_SEED, n])
    signs: NDArray[np.float32] = generator.integers(0, 2, (n, patterns), dtype=np.int8).astype(np.float32)
    signs *= 2
    signs -= 1
    return signs

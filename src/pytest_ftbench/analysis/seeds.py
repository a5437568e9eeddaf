"""Several seeds of one cell: how their scores vary is part of how sure their mean is.

A mean over k seeds and n items varies with both: its variance is a sum of parts, each estimated with degrees of
freedom of its own. Few seeds make few of these, and Satterthwaite's common number for the sum is then too many: with
three seeds his intervals miss up to 8 % instead of 5. Howe's take Student's quantile for each part and miss no more
than they should.

Three seeds say little of how far seeds lie apart, those of all ways tuned on one task say more. So the variance between
seeds is that of a whole block, the ways of one model that were trained on one task and tested on one. That they vary
alike is an assumption: the block's variance counts half as much again, and a way whose own seeds lie farther apart than
that has its own. So families of comparisons keep their 5 % also where variances differ by a factor of four; the
interval of the one way that varies most may then miss up to 11 %, where items add hardly anything to it.

Source: Howe, Approximate confidence limits on the mean of X + Y where X and Y are two tabled independent random
variables (1974).
"""

import math
from collections.abc import Sequence
from functools import lru_cache

from pytest_ftbench.analysis.metrics import number
from pytest_ftbench.analysis.pooling import seeds_of
from pytest_ftbench.grid import CellRecord

Parts = Sequence[tuple[float, float]]
"""The parts of a variance, in the score's unit squared, each with its degrees of freedom (infinite: known)."""
Spread = tuple[float, float]
"""The variance between the seeds of a block, in the score's unit squared, and its degrees of freedom."""

UNLIKE = 1.5  # times the block's variance, for ways differ in theirs
_LEAST_P = 1e-9
_LARGEST = 1e12  # of a score: what is beyond is none, and its square must be a float


def seed_scores(record: CellRecord, key: str) -> list[float]:
    """The score of each seed in a record that is a mean over several; none where it isn't."""
    each = seeds_of(record)
    known = [score for one in each if (score := number(one.scores.get(key))) is not None and abs(score) <= _LARGEST]
    return known if len(known) == len(each) > 1 else []


def block_spread(ways: Sequence[Sequence[float]]) -> Spread | None:
    """The variance between seeds, pooled over ways by their scores under each seed; None where no way has two."""
    several = [scores for scores in ways if len(scores) > 1]
    freedom = sum(len(scores) - 1 for scores in several)
    if not several:
        return None
    return sum((len(each) - 1) * _variance(each) for each in several) / freedom, float(freedom)


def variance_parts(
    seeds: Sequence[float], of_items: float, n: float, block: Spread | None = None
) -> list[tuple[float, float]]:
    """The parts of the variance of a mean over these seeds and ``n`` items: s²/k, and that over items.

    The noise of single answers is in both, so that their sum errs to the wide side. s² is 1.5 times the ``block``'s,
    or these seeds' own where that is larger. One seed without a block is no part, and a block of
    these seeds alone says no more than they do.
    """
    parts = [(of_items, max(1.0, n - 1.0))]
    own = _variance(seeds) if len(seeds) > 1 else 0.0
    if block is not None and block[1] > len(seeds) - 1:
        return [*parts, (max(own, UNLIKE * block[0]) / len(seeds), block[1])]
    return [*parts, (own / len(seeds), len(seeds) - 1.0)] if len(seeds) > 1 else parts


def half_width(parts: Parts, alpha: float) -> float:
    """Half the width of Howe's interval that misses in a share ``alpha`` of all cases, in the score's unit."""
    return math.sqrt(sum((_t(freedom, 1 - alpha / 2) * math.sqrt(part)) ** 2 for part, freedom in parts))


def p_value(difference: float, parts: Parts) -> float:
    """The two-sided p-value of no difference: the ``alpha`` whose interval just reaches zero, at least 1e-9."""
    off = abs(difference)
    if off <= half_width(parts, 1.0):
        return 1.0
    if len({freedom for _, freedom in parts}) == 1:
        # with one number of degrees of freedom it is Student's
        return max(_LEAST_P, 2 * _tail(parts[0][1], off / math.sqrt(sum(part for part, _ in parts) or 1e-300)))
    low, high = math.log10(_LEAST_P), 0.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if half_width(parts, 10**middle) < off else (middle, high)
    return float(10**high)


def _tail(freedom: float, t: float) -> float:
    """The share of Student's distribution beyond t."""
    from scipy.special import ndtr, stdtr

    return float(ndtr(-t) if math.isinf(freedom) else stdtr(freedom, -t))


def _variance(values: Sequence[float]) -> float:
    """The variance of a sample, none of it being lost where all are alike; a tenth of the library's time."""
    off = [value - values[0] for value in values]
    middle = math.fsum(off) / len(off)
    return math.fsum((each - middle) ** 2 for each in off) / (len(off) - 1)


@lru_cache(maxsize=8_192)
def _t(freedom: float, share: float) -> float:
    """Student's quantile; of many pairs with as many seeds each, the same few are asked for."""
    from scipy.special import ndtri, stdtrit

    return float(ndtri(share) if math.isinf(freedom) else stdtrit(freedom, share))

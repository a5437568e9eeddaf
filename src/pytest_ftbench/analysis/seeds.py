"""Several seeds of one cell: how their scores vary is part of how sure their mean is.

A mean over k seeds and n items varies with both: its variance is a sum of parts, each estimated with degrees of
freedom of its own. Few seeds make few of these, and Satterthwaite's common number for the sum is then too many: with
three seeds his intervals miss up to 8 % instead of 5. Howe's take Student's quantile for each part and miss no more
than they should.

Source: Howe, Approximate confidence limits on the mean of X + Y where X and Y are two tabled independent random
variables (1974).
"""

import math
from collections.abc import Sequence
from statistics import variance

from pytest_ftbench.analysis.metrics import number
from pytest_ftbench.analysis.pooling import seeds_of
from pytest_ftbench.grid import CellRecord

Parts = Sequence[tuple[float, float]]
"""The parts of a variance, in the score's unit squared, each with its degrees of freedom (infinite: known)."""

_LARGEST = 1e12  # of a score: what is beyond is none, and its square must be a float


def seed_scores(record: CellRecord, key: str) -> list[float]:
    """The score of each seed in a record that is a mean over several; none where it isn't."""
    each = seeds_of(record)
    known = [score for one in each if (score := number(one.scores.get(key))) is not None and abs(score) <= _LARGEST]
    return known if len(known) == len(each) > 1 else []


def variance_parts(seeds: Sequence[float], of_items: float, n: float) -> list[tuple[float, float]]:
    """The parts of the variance of a mean over these seeds and ``n`` items: s²/k, and that over items.

    The noise of single answers is in both, so that their sum errs to the wide side. One seed is no part.
    """
    parts = [(of_items, max(1.0, n - 1.0))]
    return [*parts, (variance(seeds) / len(seeds), len(seeds) - 1.0)] if len(seeds) > 1 else parts


def half_width(parts: Parts, alpha: float) -> float:
    """Half the width of Howe's interval that misses in a share ``alpha`` of all cases, in the score's unit."""
    return math.sqrt(sum((_t(freedom, 1 - alpha / 2) * math.sqrt(part)) ** 2 for part, freedom in parts))


def p_value(difference: float, parts: Parts) -> float:
    """The two-sided p-value of no difference: the ``alpha`` whose interval just reaches zero, at least 1e-9."""
    off = abs(difference)
    if off <= half_width(parts, 1.0):
        return 1.0
    low, high = -9.0, 0.0  # of its logarithm
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if half_width(parts, 10**middle) < off else (middle, high)
    return float(10**high)


def _t(freedom: float, share: float) -> float:
    from scipy.special import ndtri, stdtrit

    return float(ndtri(share) if math.isinf(freedom) else stdtrit(freedom, share))

"""Several seeds of one cell: how their scores vary is part of how sure their mean is.

Source: Satterthwaite, An approximate distribution of estimates of variance components (1946).
"""

from collections.abc import Sequence
from statistics import variance

from pytest_ftbench.analysis.metrics import number
from pytest_ftbench.analysis.pooling import seeds_of
from pytest_ftbench.grid import CellRecord

_LARGEST = 1e12  # of a score: what is beyond is none, and its square must be a float


def seed_scores(record: CellRecord, key: str) -> list[float]:
    """The score of each seed in a record that is a mean over several; none where it isn't."""
    each = seeds_of(record)
    known = [score for one in each if (score := number(one.scores.get(key))) is not None and abs(score) <= _LARGEST]
    return known if len(known) == len(each) > 1 else []


def mean_variance(seeds: Sequence[float], variance_of_items: float, n: int) -> tuple[float, float]:
    """The variance of a mean over these seeds and ``n`` items, and its degrees of freedom."""
    of_seeds = variance(seeds) / len(seeds) if len(seeds) > 1 else 0.0
    return of_seeds + variance_of_items, satterthwaite([(of_seeds, len(seeds) - 1), (variance_of_items, n - 1)])


def satterthwaite(parts: Sequence[tuple[float, float]]) -> float:
    """The degrees of freedom of a sum of variances, each given with its own."""
    total = sum(part for part, _ in parts)
    below = sum(part**2 / freedom for part, freedom in parts if part > 0 and freedom > 0)
    return total**2 / below if below > 0 else max((freedom for _, freedom in parts), default=1.0)

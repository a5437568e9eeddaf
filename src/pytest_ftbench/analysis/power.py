"""What a run could have seen: the smallest true difference that its tests find in four of five runs of its size.

Sources: Miettinen, The matched pairs design in the case of all-or-none responses (1968), for the unconditional power of
McNemar's test, here summed exactly over the number of discordant pairs; Bhatia and Davis (2000) for the largest
variance that a bounded score of a given mean can have.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pytest_ftbench.analysis.seeds import Parts, half_width

POWER = 0.8
"""The share of runs in which a difference is to be found."""


@dataclass(frozen=True)
class Detectable:
    """The smallest difference of a score that a run could have seen in one task.

    ``difference`` is in the score's unit (None: even the largest possible one wouldn't have been found), ``alpha`` what
    the ``comparisons`` were tested at together; ``made`` says that they were made. ``task`` and ``label`` name the
    measure that the test is of; ``assumed`` says that, for want of items, answers were taken to be independent.
    """

    task: str
    label: str
    difference: float | None
    format: str
    n: int
    alpha: float
    comparisons: int
    assumed: bool
    made: bool = True


def mcnemar_power(n: int, discordance: float, difference: float, alpha: float) -> float:
    """The power of the exact test on ``n`` items of which a share ``discordance`` is answered rightly by only one.

    ``difference`` is that of the two shares of right answers, at most ``discordance``.
    """
    from scipy.special import bdtr, gammaln, xlog1py, xlogy

    discordance = min(1.0, max(discordance, 1e-12))
    share = min(1.0, (discordance + difference) / (2 * discordance))
    pairs = np.arange(n + 1)
    # by symmetry: the largest number of losses at which the test rejects, -1 where none does
    losses = _critical(n, alpha)
    low = np.where(losses >= 0, bdtr(np.maximum(losses, 0), pairs, 1 - share), 0.0)
    high = np.where(losses >= 0, bdtr(np.maximum(losses, 0), pairs, share), 0.0)
    ways = gammaln(n + 1) - gammaln(pairs + 1) - gammaln(n - pairs + 1)
    chances = np.exp(ways + xlogy(pairs, discordance) + xlog1py(n - pairs, -discordance))
    return float(np.sum(chances * (low + high)))


def mcnemar_detectable(n: int, discordance: float, alpha: float, power: float = POWER) -> float | None:
    """The smallest difference of two shares that the exact test finds with this power; None where it finds none.

    A difference above the discordance takes more discordance along: no item can be won without being one.
    """

    def reached(difference: float) -> float:
        return mcnemar_power(n, max(discordance, difference), difference, alpha)

    low, high = 0.0, 1.0
    if reached(high) < power:
        return None
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) >= power else (middle, high)
    return high


def mean_detectable(parts: Parts, alpha: float, power: float = POWER) -> float:
    """The smallest difference of means that a test finds with this power, its variance being of these parts.

    Where a variance is estimated of few seeds, the quantiles are Student's, two of which stand for the noncentral one.
    """
    return half_width(parts, alpha) + half_width(parts, 2 * (1 - power))


def independent_variance(mean: float, n: int, full: float) -> float:
    """The largest variance that the difference of two independent mean scores of 0..``full`` can have."""
    mean = min(full, max(0.0, mean))
    return 2 * mean * (full - mean) / n


@lru_cache(maxsize=64)
def _critical(n: int, alpha: float) -> NDArray[np.int64]:
    """For 0 to n discordant pairs, the most losses (or wins) at which the exact test rejects; -1: at none."""
    from scipy.special import bdtr

    most = -1
    critical = np.empty(n + 1, dtype=np.int64)
    for pairs in range(n + 1):
        # with a pair more, it rejects at no fewer losses and at one more at most
        most += bool(2 * most + 2 <= pairs and 2 * bdtr(most + 1, pairs, 0.5) <= alpha)
        critical[pairs] = most
    return critical

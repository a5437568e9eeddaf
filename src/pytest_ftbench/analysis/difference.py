"""Whether a difference of two scores is more than chance: an interval, from the items or from their number alone.

The checks ask here and nowhere else, so that another test can take this one's place.
"""

import math
from collections.abc import Mapping
from statistics import NormalDist

from pytest_ftbench.analysis.case import Case, mean
from pytest_ftbench.analysis.metrics import number

SCALES: Mapping[str, tuple[float, float]] = {
    "macro_f1": (0, 1),
    "accuracy": (0, 1),
    "solve_rate": (0, 1),
    "exact": (0, 1),
    "f1": (0, 100),
    "cosine": (-1, 1),
}
"""The ends between which a score lies."""
_FEWEST_PAIRS = 10


def difference_interval(
    first: Case, second: Case, confidence: float, key: str | None = None
) -> tuple[float, float] | None:
    """The interval of how much better ``first`` scores than ``second``, in the metric's unit; None: unknown.

    ``key`` is a metric that is better the higher it is (None: the headline). From the items that both were tested on
    where their scores are what the metric is the mean of; else from the scores and the numbers of items.
    """
    key, sign = key or first.task.headline.key, 1
    if key == first.task.headline.key and not first.task.headline.higher_is_better:
        sign = -1
    low_high = SCALES.get(key)
    scores = [number(case.record.scores.get(key)) for case in (first, second)]
    if scores[0] is None or scores[1] is None:
        return None
    found = _paired(first, second, scores[0] - scores[1], low_high, confidence)
    if found is None:
        found = _newcombe(scores[0], scores[1], first.n, second.n, low_high, confidence)
    if found is None:
        return None
    return found if sign > 0 else (-found[1], -found[0])


def wilson(share: float, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion, without continuity correction (Wilson 1927).

    >>> [round(end, 4) for end in wilson(0.5, 10, 0.95)]
    [0.2366, 0.7634]
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def _newcombe(
    first: float, second: float, n: int | None, m: int | None, scale: tuple[float, float] | None, confidence: float
) -> tuple[float, float] | None:
    """Newcombe's hybrid score interval of two independent proportions (1998, method 10), in the scores' unit.

    A score between two ends varies at most as a proportion of its height does, so this is wide enough for any.
    """
    if scale is None or not n or not m:
        return None
    low, high = scale
    shares = [(score - low) / (high - low) for score in (first, second)]
    if not all(0 <= share <= 1 for share in shares):
        return None
    (p, q), d = shares, shares[0] - shares[1]
    (l1, u1), (l2, u2) = wilson(p, n, confidence), wilson(q, m, confidence)
    below, above = math.hypot(p - l1, u2 - q), math.hypot(u1 - p, q - l2)
    return (d - below) * (high - low), (d + above) * (high - low)


def _paired(
    first: Case, second: Case, apart: float, scale: tuple[float, float] | None, confidence: float
) -> tuple[float, float] | None:
    """The normal interval of the mean difference of paired items; two made-up ones keep it honest where few differ.

    That is Agresti and Min's (2005) for binary outcomes: half an item is added to each of their four cells.
    """
    if scale is None or first.item_scores.keys() != second.item_scores.keys():
        return None
    known = [score - second.item_scores[name] for name, score in first.item_scores.items()]
    size = scale[1] - scale[0]
    # what the items say must be what the metric says: a macro F1 is no mean of theirs
    if len(known) < _FEWEST_PAIRS or abs(mean(known) - apart) > 1e-3 * size:
        return None
    total = len(known) + 2
    centre = sum(known) / total
    variance = (sum(each * each for each in known) + size * size) / total - centre * centre
    half = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(max(0.0, variance) / total)
    return centre - half, centre + half

"""What timed answers come to: the same numbers where a record is made and where one is read."""

import statistics
from collections.abc import Sequence


def stddev(samples: Sequence[float]) -> float | None:
    """The standard deviation of a sample; None of fewer than two."""
    return statistics.stdev(samples) if len(samples) > 1 else None


def p95(samples: Sequence[float]) -> float | None:
    """The 95th percentile, linear between the two samples beside it (numpy's default); None of fewer than two."""
    if len(samples) < 2:
        return None
    return statistics.quantiles(samples, n=20, method="inclusive")[-1]


def tpot(seconds: float, first: float, tokens: float) -> float | None:
    """Time per output token: seconds per token after the ``first``, at which one was there; None where none follows."""
    return (seconds - first) / (tokens - 1) if tokens > 1 else None

"""How many times faster one way is than another: ratios of the same rounds, their median, how sure it is, its limit."""

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

DRAWS = 2000


@dataclass
class Ratios:
    """Ratios round by round, and what their median has to be: ``least`` at least, ``most`` at most."""

    name: str
    least: float = 0.0
    most: float = math.inf
    values: list[float] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether the median is what it has to be."""
        return self.least <= statistics.median(self.values) <= self.most

    def line(self) -> str:
        """The median with its interval, and whether it is within its limit."""
        limit = f"at most {self.most:g}×" if self.most < math.inf else f"at least {self.least:g}×" if self.least else ""
        return f"{self.name:52} {told(self.values):36} {limit:>14}  {'ok' if self.kept else 'BROKEN'}"


def told(values: Sequence[float]) -> str:
    """The median of ratios with its 95 % bootstrap interval and their number."""
    low, high = interval(values)
    return f"{statistics.median(values):.4g}× [{low:.4g}, {high:.4g}], n = {len(values)}"


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % of the medians of samples drawn anew."""
    draw = random.Random(0)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(DRAWS))
    return medians[DRAWS // 40], medians[-1 - DRAWS // 40]

"""How much worse a metric is than in the baseline, and how sure that is: what all kinds of comparison come to.

Changes of percents are compared as logarithms, where a rise by a half and its undoing are as far; ``allowed`` and
bounds go there and come back here.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from pytest_ftbench.analysis.gate_verdict import Kind
from pytest_ftbench.analysis.seeds import Parts, half_width, p_value
from pytest_ftbench.grid.gates import Gate, GateRule

ROUNDING = 1e-9
"""By how much of itself a number may be off for rounding."""
LEAST_P = 1e-9
"""Where p-values end: a smaller one promises more than any of the tests can."""
_LARGEST = 5_000.0  # a hundred logarithms: percents beyond have more than twenty digits

Need = Callable[[float], str]
"""What would decide it, were the single comparison to be shown at a level."""


@dataclass(frozen=True)
class Worsening:
    """A metric then and now: ``was`` and ``now`` in its unit; the rest in that of its changes, more being worse.

    ``interval`` is two-sided at 95 %, ``bound`` what it is at most, one-sided at the gate's level; ``p`` is that of its
    being worse by no more than allowed. Without ``p`` nobody knows what chance does, ``unknown`` says why. ``same``
    says that all of it is the very same. ``doubt`` is why it can't be shown, however large it is.
    """

    kind: Kind
    was: float
    now: float
    worse: float
    need: Need
    interval: tuple[float, float] | None = None
    bound: float | None = None
    p: float | None = None
    n: int | None = None
    seeds: tuple[int, int] = (1, 1)
    same: str = ""
    unknown: str = ""
    doubt: str = ""


@dataclass(frozen=True)
class Scale:
    """The scale on which a rule's changes are differences: of points as they are, of percents the logarithm."""

    percent: bool

    def to(self, change: float) -> float:
        """A worsening on the scale."""
        return 100 * math.log1p(change / 100) if self.percent else change

    def back(self, change: float) -> float:
        """A worsening in points or percent."""
        return 100 * math.expm1(max(-_LARGEST, min(_LARGEST, change)) / 100) if self.percent else change


def gap(rule: GateRule, worse: float, scale: Scale) -> float:
    """How far what is allowed is from what matters, on the scale; where they are one, how far a worsening is off it."""
    between = scale.to(rule.effect) - scale.to(rule.allowed)
    return between if between > 1e-9 else abs(worse - scale.to(rule.effect))


@dataclass(frozen=True)
class Chance:
    """What is found of a worsening whose variance has these parts."""

    interval: tuple[float, float]
    bound: float
    p: float

    @classmethod
    def of(cls, worse: float, parts: Parts, rule: GateRule, gate: Gate, scale: Scale) -> "Chance":
        """From a worsening on the scale and the parts of its variance there, by Howe's intervals."""
        half, beyond = half_width(parts, 0.05), worse - scale.to(rule.allowed)
        both = p_value(beyond, parts)
        return cls(
            interval=(scale.back(worse - half), scale.back(worse + half)),
            bound=scale.back(worse + half_width(parts, 2 * gate.alpha) if gate.alpha < 0.5 else worse),
            p=max(LEAST_P, both / 2 if beyond > 0 else 1 - both / 2),
        )

"""What a gate says of one metric of one cell: the verdict, its numbers, and what it would need to become another."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """A verdict in a word."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    INCOMPARABLE = "incomparable"
    MISSING = "missing baseline"


class Kind(StrEnum):
    """What a verdict is of: a floor or ceiling; or a change against the baseline.

    An *evaluation* has the same weights as then, so that answers to the same items are compared in pairs; a *training*
    was made anew, so that its seeds are what chance there is; a *timing* is of times per token, a *peak* of memory.
    """

    LIMIT = "limit"
    EVALUATION = "evaluation"
    TRAINING = "training"
    TIMING = "timing"
    PEAK = "peak"


@dataclass(frozen=True)
class Verdict:
    """A gate's verdict on one metric of a cell, over its seeds.

    ``cell`` is the id without a seed. ``was`` and ``now`` are in the metric's unit (``unit``), ``change`` and its
    ``interval`` (two-sided, 95 %, by itself) in that of its changes, now less then; None is unknown. ``p`` is that of
    no more change for the worse than is allowed, one-sided, ``adjusted`` that after the correction over the family.
    ``seeds`` are those of then and now. ``limit`` is the rule in words, ``why`` says in a sentence what decided,
    ``need`` what would change the verdict (empty: nothing need), ``rerun`` what measuring again found (empty: it
    wasn't). ``action`` is what it does to its test item: ``fail``, ``warn``, ``skip`` or ``pass``.
    """

    cell: str
    metric: str
    kind: Kind
    outcome: Outcome
    action: str
    limit: str
    was: float | None = None
    now: float | None = None
    unit: str = ""
    change: float | None = None
    change_unit: str = ""
    interval: tuple[float, float] | None = None
    p: float | None = None
    adjusted: float | None = None
    n: int | None = None
    seeds: tuple[int, int] = (0, 0)
    why: str = ""
    need: str = ""
    rerun: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, as they travel between processes and stand in a results file."""
        value = asdict(self) | {"kind": str(self.kind), "outcome": str(self.outcome), "seeds": list(self.seeds)}
        return value | {"interval": None if self.interval is None else list(self.interval)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Verdict":
        """The verdict that was made into ``value``."""
        given = {field.name: value[field.name] for field in fields(cls)}
        low_high = given["interval"]
        return cls(
            **given
            | {
                "kind": Kind(given["kind"]),
                "outcome": Outcome(given["outcome"]),
                "seeds": (given["seeds"][0], given["seeds"][1]),
                "interval": None if low_high is None else (low_high[0], low_high[1]),
            }
        )

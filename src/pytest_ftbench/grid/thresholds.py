"""From where on the validity checks speak: a suite's ``[checks]`` table, kept in the results that it judged.

Two rules have no key: a cell whose format rate is below 50 % or whose outputs are more than half empty is INVALID, and
one that beats no trivial answerer (V17) leaves every ranking. Neither can be moved or turned off.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from pytest_ftbench.grid.shown import shown

CODES = tuple(f"V{number:02}" for number in range(1, 18))
"""The codes of all checks."""

ALWAYS_ON = "V17"
"""The check that decides rankings, and so can't be turned off."""


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of the checks; shares are fractions of 0..1.

    ``off`` are the codes of checks that aren't made. ``confidence`` is that of the intervals of V02 and V15.
    ``format_rate`` is the least that is not V03, and so is a difference of ``format_gap`` between compared cells;
    ``empty_rate`` and ``truncated_rate`` are the most that is not V04, ``item_share`` the most of a mean that one item
    may make (V05). Latencies ``latency_change`` apart, relative to the base, are a difference; one of which more than
    ``token_share`` is another number of tokens is V07. An adapter whose answers agree with the base's in at least
    ``unchanged`` of the items has changed nothing (V08). ``alpha_per_rank`` is the least scale of an adapter (V10),
    ``overlap`` the most test items that may be in the training set (V12), ``class_share`` the most of the predictions
    that one class may take (V13). Merging an adapter may change the logits by ``merge_relative`` of what the
    adapter itself changes; where that isn't known, by ``merge_gap``, in standard deviations of the logits, and by
    ``merge_flips`` of their maxima (V14). ``busy_cores`` is how many cores others may keep busy in timing (V16), of
    those that the threads timed need (of any, where it isn't known how many there were).
    """

    off: tuple[str, ...] = ()
    confidence: float = 0.95
    format_rate: float = 0.9
    format_gap: float = 0.05
    empty_rate: float = 0.05
    truncated_rate: float = 0.05
    item_share: float = 0.25
    latency_change: float = 0.1
    token_share: float = 0.8
    unchanged: float = 0.9
    alpha_per_rank: float = 0.1
    overlap: int = 0
    class_share: float = 0.8
    merge_relative: float = 0.6
    merge_gap: float = 0.5
    merge_flips: float = 0.1
    busy_cores: float = 0.5

    @classmethod
    def from_json(cls, value: object) -> "Thresholds":
        """The thresholds that a results file was judged by; whatever is missing or makes no sense is the default."""
        if not isinstance(value, Mapping):
            return cls()
        defaults = cls()
        known = {f.name: value[f.name] for f in fields(cls) if f.name in value}
        off = known.pop("off", ())
        listed = off if isinstance(off, list | tuple) else ()
        kept = {name: given for name, given in known.items() if defaults.problem(name, given) is None}
        return cls(off=tuple(code for code in CODES if code in listed and code != ALWAYS_ON), **kept)

    def as_dict(self) -> dict[str, Any]:
        """Every threshold by name, plain values."""
        return asdict(self) | {"off": list(self.off)}

    @property
    def moved(self) -> dict[str, tuple[float, float]]:
        """The thresholds that aren't the defaults, each with its default."""
        usual, mine = Thresholds().as_dict(), self.as_dict()
        return {name: (mine[name], usual[name]) for name in mine if name != "off" and mine[name] != usual[name]}

    @staticmethod
    def problem(name: str, value: Any) -> tuple[str, str] | None:
        """What is wrong with the value of a threshold and how to mend it; None: nothing is."""
        whole = name == "overlap"
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            return f"is {shown(value)}", f"give a {'whole ' if whole else ''}number"
        if not 0 <= value <= sys.float_info.max:
            return f"is {shown(value)}", "give 0 or more"
        if name == "confidence" and not 0 < value < 1:
            return f"is {shown(value)}", "give a fraction between 0 and 1, as in 0.95"
        if name in _SHARES and value > 1:
            return f"is {shown(value)}", "give a fraction of 0 to 1, as in 0.9 for 90 %"
        return None


_SHARES = frozenset(
    {"format_rate", "format_gap", "empty_rate", "truncated_rate", "item_share", "unchanged", "class_share"}
    | {"merge_flips", "token_share"}
)

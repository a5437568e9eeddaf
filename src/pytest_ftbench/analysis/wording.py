"""How answers word what they say: names that a sentence bears, numbers in few characters, lists."""

import math
from collections.abc import Iterable, Mapping

from pytest_ftbench.analysis.metrics import EvalTask, number, task_label
from pytest_ftbench.analysis.validity import Standing
from pytest_ftbench.grid import CheckpointKey, method_label

UNKNOWN = "–"
MARKS: Mapping[Standing, str] = {Standing.INVALID: "INVALID", Standing.TRIVIAL: "<trivial"}
MEMORY: Mapping[str, str] = {
    "allocated": "allocated on the device",
    "reserved": "reserved on the device",
    "process": "of the process",
}
"""What a peak of memory may be of, the most telling first."""

_ROOM = 40


def way_of(key: CheckpointKey) -> str:
    """A way of tuning in a few words, without its model."""
    rank = "" if key.rank is None else f"r{short(key.rank)}"
    return " ".join(filter(None, [short(method_label(key.method)), rank, short(key.quantization or "")]))


def label(task: str) -> str:
    """How a task is called in a sentence."""
    return short(task_label(task))


def short(text: object) -> str:
    """A foreign name as long as a sentence bears."""
    said = " ".join(str(text)[: 4 * _ROOM].split())
    return said if len(said) <= _ROOM else said[: _ROOM - 1] + "…"


def shown(task: EvalTask, score: float | None) -> str:
    """A score in its metric's format."""
    return formatted(score, task.headline.format)


def formatted(value: float | None, format: str) -> str:
    """A number in a metric's format; at most ten characters."""
    return UNKNOWN if value is None else _fitting(f"{value:{format}}", f"{value:.1e}")


def signed(task: EvalTask, difference: float) -> str:
    """A difference of scores in its metric's format, with its sign."""
    return _fitting(f"{difference:+{task.headline.format}}", f"{difference:+.1e}")


def percent(now: float | None, then: float | None) -> str:
    """A change in percent of ``then``."""
    if now is None or not then:
        return UNKNOWN
    change = number(100 * (now / then - 1))
    return UNKNOWN if change is None else _fitting(f"{change:+.1f}", f"{change:+.0e}")


def gib(value: float | None) -> str:
    """A size with three digits."""
    return UNKNOWN if value is None else f"{value:.3g}"


def cap(value: float) -> str:
    """A size with three digits that it fits into."""
    digits = 2 - math.floor(math.log10(value))
    least = number(math.ceil(round(value * 10.0**digits, 6)) / 10.0**digits) if -300 < digits < 300 else None
    return gib(value if least is None else least)


def listed(texts: Iterable[str], most: int = 4) -> str:
    """Texts in a sentence: ``a, b and c``, or the first ones and how many more."""
    known = [text for text in texts if text]
    if len(known) > most:
        return f"{', '.join(known[:most])} and {len(known) - most} more"
    return " and ".join(filter(None, [", ".join(known[:-1]), known[-1]])) if known else "none"


def _fitting(text: str, otherwise: str) -> str:
    return text if len(text) <= 10 else otherwise

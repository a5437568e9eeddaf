"""Sizes and ages as a user writes them, and as they are told."""

import math
import re
from datetime import datetime
from fractions import Fraction

from pytest_ftbench.grid import UserError

_DECIMAL = {unit: 1000**power for power, unit in enumerate(("B", "kB", "MB", "GB", "TB", "PB"))}
_BINARY = {unit: 1024**power for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB", "PiB"), 1)}
_BYTES = {unit.lower(): number for unit, number in (_DECIMAL | _BINARY).items()}
_SECONDS = {"h": 3600, "d": 86_400, "w": 604_800}
_LAST_MOMENT = 250_000_000_000.0  # in the year 9892
# no number that takes long to read
_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?) ?([A-Za-z]{1,3})", re.ASCII)


def parse_size(place: str, text: str) -> int:
    """The bytes that a text such as ``20GiB`` or ``1.5 TB`` means; ``place`` says where it was written.

    Raises :class:`UserError` for what is no size, or none at all.
    """
    size = _quantity(text, _BYTES)
    if size is None or not (whole := math.floor(size)):
        raise UserError(place, f"is {text!r}, which is no size", "write a number and a unit, as in 20GiB or 500MB")
    return whole


def parse_age(place: str, text: str) -> float:
    """The seconds that a text such as ``30d`` means: hours (h), days (d) or weeks (w).

    Raises :class:`UserError` for what is none.
    """
    age = _quantity(text, _SECONDS)
    if age is None:
        raise UserError(place, f"is {text!r}, which is no time", "write a number of hours, days or weeks, as in 30d")
    return float(age)


def format_size(size: int) -> str:
    """A size in the largest unit of which there is one, to a tenth."""
    for unit, number in reversed(_BINARY.items()):
        if size >= number:
            return f"{size / number:.1f} {unit}"
    return f"{size} B"


def format_time(moment: float) -> str:
    """A time, seconds of the epoch, as this place's clocks show it; folders may bear any."""
    return datetime.fromtimestamp(min(max(moment, 0.0), _LAST_MOMENT)).strftime("%Y-%m-%d %H:%M")


def _quantity(text: str, units: dict[str, int]) -> Fraction | None:
    match = _QUANTITY.fullmatch(text.strip())
    unit = None if match is None else units.get(match[2].lower())
    return None if match is None or unit is None else Fraction(match[1]) * unit

"""Numbers and foreign words made fit for a column: no wider than promised, a column per character, no control codes."""

import math
import unicodedata
from collections.abc import Iterable, Sequence

ABSENT = "–"
BEST = "*"
_SIZES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))


def clean(text: object) -> str:
    r"""The text on one line, with whatever a terminal would obey or not count as one column made visible (``\x1b``)."""
    said = " ".join(str(text).split())
    if said.isascii() and said.isprintable():
        return said
    return "".join(character if _is_plain(character) else _escaped(character) for character in said)


def elided(text: str, room: int) -> str:
    """The text in at most ``room`` characters, its middle left out; both ends of a model's name say which it is."""
    if len(text) <= room:
        return text
    tail = (room - 1) // 2
    return text[: room - 1 - tail] + "…" + text[len(text) - tail :]


def short_names(names: Iterable[str], room: int) -> dict[str, str]:
    """The names, cleaned, in at most ``room`` characters each, and as distinct as they came."""
    short: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        candidate, count = elided(clean(name), room), 1
        while candidate in taken:
            count += 1
            suffix = f"~{count}"
            candidate = elided(clean(name), room - len(suffix)) + suffix
        taken.add(candidate)
        short[name] = candidate
    return short


def score(value: float | None, format: str) -> str:
    """A score in its metric's format; at most 7 characters."""
    return ABSENT if value is None else _at_most(7, value, _not_below_zero(f"{value:{format}}"))


def signed(value: float, format: str) -> str:
    """A change of a score in its metric's format, with its sign; at most 8 characters."""
    return _at_most(8, value, _not_below_zero(f"{value:+{format}}", "+"), sign="+")


def aligned(values: Sequence[float | None], digits: int, room: int) -> list[str]:
    """The numbers of a column with equal decimals: ``digits`` of the smallest, or what the largest allows in ``room``.

    At most 7 characters each.
    """
    sizes = [abs(value) for value in values if value]
    if not sizes:
        return [ABSENT if value is None else "0" for value in values]
    needed = max(1, digits - 1 - math.floor(math.log10(min(sizes))))
    allowed = room - len(f"{max(sizes):.0f}.")
    return [_with_decimals(value, max(0, min(needed, allowed))) for value in values]


def count(value: float | None) -> str:
    """A large number of things by its first three digits, such as ``1.05M``; at most 7 characters."""
    if value is None:
        return ABSENT
    for size, suffix in _SIZES:
        # what would be rounded to 1000 of the smaller size is one of this
        if value >= 0.9995 * size:
            return _at_most(7, value, f"{value / size:#.3g}".rstrip(".") + suffix)
    return _at_most(7, value, f"{value:.0f}")


def rate(value: float | None) -> str:
    """A fraction of 0..1 in percent, never rounded to a full 100; at most 7 characters."""
    if value is None:
        return ABSENT
    text = _at_most(7, 100 * value, f"{100 * value:.1f}")
    return "99.9" if text == "100.0" and value < 1 else text.replace("100.0", "100")


def percent(value: float | None) -> str:
    """A change in percent, with its sign; at most 8 characters."""
    if value is None:
        return ABSENT
    return _at_most(8, value, _not_below_zero(f"{value:+.{1 if abs(value) < 1000 else 0}f}", "+"), sign="+")


def p_value(value: float | None) -> str:
    """A p-value to three digits behind the point, never rounded to 0; at most 6 characters."""
    if value is None:
        return ABSENT
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _not_below_zero(text: str, sign: str = "") -> str:
    """The number; what was rounded to zero is not below it."""
    below = text.startswith("-") and not any(digit in text for digit in "123456789")
    return sign + text[1:] if below else text


def _with_decimals(value: float | None, decimals: int) -> str:
    if value is None:
        return ABSENT
    text = f"{value:.{decimals}f}"
    return f"{value:.0e}" if value and not float(text) else _at_most(7, value, text)


def _at_most(room: int, value: float, text: str, sign: str = "") -> str:
    return text if len(text) <= room else f"{value:{sign}.0e}"


def _is_plain(character: str) -> bool:
    # combining marks take no column, wide letters two: both would push the rest of their line out of its columns
    return (
        character.isprintable()
        and unicodedata.category(character)[0] != "M"
        and unicodedata.east_asian_width(character) not in "WF"
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")

"""How figures tell things apart: by colours that colour-blind readers can, and never by colour alone.

The colours are those of Okabe and Ito, Color Universal Design (2008), without yellow and black, which are lost on a
light or dark page. Beside its colour everything has a shape, a dash or a hatching of its own.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pytest_ftbench.report.svg import INK
from pytest_ftbench.report.words import clean, elided

BLUE, VERMILLION = "#0072B2", "#D55E00"
_COLOURS = (BLUE, VERMILLION, "#009E73", "#E69F00", "#CC79A7", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "P", "h", "<", ">", "p", "8")
_DASHES = ("-", "--", "-.", ":")
_HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++")
_SIZE = 6.5
_TITLE_ROOM = 30


@dataclass(frozen=True)
class Look:
    """A colour, and what stands for it where that can't be seen."""

    colour: str
    marker: str
    dash: str
    hatch: str


def looks(names: Iterable[str]) -> dict[str, Look]:
    """A look for each of these, in their order; beyond six the colours come again, with another shape."""
    found = {}
    for index, name in enumerate(dict.fromkeys(names)):
        dash = _DASHES[index // len(_COLOURS) % len(_DASHES)] if index >= len(_COLOURS) else _DASHES[index % 4]
        found[name] = Look(
            _COLOURS[index % len(_COLOURS)], _MARKERS[index % len(_MARKERS)], dash, _HATCHES[index % len(_HATCHES)]
        )
    return found


def point(
    axes: Any,
    x: float | Sequence[float],
    y: float | Sequence[float],
    look: Look,
    ranked: bool,
    colour: str | None = None,
    hollow: bool = False,
) -> None:
    """A marker, or several; of a cell that can't be ranked hollow and crossed."""
    face = colour or look.colour
    if ranked and not hollow:
        axes.plot(x, y, look.marker, ms=_SIZE, mfc=face, mec=INK, mew=0.6, ls="none", zorder=3)
        return
    axes.plot(x, y, look.marker, ms=_SIZE, mfc="none", mec=face, mew=1.2, ls="none", zorder=3)
    if ranked:
        return
    axes.plot(x, y, "x", ms=_SIZE + 2, mec=INK, mew=0.9, ls="none", zorder=4)


def key_of(marker: str = "", colour: str = INK, label: str = "", dash: str = "none", hollow: bool = False) -> Any:
    """An entry of a legend."""
    from matplotlib.lines import Line2D

    face = "none" if hollow else colour
    edge = colour if hollow else INK
    return Line2D([], [], marker=marker, ls=dash, color=colour, mfc=face, mec=edge, mew=0.6, ms=_SIZE, label=label)


def crossed() -> Any:
    """The entry of a legend for cells that can't be ranked."""
    return key_of("x", INK, "crossed: INVALID or <trivial")


def panels(figure: Any, count: int, columns: int = 3) -> list[Any]:
    """So many axes side by side, ``columns`` in a row."""
    width = min(columns, count)
    grid = figure.subplots(-(-count // width), width, squeeze=False)
    every = list(grid.flat)
    for axes in every[count:]:
        axes.set_axis_off()
    return every[:count]


def panel_width(count: int) -> float:
    """The inches of a figure of so many panels."""
    return max(6.0, 3.6 * min(3, count))


def log_axis(axes: Any, label: str) -> None:
    """A logarithmic axis with its ticks written out; powers would be set as formulas."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xscale("log")
    axes.margins(0.12)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        ticks = [
            step * 10.0**exponent for exponent in exponents for step in steps if low <= step * 10.0**exponent <= high
        ]
        if len(ticks) >= 3:
            break
    if len(ticks) < 3:
        ticks = [tick for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
    ticks = ticks[:: -(-len(ticks) // 6)]
    axes.set_xticks(ticks, _told_apart(ticks))
    axes.minorticks_off()
    axes.set_xlabel(label)


def _told_apart(ticks: Sequence[float]) -> list[str]:
    """The ticks in as few digits as tell them apart and don't move them."""
    texts = [[f"{tick:.{digits}g}" for tick in ticks] for digits in range(3, 12)]
    step = min((abs(one - other) for one, other in pairwise(ticks)), default=0.0)

    def is_true(each: Sequence[str]) -> bool:
        off = (abs(float(text) - tick) for text, tick in zip(each, ticks, strict=True))
        return len(set(each)) == len(ticks) and max(off, default=0.0) <= step / 100

    return next(filter(is_true, texts), texts[0])


def panel_title(text: str) -> str:
    """A foreign text as a panel's title, no wider than the panel."""
    return elided(clean(text), _TITLE_ROOM)


def legend(figure: Any, handles: Iterable[Any]) -> None:
    """A legend under all panels."""
    known = list(handles)
    figure.legend(handles=known, loc="outside lower center", ncols=min(5, len(known)))

"""A figure of the report: what it is called, says in words, draws, and the table of its numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.layout import Sheet
from pytest_ftbench.report.markup import Markup
from pytest_ftbench.report.svg import svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NAMES_WIDTH = 160  # characters
_LARGEST, _SMALLEST = 1e12, 1e-12


@dataclass(frozen=True)
class Drawing:
    """A figure ``width`` by ``height`` inches; ``says`` is what it shows in words, ``notes`` how to read its numbers.

    These are in ``sheet``, which stands under it, figure or no; ``key`` is how to read what is drawn.
    """

    name: str
    title: str
    says: str
    notes: Sequence[str]
    sheet: Sheet
    draw: "Callable[[Figure], None] | None"
    width: float
    height: float
    key: Sequence[str] = ()

    def svg(self) -> Markup | None:
        """The figure; None where nothing can be drawn."""
        return None if self.draw is None else svg(self.name, self.title, self.says, self.width, self.height, self.draw)


def short_names(names: Names) -> Names:
    """The names of models and methods as figures have room for them."""
    return Names(names.keys, _NAMES_WIDTH)


def short_notes(names: Names) -> list[str]:
    """Which names figures show shorter than tables do."""
    told = names.shortened
    return [f"{short} is {name}." for short, name in short_names(names).shortened.items() if short not in told]


def drawable(*values: Any) -> bool:
    """Whether numbers have a place in a figure: scores and seconds beyond all measure would flatten all others."""
    return all(isinstance(value, float | int) and abs(value) <= _LARGEST for value in values)


def drawable_time(value: float | None) -> bool:
    """Whether a duration has a place on a logarithmic axis."""
    return value is not None and _SMALLEST <= value <= _LARGEST

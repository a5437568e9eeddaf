"""Tables of columns under group headings, split side by side where the width doesn't hold them all.

Widths are settled on plain text; style is painted on afterwards, so that colour never moves a column.
"""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import islice
from typing import TypeVar


class Style(StrEnum):
    """What a piece of text is, as far as looks go; the value is its ANSI code."""

    PLAIN = ""
    STRONG = "1"
    DIM = "2"
    ALARM = "31"


_Detail = TypeVar("_Detail")
Paint = Callable[[str, Style], str]
Piece = tuple[str, Style]

_COLUMN_GAP: Piece = (" ", Style.PLAIN)
_GROUP_GAP: Piece = ("  ", Style.PLAIN)


def no_paint(text: str, _: Style) -> str:
    """Text as it is."""
    return text


def ansi(text: str, style: Style) -> str:
    """Text in a terminal's colours."""
    return f"\x1b[{style}m{text}\x1b[0m" if style and text.strip() else text


@dataclass(frozen=True)
class Text:
    """One cell: ``body``, usually a number and flush right, and ``tail``, the marks that follow it flush left."""

    body: str = ""
    tail: str = ""
    style: Style = Style.PLAIN


@dataclass(frozen=True)
class Column:
    """A heading and a cell for every row of the table. ``words`` are flush left."""

    heading: str
    cells: Sequence[Text]
    words: bool = False

    @cached_property
    def _tail(self) -> int:
        return max((len(cell.tail) for cell in self.cells), default=0)

    @cached_property
    def _body(self) -> int:
        return max((len(cell.body) for cell in self.cells), default=0)

    @property
    def marks_room(self) -> int:
        """The characters that the marks of its cells take."""
        return self._tail

    @cached_property
    def width(self) -> int:
        """The characters it takes."""
        return max(len(self.heading), self._body + self._tail)

    def top(self) -> str:
        """The heading, padded, flush with the bodies."""
        return (self.heading if self.words else self.heading.rjust(self.width - self._tail)).ljust(self.width)

    def piece(self, row: int) -> Piece:
        """The cell of a row, padded, and its style."""
        cell, room = self.cells[row], self.width - self._tail
        body = cell.body.ljust(room) if self.words else cell.body.rjust(room)
        return (body + cell.tail).ljust(self.width), cell.style


@dataclass(frozen=True)
class Group:
    """Columns that stay together, under one heading (empty: none)."""

    heading: str
    columns: Sequence[Column]

    @cached_property
    def width(self) -> int:
        """The characters it takes."""
        return sum(column.width for column in self.columns) + len(self.columns) - 1

    def top(self) -> str:
        """The heading and a rule over all its columns."""
        return f"{cut(self.heading, self.width)} ".ljust(self.width, "-")[: self.width] if self.heading else ""


@dataclass(frozen=True)
class Section:
    """A heading over the next ``rows`` rows (empty: none)."""

    heading: str
    rows: int


@dataclass(frozen=True)
class Sheet:
    """A whole table. ``labels`` name the rows and are repeated where the groups don't fit side by side."""

    labels: Group
    groups: Sequence[Group]
    sections: Sequence[Section]

    def parts(self, width: int) -> list[list[Group]]:
        """The groups, as many side by side as ``width`` characters hold."""
        parts: list[list[Group]] = []
        for group in self.groups:
            if parts and self._width([*parts[-1], group]) <= width:
                parts[-1].append(group)
            else:
                parts.append([group])
        return parts

    def fits(self, width: int) -> bool:
        """Whether ``width`` characters hold each part."""
        return all(self._width(part) <= width for part in self.parts(width))

    def draw(self, width: int, paint: Paint) -> list[str]:
        """The lines of all parts, an empty one between two."""
        lines: list[str] = []
        for part in self.parts(width):
            lines += [""] * bool(lines) + self._draw_part(part, width, paint)
        return lines

    def _width(self, groups: Sequence[Group]) -> int:
        return self.labels.width + sum(len(_GROUP_GAP[0]) + group.width for group in groups)

    def _draw_part(self, part: Sequence[Group], width: int, paint: Paint) -> list[str]:
        groups = [self.labels, *part]
        tops = [[(group.top().ljust(group.width), Style.STRONG)] for group in groups]
        headings = [[(column.top(), Style.PLAIN) for column in group.columns] for group in groups]
        lines = [_line(tops, width, paint)] if any(group.heading for group in groups) else []
        lines += [_line(headings, width, paint), paint("-" * min(width, self._width(part)), Style.DIM)]
        rows = iter(range(sum(section.rows for section in self.sections)))
        for index, section in enumerate(self.sections):
            lines += [""] if index else []
            lines += [paint(cut(section.heading, width), Style.STRONG)] if section.heading else []
            for row in islice(rows, section.rows):
                lines.append(_line([[c.piece(row) for c in group.columns] for group in groups], width, paint))
        return lines


def cut(text: str, width: int) -> str:
    """The text in at most ``width`` characters; a cut is seen."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def wrapped(texts: Iterable[str], width: int, paint: Paint, style: Style = Style.DIM) -> list[str]:
    """Each text on lines of its own, further lines indented."""
    room = max(width, 20)
    paragraphs = (textwrap.wrap(text, room, subsequent_indent="  ", break_on_hyphens=False) for text in texts)
    return [paint(line, style) for lines in paragraphs for line in lines]


def _line(groups: Sequence[Sequence[Piece]], width: int, paint: Paint) -> str:
    """The pieces in a row, painted, without trailing blanks; cut where not even one group fits."""
    pieces: list[Piece] = []
    for group in groups:
        pieces += [_GROUP_GAP] if pieces else []
        for index, piece in enumerate(group):
            pieces += [_COLUMN_GAP, piece] if index else [piece]
    plain = "".join(text for text, _ in pieces).rstrip()
    if len(plain) > width:
        return cut(plain, width)
    painted, left = "", len(plain)
    for text, style in pieces:
        painted += paint(text[:left], style) if left > 0 else ""
        left -= len(text)
    return painted


def in_fewest_parts(sheets: Sequence[tuple[_Detail, Sheet]], width: int) -> tuple[_Detail, Sheet]:
    """The first of these sheets that ``width`` holds in as few parts as any of them takes; where none is, the last."""
    fewest = min(len(sheet.parts(width)) for _, sheet in sheets)
    fitting = (found for found in sheets if len(found[1].parts(width)) == fewest and found[1].fits(width))
    return next(fitting, sheets[-1])

"""Tables on a page: a sheet as a real table, its headings in their scope, its rows' names in sight when it scrolls."""

from collections.abc import Iterator, Sequence
from itertools import islice

from pytest_ftbench.report.html_style import MOST_MARKS
from pytest_ftbench.report.layout import Column, Group, Sheet, Style, Text
from pytest_ftbench.report.markup import Content, Markup, join, tag

_CLASSES = {Style.STRONG: "strong", Style.DIM: "dim", Style.ALARM: "alarm"}
_STICKY = {"Method": "stick way", "r": "stick rank"}


def html_table(title: str, sheet: Sheet) -> Markup:
    """The sheet under a caption; it scrolls within itself where the screen is narrow."""
    groups = [sheet.labels, *sheet.groups]
    rows = [*_headings(groups)]
    bodies = list(_bodies(sheet, [column for group in groups for column in group.columns]))
    table = tag("table", _caption(title), tag("thead", *rows), *bodies)
    return scrolling(title, table)


def plain_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[Content]]) -> Markup:
    """A table of words, its first column naming the rows."""
    head = tag("thead", tag("tr", *(tag("th", heading, scope="col") for heading in headings)))
    lines = (
        tag(
            "tr",
            *(
                tag("th" if i == 0 else "td", cell, class_="words", scope="row" if i == 0 else None)
                for i, cell in enumerate(row)
            ),
        )
        for row in rows
    )
    return scrolling(title, tag("table", _caption(title), head, tag("tbody", *lines), class_="wordy"))


def scrolling(title: str, table: Markup) -> Markup:
    """A table in a box that can be scrolled, by keyboard too."""
    return tag("div", table, class_="scroll", role="group", tabindex=0, aria_label=f"Table: {title}")


def _caption(title: str) -> Markup:
    """A caption as wide as the screen, not as its table, so that nobody has to scroll to read it."""
    return tag("caption", tag("span", title))


def _headings(groups: Sequence[Group]) -> Iterator[Markup]:
    if any(group.heading for group in groups):
        yield tag("tr", *(_over(group) for group in groups))
    yield tag(
        "tr",
        *(_top(c, is_first=bool(g and not i)) for g, group in enumerate(groups) for i, c in enumerate(group.columns)),
    )


def _over(group: Group) -> Markup:
    """The heading over a group's columns; a cell without one is no heading."""
    span = len(group.columns)
    if not group.heading:
        return tag("td", colspan=span)
    return tag("th", group.heading, colspan=span, scope="colgroup", class_="first over")


def _top(column: Column, is_first: bool) -> Markup:
    classes = ["words"] * column.words + ["first"] * is_first
    classes += [_STICKY[column.heading]] if column.heading in _STICKY else []
    if not column.heading:
        return tag("td", class_=_class(classes))
    return tag("th", column.heading, scope="col", class_=_class(classes))


def _bodies(sheet: Sheet, columns: Sequence[Column]) -> Iterator[Markup]:
    rows = iter(range(sum(section.rows for section in sheet.sections)))
    firsts = _firsts(sheet)
    names = {id(column) for column in sheet.labels.columns}
    for index, section in enumerate(sheet.sections):
        heading = tag("th", section.heading, colspan=len(columns), scope="rowgroup", class_="section")
        lines = [tag("tr", heading)] if section.heading else []
        for row in islice(rows, section.rows):
            cells = (_cell(c, c.cells[row], id(c) in names, id(c) in firsts) for c in columns)
            lines.append(tag("tr", *cells))
        yield tag("tbody", *lines, class_="next" if index else None)


def _firsts(sheet: Sheet) -> set[int]:
    """The columns that a group begins with."""
    return {id(group.columns[0]) for group in sheet.groups if group.columns}


def _cell(column: Column, text: Text, is_name: bool, is_first: bool) -> Markup:
    classes = ["words"] * column.words + ["first"] * is_first
    classes += [_CLASSES[text.style]] if text.style in _CLASSES else []
    classes += [_STICKY[column.heading]] if is_name and column.heading in _STICKY else []
    content = _content(text, column.marks_room)
    # a name that isn't repeated is no heading
    if is_name and text.body:
        return tag("th", content, scope="row", class_=_class(classes))
    return tag("td", content, class_=_class(classes))


def _content(text: Text, room: int) -> Markup:
    """A number and its marks, these in a column of their own, so that digits stand under digits."""
    if not room or not (text.body or text.tail):
        return join(text.body)
    return join(text.body, tag("span", text.tail, class_=f"mark m{min(room, MOST_MARKS)}"))


def _class(classes: Sequence[str]) -> str | None:
    return " ".join(classes) or None

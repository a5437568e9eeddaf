"""A table of the report as GitHub's Markdown: one line of headings, and a bold row over each section."""

from collections.abc import Iterable, Sequence
from itertools import islice

from pytest_ftbench.report.github import escaped
from pytest_ftbench.report.layout import Column, Group, Sheet, Style, Text


def head(sheet: Sheet) -> list[str]:
    """The lines of the headings; a group's name stands over each of its columns, for there is but one line for both."""
    columns = [column for _, column in _columns(sheet)]
    headings = [_heading(group, column) for group, column in _columns(sheet)]
    return [_row(headings), _row([":--" if column.words else "--:" for column in columns])]


def body(sheet: Sheet) -> list[str]:
    """A line per row, and one before each section that has a name."""
    columns = [column for _, column in _columns(sheet)]
    count = sum(section.rows for section in sheet.sections)
    rows = (_row([_cell(column.cells[index]) for column in columns]) for index in range(count))
    lines: list[str] = []
    for section in sheet.sections:
        if heading := escaped(section.heading):
            lines.append(_row([f"**{heading}**", *[""] * (len(columns) - 1)]))
        lines += islice(rows, section.rows)
    return lines


def _columns(sheet: Sheet) -> Iterable[tuple[Group, Column]]:
    return [(group, column) for group in (sheet.labels, *sheet.groups) for column in group.columns]


def _heading(group: Group, column: Column) -> str:
    return "<br>".join(filter(None, map(escaped, (group.heading, column.heading))))


def _cell(text: Text) -> str:
    shown = escaped(text.body + text.tail)
    return f"**{shown}**" if shown and text.style is Style.STRONG else shown


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

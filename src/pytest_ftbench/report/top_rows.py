"""The few rows of the full table that a reviewer needs first, where not all have room."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest

from pytest_ftbench.analysis import FullTable, Standing, TableCell, TableRow, task_label
from pytest_ftbench.report.full_table import brief_sheet
from pytest_ftbench.report.layout import Column, Group, Section, Sheet, Text
from pytest_ftbench.report.story import Story
from pytest_ftbench.report.words import ABSENT, clean, elided

ROOM = 15

_TASK_ROOM = 20


@dataclass(frozen=True)
class Top:
    """The rows on top as a table, and in a sentence what is not among them; empty where all rows are."""

    sheet: Sheet
    rest: str


def top_rows(story: Story, room: int = ROOM) -> Top:
    """At most so many rows, in the order of the full table.

    They are taken in turn from those with failed cells, those that are best of their block on a task (first the one
    they were trained on), the base models and those with cells marked INVALID; then from all others.
    """
    rows = story.table.rows
    chosen = sorted(_chosen(story.table, room))
    sheet = _picked(brief_sheet(story.table, story.flags, story.names), chosen)
    trained = Column("Trained on", [_trained(rows[index]) for index in chosen], words=True)
    labels = Group("", [trained, *sheet.labels.columns])
    left = [row for index, row in enumerate(rows) if index not in chosen]
    return Top(replace(sheet, labels=labels), _rest(left, len(rows)) if left else "")


def _chosen(table: FullTable, room: int) -> set[int]:
    rows = table.rows
    best = [index for index, row in enumerate(rows) if _has(row, lambda cell: cell.best_score)]
    at_home = {i for i in best if (home := rows[i].cells.get(str(rows[i].key.train_task))) and home.best_score}
    queues = [
        _where(rows, _failed),
        sorted(best, key=lambda index: index not in at_home),
        [index for index, row in enumerate(rows) if row.key.train_task is None],
        _where(rows, lambda cell: cell.standing is Standing.INVALID),
    ]
    in_turn = (index for turn in zip_longest(*queues) for index in turn if index is not None)
    return set(list(dict.fromkeys(chain(in_turn, range(len(rows)))))[:room])


def _where(rows: Sequence[TableRow], test: Callable[[TableCell], bool]) -> list[int]:
    return [index for index, row in enumerate(rows) if _has(row, test)]


def _has(row: TableRow, test: Callable[[TableCell], bool]) -> bool:
    return any(map(test, row.cells.values()))


def _failed(cell: TableCell) -> bool:
    return cell.standing is Standing.FAILED or cell.test_failed


def _picked(sheet: Sheet, rows: Sequence[int]) -> Sheet:
    """These rows of a table, without its sections."""

    def group(whole: Group) -> Group:
        columns = [replace(column, cells=[column.cells[index] for index in rows]) for column in whole.columns]
        return replace(whole, columns=columns)

    return Sheet(group(sheet.labels), [group(each) for each in sheet.groups], [Section("", len(rows))])


def _trained(row: TableRow) -> Text:
    """What a row was trained on; that a base was on nothing, its method says."""
    task = row.key.train_task
    return Text(ABSENT if task is None else elided(clean(task_label(task)), _TASK_ROOM))


def _rest(left: Sequence[TableRow], all_rows: int) -> str:
    """How many rows there are no room for, and what is the matter with their cells."""
    found = [f"{count} {word}" for word, count in _matters(left) if count]
    said = f", among {'their' if len(left) > 1 else 'its'} cells {', '.join(found)}" if found else ""
    others = f"{len(left)} are" if len(left) > 1 else "one is"
    return f"{all_rows - len(left)} of {all_rows} rows; the other {others} folded below{said}."


def _matters(rows: Sequence[TableRow]) -> Iterator[tuple[str, int]]:
    cells = [cell for row in rows for cell in row.cells.values()]
    yield "failed", sum(map(_failed, cells))
    for standing, word in ((Standing.INVALID, "INVALID"), (Standing.TRIVIAL, "<trivial")):
        yield word, sum(cell.standing is standing for cell in cells)

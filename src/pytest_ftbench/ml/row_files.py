r"""Rows as files have them, one after the other: JSON Lines, parquet.

    train-squad_v2.jsonl: line 7, column 'context': is missing; give it a str.
    train-squad_v2.parquet: row 7, column 'context': holds null; give it a str.

Lines are counted as an editor counts them, from 1, blank ones too; rows of parquet from 0, as pandas does. What is
wrong is said of the first row that has it, before the rest is read: a file may be larger than the memory.
"""

import codecs
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from pytest_ftbench.grid import UserError, first_line
from pytest_ftbench.tasks import Row, Task
from pytest_ftbench.tasks.columns import row_fault, text_fault

SUFFIXES = (".parquet", ".jsonl")
_LONGEST_LINE = 16 * 2**20  # bytes: a text of the longest that is taken, every character of it escaped, twice over
_BATCH = 1000  # rows of parquet that are made Python's at once
_NAMED = 40  # characters of a column's name


@dataclass(frozen=True)
class Place:
    """Where rows are: a file, or a split on the Hub; ``unit`` is what is counted there."""

    source: object
    unit: str = "row"

    @classmethod
    def of(cls, path: Path) -> "Place":
        """The place of a file's rows."""
        return cls(path, "line" if path.suffix == ".jsonl" else "row")

    def error(self, number: int, problem: str, fix: str, column: str | None = None) -> UserError:
        """What is said of a row."""
        named = "" if column is None else f", column {column[:_NAMED]!r}"
        return UserError(f"{self.source}: {self.unit} {number}{named}", problem, fix)


@dataclass(frozen=True)
class Split:
    """The rows of a split, and the number of each where it is."""

    rows: list[Row]
    numbers: Sequence[int]
    unit: str = "row"

    def where(self, index: int) -> str:
        """Where a row is, counted as its file is."""
        return f"{self.unit} {self.numbers[index]}"


class _RepeatedKeyError(ValueError):
    """An object that has a key twice."""


def read_split(task: Task, path: Path) -> Split:
    """The rows of a file, each of which its task can use.

    Raises :class:`UserError` naming the first row and column that is wrong, or the file that has no rows.
    """
    place = Place.of(path)
    rows = checked(task, _json_rows(path) if path.suffix == ".jsonl" else _parquet_rows(path), place)
    if not rows:
        raise UserError(path, "has no rows", "add some, or remove the file")
    return Split(list(rows.values()), list(rows), place.unit)


def checked(task: Task, rows: Iterator[tuple[int, Row]], place: Place) -> dict[int, Row]:
    """Rows by their numbers, each of which a task can use.

    Raises :class:`UserError` naming the first row and column that is wrong.
    """
    found: dict[int, Row] = {}
    names: dict[str, int] = {}
    for number, row in rows:
        if fault := row_fault(task, row):
            column, problem, fix = fault
            raise place.error(number, problem, fix, column)
        if row.get("id") is not None:
            first = names.setdefault(str(row["id"]), number)
            if first != number:
                problem = f"{row['id']!r:.40} is the id of {place.unit} {first} too"
                raise place.error(number, problem, "give each row its own or leave the column out", "id")
        found[number] = row
    # what has no id is called by its number among the items
    nameless = next((number for number, row in found.items() if row.get("id") is None), None)
    if nameless is not None and any(map(str.isdecimal, names)):
        problem = "is missing, while the ids of others are numbers"
        raise place.error(nameless, problem, "give each row its own or leave the column out", "id")
    return found


def _json_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """The objects of a JSON Lines file by their lines; blank ones have none, and a byte order mark is none of them."""
    place = Place.of(path)
    try:
        with path.open("rb") as file:
            for number in count(1):
                line = file.readline(_LONGEST_LINE + 1)
                if not line:
                    return
                if len(line) > _LONGEST_LINE:
                    fix = "write one JSON object per line, and leave out what is too long"
                    raise place.error(number, f"is over {_LONGEST_LINE // 2**20} MiB long", fix)
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                if line.strip():
                    yield number, _json_object(line, number, place)
    except OSError as error:
        raise _unreadable(path, error) from None


def _json_object(line: bytes, number: int, place: Place) -> Row:
    """The object that a line holds. Bytes that are no UTF-8 are said of the column that has them."""
    is_utf8, fix = True, "write one JSON object per line"
    try:
        text = line.decode()
    except UnicodeDecodeError:
        is_utf8, text = False, line.decode(errors="surrogateescape")
    try:
        row = json.loads(text, object_pairs_hook=_object_once)
    except _RepeatedKeyError as error:
        raise place.error(number, "is there twice", "keep one", str(error)) from None
    except (ValueError, RecursionError) as error:
        said = f"{error.msg} at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else str(error)
        said = said if is_utf8 else "it is no UTF-8 either"
        raise place.error(number, f"is no JSON ({said:.80})", fix if is_utf8 else "save the file as UTF-8") from None
    if not isinstance(row, dict):
        raise place.error(number, "is no object", fix)
    if not is_utf8:
        # the bytes are in a text, which JSON's own signs are not
        column = next(key for key, value in row.items() if text_fault(value, key))
        raise place.error(number, "holds bytes that are no UTF-8", "save the file as UTF-8", column)
    return row


def _object_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of these pairs; the last of several values of a key would hide the others."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _RepeatedKeyError(Counter(key for key, _ in pairs).most_common(1)[0][0])
    return made


def _parquet_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """The rows of a parquet file by their numbers."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            names = list(file.schema_arrow.names)
            if twice := [name for name, times in Counter(names).items() if times > 1]:
                raise UserError(f"{path}: column {twice[0][:_NAMED]!r}", "is there twice", "keep one")
            first = 0
            for batch in file.iter_batches(_BATCH):
                columns = [
                    _values(column, name, first, path) for name, column in zip(names, batch.columns, strict=True)
                ]
                for number, values in enumerate(zip(*columns, strict=True), start=first):
                    yield number, dict(zip(names, values, strict=True))
                first += batch.num_rows
    except (OSError, ValueError, TypeError, ArithmeticError, LookupError, pyarrow.ArrowException) as error:
        raise _unreadable(path, error) from None


def _values(column: Any, name: str, first: int, path: Path) -> list[Any]:
    """The values of a part of a column, which may hold what Python has no value for: bytes that are no UTF-8."""
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, TypeError, ArithmeticError, LookupError) as error:
        for number, value in enumerate(column, start=first):
            try:
                value.as_py()
            except (ValueError, TypeError, ArithmeticError, LookupError) as reason:
                problem = f"can't be read ({first_line(reason)})"
                raise Place.of(path).error(number, problem, "correct it or leave the column out", name) from None
        raise _unreadable(path, error) from None
    return values


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(path, f"can't be read ({first_line(error)})", f"save it as {path.suffix[1:]} again")

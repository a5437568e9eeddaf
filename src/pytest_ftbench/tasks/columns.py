r"""What makes a row nothing to work with, whatever its task: columns, types, texts, ids.

    columns   {"id": str, "choices": {"label": [str], "text": [str]}}
    row       {"id": "q7", "choices": {"label": ["A", None], "text": ["gold", "salad"]}}
    fault     choices.label[1]  holds null  give it a str

Traps: JSON can write half of a character (``"\ud800"``), which no tokenizer takes; ``True`` is a number to Python; two
rows of one id are one item to whoever pairs the answers of two models.
"""

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_ftbench.tasks.task import Kind, Row, Task

Fault = tuple[str, str, str]
"""What is wrong: column, problem, fix."""

LONGEST = 1_000_000
"""Characters of the longest text that is taken: ten times what makes a row long, and a tokenizer's second."""

_HALF = "holds half a character (a lone surrogate)"


def row_fault(task: Task, row: Row) -> Fault | None:
    """The first thing that keeps a task from using a row."""
    return (
        misfit(row, task.columns)
        or next(filter(None, (text_fault(value, column) for column, value in row.items())), None)
        or _id_fault(row.get("id"))
        or task.problem(row)
    )


def misfit(value: Any, kind: Kind, column: str = "") -> Fault | None:
    """What of a value isn't of its kind: a type, the kinds of an object's columns, or a list of the kind of its one."""
    if isinstance(kind, Mapping):
        if not isinstance(value, Mapping):
            return column, f"holds {_said(value)}", f"give it an object with {', '.join(kind)}"
        return next(filter(None, (_inner(value, key, inner, column) for key, inner in kind.items())), None)
    if isinstance(kind, Sequence):
        if not isinstance(value, list):
            return column, f"holds {_said(value)}", "give it a list"
        each = (misfit(one, kind[0], f"{column}[{number}]") for number, one in enumerate(value))
        return next(filter(None, each), None)
    if not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool):
        return column, f"holds {_said(value)}", f"give it a {kind.__name__}"
    return None


def _inner(row: Mapping[str, Any], key: str, kind: Kind, column: str) -> Fault | None:
    name = f"{column}.{key}" if column else key
    if key not in row:
        return name, "is missing", f"give it a {kind.__name__ if isinstance(kind, type) else 'value'}"
    return misfit(row[key], kind, name)


def is_text(text: str) -> bool:
    """Whether a text is made of whole characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def text_fault(value: Any, column: str) -> Fault | None:
    """What is wrong with any text in a value, however deep; names of columns are texts, too."""
    todo = [column, value]
    while todo:
        one = todo.pop()
        if isinstance(one, str):
            if len(one) > LONGEST:
                return column, f"holds {len(one):,} characters", f"shorten it to {LONGEST:,} or leave the row out"
            if not is_text(one):
                return column, _HALF, "write the character itself, or leave the row out"
        elif isinstance(one, Mapping):
            todo += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple):
            todo += one
    return None


def _id_fault(name: Any) -> Fault | None:
    """What keeps an id from being one; a row may do without."""
    if name is None:
        return None
    if isinstance(name, bool) or not isinstance(name, str | int):
        return "id", f"holds {_said(name)}", "give it a text or a whole number, or leave the column out"
    return None if str(name).strip() else ("id", "is empty", "fill it in or leave the column out")


def _said(value: Any) -> str:
    """A value as an error shows it, however large or deep it is."""
    return "null" if value is None else f"{type(value).__name__} {reprlib.repr(value):.40}"

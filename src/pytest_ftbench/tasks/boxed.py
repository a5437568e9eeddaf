r"""Answers in boxes: finding and building ``\boxed{…}``, and what every boxed task's scoring shares.

    "<think>\boxed{A}?</think> So it is \boxed{B}."  →  boxed  →  "B"

Traps: a reasoning model tries answers in boxes before it gives its own, so only what follows the last ``</think>`` is
read; an answer cut off at the token budget leaves its box open, and the last *complete* box counts; of nested boxes
that is the outer one. Models at a loss repeat ``\boxed{`` to the very end, so everything here takes linear time.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean

from pytest_ftbench.tasks.task import Item, Row, Scored

# A run of backslashes is taken whole: an odd one escapes a brace, an even one is line breaks before a real brace.
# Before "boxed" any number will do, since models double the backslash out of JSON habit.
_TOKEN = re.compile(r"(?P<slashes>\\++)(?:(?P<box>boxed\s*+\{)|(?P<after>[{}]))?|(?P<brace>[{}])")
_WRAPPER = re.compile(r"\\(?:boxed|mbox|text(?:bf|it|rm|sf|tt|normal)?|math(?:bf|it|rm|sf|tt))\s*+\{([^{}]*+)\}")
_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))
_WRAPPINGS = 4


def boxed(text: str) -> str | None:
    r"""The content of the last complete ``\boxed{…}`` after any ``</think>``; None where there is none."""
    text = text.rpartition("</think>")[2]
    content = None
    opened: list[int | None] = []  # per open brace, where the content of its box starts (None: no box's brace)
    for token in _TOKEN.finditer(text):
        if token["box"]:
            opened.append(token.end())
            continue
        brace = token["brace"] or (token["after"] if len(token["slashes"]) % 2 == 0 else None)
        if brace == "{":
            opened.append(None)
        elif brace and opened and (start := opened.pop()) is not None:
            content = (start, token.end() - 1)
    return None if content is None else text[slice(*content)]


def box(text: str) -> str:
    r"""``\boxed{text}``. Text that would not come out again (a brace too many, a last backslash) goes in escaped."""
    plain = f"\\boxed{{{text}}}"
    if boxed(plain) == text:
        return plain
    escaped = re.sub(r"[\\{}]", r"\\\g<0>", text)
    return f"\\boxed{{{escaped}}}"


def unwrapped(text: str, gap: str = "") -> str:
    r"""Text without LaTeX's text commands, inline ones too, outer math delimiters and outer whitespace.

    ``gap`` stands where a command began and ended: ``12\text{cm}`` is two words to a parser of numbers.
    """
    for _ in range(_WRAPPINGS):
        text = _WRAPPER.sub(rf"{gap}\1{gap}", text).strip()
        for left, right in _DELIMITERS:
            if len(text) >= len(left + right) and text.startswith(left) and text.endswith(right):
                text = text[len(left) : -len(right)].strip()
    return text


def itemised(
    outputs: Sequence[str], examples: Sequence[Row], judge: Callable[[str, Row], tuple[str, str | None, float]]
) -> list[Item]:
    """One item per output; ``judge`` says its gold, what was parsed (None: a format failure) and its score.

    Raises :class:`ValueError` where outputs and examples don't pair up.
    """
    if len(outputs) != len(examples):
        raise ValueError(f"{len(outputs)} outputs can't be scored against {len(examples)} examples: they must pair up.")
    items: list[Item] = []
    for index, (output, row) in enumerate(zip(outputs, examples, strict=True)):
        gold, parsed, score = judge(output, row)
        items.append(Item(item=item_name(index, row), output=output, gold=gold, score=score, parsed=parsed))
    return items


def item_name(index: int, row: Row) -> str:
    """What an item is called: its row's id or, without one, its number from 0."""
    return str(index if row.get("id") is None else row["id"])


def scored(scores: Mapping[str, float | None], items: list[Item]) -> Scored:
    """The outcome of a task, with the share of its items that parsed."""
    format_rate = mean(item["parsed"] is not None for item in items) or 0.0
    return Scored(scores=dict(scores), format_rate=format_rate, items=items)


def says_nothing(examples: Sequence[Row]) -> dict[str, list[str]]:
    """The answerer of every task that puts out nothing: the bar that a model fallen silent must not pass."""
    return {"empty_output": [""] * len(examples)}


def mean(values: Iterable[float]) -> float | None:
    """Their mean; None where there are none: no score is not a score of 0."""
    listed = list(values)
    return fmean(listed) if listed else None


def blank(row: Row, column: str) -> tuple[str, str, str] | None:
    """The problem of a column without text, if it has that problem."""
    return None if str(row[column]).strip() else (column, "is empty", "fill it in or leave the row out")

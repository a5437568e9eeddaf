"""The one exception that means *the user can fix this*: it becomes one printed sentence, never a traceback."""

import difflib
from collections.abc import Iterable
from typing import ClassVar


class UserError(Exception):
    """Bad input, said in one sentence that names the place (file, key), the problem and the fix."""

    failure: ClassVar[str] = "input"

    def __init__(self, place: object, problem: str, fix: str) -> None:
        self.place, self.problem, self.fix = place, problem, fix
        super().__init__(printable(f"{place}: {problem}; {fix}."))


def printable(text: str) -> str:
    """The text on one line: files, keys and rows may be called anything, and what they obey a terminal must not."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def suggestion(word: str, known: Iterable[str]) -> str:
    """The fix for a misspelt word: the nearest known one if there is one, and all known ones."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    listed = ", ".join(names)
    return f"did you mean {near[0]!r}? known are {listed}" if near else f"known are {listed}"


def first_line(error: BaseException) -> str:
    """What a library's error says in short: the first line of its message, or its type where it has none."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]

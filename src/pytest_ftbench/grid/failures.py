"""Why cells fail: a class that a program can tell apart, and what to do about it.

The classes are ``input``, ``out-of-memory``, ``diverged``, ``timeout``, ``killed`` and ``storage``, each named by an
exception of ours in its ``failure``; whatever else escapes a cell is an ``error``. A failed record has both under its
key ``failure``: ``{"class": "out-of-memory", "advice": "needs about 14 GiB, 8 GiB free: use lora"}``, the advice null
where there is none.
"""

import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pytest_ftbench.grid.errors import UserError
from pytest_ftbench.grid.records import CellRecord
from pytest_ftbench.grid.time_limit import TimedOutError, TimeUpError

KILLED, SHORTAGE = "killed", "out-of-memory"
_KEY = "failure"
_ROOM = 200


class ShortageError(UserError):
    """Memory ran out, or plainly won't do. ``found`` says in figures what is needed and what there is."""

    failure: ClassVar[str] = SHORTAGE

    def __init__(self, place: object, found: str, fix: str) -> None:
        super().__init__(place, f"out of memory, {found}", fix)
        self.found = found


class DivergedError(UserError):
    """A training whose loss or weights are finite no more, or a model whose logits aren't numbers.

    A training took ``seconds``, a ``share`` of all its steps and so about as many ``tokens``.
    """

    failure: ClassVar[str] = "diverged"
    seconds = 0.0
    share = 1.0
    tokens = 0


class KilledError(UserError):
    """A work that ended the process which did it, in this run; it is not tried again."""

    failure: ClassVar[str] = KILLED


class FailedBeforeError(UserError):
    """What several cells need has failed for one of them, and isn't tried again; it is of the same class for all."""

    def __init__(self, place: object, work: str, before: "Failure") -> None:
        super().__init__(place, f"its {work} failed before ({before.said})", "see the cell it failed in")
        self.before = before


@dataclass(frozen=True)
class Failure:
    """A failure's class (``kind``), the advice on it (None: there is none), and what was ``said`` in short."""

    kind: str
    advice: str | None = None
    said: str = ""

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """What an exception that escapes a cell means."""
        if isinstance(error, FailedBeforeError):
            return error.before
        said = " ".join(str(error).split())[:_ROOM] or type(error).__name__
        if isinstance(error, UserError):
            return cls(error.failure, _advice(error), said)
        if isinstance(error, TimeUpError):
            return cls(TimedOutError.failure, None, said)
        # where nobody could say what for: plain Python asks for memory everywhere
        return cls(SHORTAGE if isinstance(error, MemoryError) else "error", None, said)

    @classmethod
    def told(cls, record: CellRecord) -> "Failure | None":
        """What a failed record says, None where it says nothing: files of before have no such key."""
        found = record.extra.get(_KEY)
        said: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
        kind = said.get("class")
        if record.ok or not isinstance(kind, str) or not kind:
            return None
        advice = said["advice"] if isinstance(said.get("advice"), str) else None
        return cls(kind, advice or None)

    def as_extra(self) -> dict[str, Any]:
        """What a record has of it, beside its ``error``."""
        return {_KEY: {"class": self.kind, "advice": self.advice}}


def _advice(error: UserError) -> str:
    return f"{error.found}: {error.fix}" if isinstance(error, ShortageError) else str(error.fix)


def release(error: BaseException) -> None:
    """Let an exception hold on to nothing but its words: a model would stay in memory while pytest keeps it."""
    for each in _chain(error):
        traceback.clear_frames(each.__traceback__)
        each.__traceback__ = None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, and those that it was raised from or during."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        each = todo.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            todo += [each.__cause__, each.__context__]
            yield each

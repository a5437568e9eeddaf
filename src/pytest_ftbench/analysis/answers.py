"""What answers are made of: sentences and small tables, or what is missing."""

from dataclasses import dataclass

from pytest_ftbench.analysis.validity import Standing


@dataclass(frozen=True)
class Entry:
    """A cell of an answer's table: its text, without the mark that its ``standing`` puts beside it; ``best`` wins."""

    text: str = ""
    standing: Standing = Standing.OK
    best: bool = False


@dataclass(frozen=True)
class AnswerTable:
    """A small table; the first ``labels`` columns name the rows. Texts may come from records, as foreign as these."""

    headings: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    labels: int = 1


@dataclass(frozen=True)
class Reply:
    """What the records say to a question; ``missing`` is what they would need to say anything, where they don't."""

    sentences: tuple[str, ...] = ()
    table: AnswerTable | None = None
    missing: str = ""


@dataclass(frozen=True)
class Answer:
    """A question of a study, as ``label`` numbers it, and what the records say to it."""

    id: str
    label: str
    question: str
    sentences: tuple[str, ...]
    table: AnswerTable | None = None
    missing: str = ""

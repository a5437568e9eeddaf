"""The questions of a study on a page: what the records say to each, the numbers it stands on, or what they lack."""

from collections.abc import Sequence
from dataclasses import replace

from pytest_ftbench.analysis import Answer, AnswerTable, Entry, Standing
from pytest_ftbench.report.full_table import WORDS, standing_style
from pytest_ftbench.report.layout import Column, Group, Paint, Section, Sheet, Style, Text, wrapped
from pytest_ftbench.report.notes import explained, marks
from pytest_ftbench.report.words import clean, elided

QUESTIONS_TITLE = "Questions"

QUESTIONS_NOTE = (
    "Better, worse, shown: the interval of the difference excludes zero, corrected for all that a question compares or "
    "chooses among (in transfer it is not); 95 % is its interval by itself. The best of several is chosen by the very "
    "scores that it is judged by, which flatters it. What is marked INVALID or <trivial wins nothing, and nothing is "
    "better or worse than what is INVALID."
)
_SENTENCE_ROOM = 900
_ROOM = 44
_NARROW_ROOM = 30
_NARROW = 100
_ROWS = 40


def questions_part(answers: Sequence[Answer], told: set[str], width: int, paint: Paint) -> list[str]:
    """The lines of the section, an empty one first; ``told`` are the marks explained before, which are added to."""
    if not answers:
        return []
    lines = ["", *wrapped([QUESTIONS_TITLE], width, paint, Style.STRONG), *wrapped([QUESTIONS_NOTE], width, paint)]
    for answer in answers:
        lines += ["", *wrapped([clean(f"{answer.label} {answer.question}")], width, paint, Style.STRONG)]
        lines += wrapped(answer_texts(answer), width, paint, Style.PLAIN)
        if answer.table is not None and answer.table.rows:
            sheet = answer_sheet(replace(answer.table, rows=answer.table.rows[:_ROWS]), width)
            lines += ["", *sheet.draw(width, paint)]
            if (more := len(answer.table.rows) - _ROWS) > 0:
                lines += wrapped([f"And {more} more rows, left out here."], width, paint)
            lines += wrapped(explained(answer_marks(sheet) - told), width, paint)
            told |= marks(sheet)
    return lines


def answer_marks(sheet: Sheet) -> set[str]:
    """The marks in an answer's table that need explaining; nothing there is best of a block."""
    return marks(sheet) - {"*"}


def answer_texts(answer: Answer) -> list[str]:
    """What is said to a question, made fit for a line."""
    if answer.missing:
        return [elided(clean(f"The records can't answer this; missing: {answer.missing}."), _SENTENCE_ROOM)]
    return [elided(clean(text), _SENTENCE_ROOM) for text in answer.sentences]


def answer_sheet(table: AnswerTable, width: int) -> Sheet:
    """An answer's table as a sheet; what its columns are named by stays in sight where it has to be split."""
    room = _NARROW_ROOM if width < _NARROW else _ROOM
    columns = [
        _column(heading, [row[index] for row in table.rows], room, words=index < table.labels)
        for index, heading in enumerate(table.headings)
        # a column in which nothing stands says nothing
        if index < table.labels or any(row[index].text for row in table.rows)
    ]
    labels, rest = columns[: table.labels], columns[table.labels :]
    return Sheet(Group("", labels), [Group("", [column]) for column in rest], [Section("", len(table.rows))])


def _column(heading: str, entries: Sequence[Entry], room: int, words: bool) -> Column:
    # names are flush left, numbers flush right
    named = words or any(entry.text[:1].isalpha() for entry in entries)
    return Column(clean(heading), [_text(entry, room) for entry in entries], words=named)


def _text(entry: Entry, room: int) -> Text:
    style = Style.STRONG if entry.best and entry.standing is Standing.OK else standing_style(entry.standing)
    return Text(elided(clean(entry.text), room), WORDS.get(entry.standing, ""), style)

"""The parts of the page that are words: what was asked, what the checks found, what failed, where numbers come from."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pytest_ftbench.analysis import CHECKS, Answer, Finding
from pytest_ftbench.grid import Results
from pytest_ftbench.report.gate_table import Gates
from pytest_ftbench.report.html_table import html_table, plain_table
from pytest_ftbench.report.layout import Sheet
from pytest_ftbench.report.markup import Markup, join, tag
from pytest_ftbench.report.notes import explained
from pytest_ftbench.report.questions_text import QUESTIONS_NOTE, answer_marks, answer_sheet, answer_texts
from pytest_ftbench.report.story import NO_WIDTH, Story
from pytest_ftbench.report.words import ABSENT, clean, elided

_LISTED = 30
_REASONS = 100
_SAID_ROOM, _ID_ROOM = 300, 100
_KEY_ROOM, _VALUE_ROOM = 60, 300
_KEYS = 80
_DEPTH = 3


class Answered(NamedTuple):
    """A question, what the records say to it, the table of these numbers (None: none), and what its marks mean."""

    label: str
    question: str
    sentences: Sequence[str]
    sheet: Sheet | None = None
    marks: Sequence[str] = ()

    @classmethod
    def of(cls, answer: Answer) -> "Answered":
        """An answer as the page has it."""
        if answer.table is None or not answer.table.rows:
            return cls(answer.label, answer.question, answer_texts(answer))
        sheet = answer_sheet(answer.table, NO_WIDTH)
        return cls(answer.label, answer.question, answer_texts(answer), sheet, explained(answer_marks(sheet)))


def notes(texts: Sequence[str]) -> Markup:
    """What stands under a table; nothing where there is nothing to say."""
    return tag("ul", *(tag("li", text) for text in texts), class_="notes") if texts else Markup()


def gates(found: Gates) -> Markup:
    """What the gates say: those that don't pass with what they need; the others to unfold."""
    parts = [tag("p", tag("strong", found.counts)), notes([found.problem] if found.problem else [])]
    if found.open:
        sheet, meaning = found.sheet(found.open)
        said = tag("ul", *(tag("li", text) for text in found.texts(found.rows)))
        parts += [html_table("Gates that don't pass", sheet), said, notes(meaning)]
    elif texts := found.texts(found.rows):
        parts.append(tag("ul", *(tag("li", text) for text in texts)))
    if found.passed:
        sheet, meaning = found.sheet(found.passed)
        summary = tag("summary", f"Gates that pass: {len(found.passed)}")
        parts.append(tag("details", summary, html_table("Gates that pass", sheet), notes(meaning)))
    return join(*parts)


def questions(answers: Sequence[Answered]) -> Markup:
    """Each question with its answer and the numbers that bear on it."""
    parts = [notes([QUESTIONS_NOTE])] if answers else []
    for answer in answers:
        title = f"{clean(answer.label)} {clean(answer.question)}"
        parts += [tag("h3", title), *(tag("p", clean(sentence)) for sentence in answer.sentences)]
        if answer.sheet is not None:
            parts += [html_table(f"Numbers: {clean(answer.label)}", answer.sheet), notes(answer.marks)]
    return join(*parts)


def checks(story: Story) -> Markup:
    """What the checks are, on how many cells each fired, its most striking case; and all its cases to unfold."""
    by_code: dict[str, list[tuple[str, Finding]]] = {}
    fired: Counter[str] = Counter()
    for record, findings in zip(story.contents.results.cells, story.contents.found, strict=True):
        fired.update({finding.code for finding in findings})
        for finding in findings:
            by_code.setdefault(finding.code, []).append((record.id, finding))
    meaning, *said = story.checks or [""]
    striking: dict[str, list[str]] = {}
    for note in said:
        striking.setdefault(note[:3], []).append(note.partition(": ")[2])
    rows = [
        [code, check.title, str(fired[code]), " ".join(striking.get(code, [ABSENT]))] for code, check in CHECKS.items()
    ]
    table = plain_table("Validity checks", ["Check", "What it finds", "Cells", "Most striking case"], rows)
    texts = [*filter(None, [meaning]), *explained(["INVALID", "<trivial"])]
    return join(table, notes(texts), *(_cases(code, by_code[code], fired[code]) for code in CHECKS if fired[code]))


def _cases(code: str, cases: Sequence[tuple[str, Finding]], cells: int) -> Markup:
    texts = [
        f"{elided(clean(name), _ID_ROOM)}: {elided(clean(finding.said), _SAID_ROOM)}"
        for name, finding in cases[:_LISTED]
    ]
    texts += [f"and {len(cases) - _LISTED} more"] if len(cases) > _LISTED else []
    count = "1 cell" if cells == 1 else f"{cells} cells"
    summary = tag("summary", f"{code} {CHECKS[code].title}: {count}")
    return tag("details", summary, tag("ul", *(tag("li", text) for text in texts)))


def failures(story: Story) -> Markup:
    """Each cell that failed, was skipped for a reason, or failed its test after it was measured; empty: none."""
    texts = [f"{reason.cell} {reason.what}: {reason.why}" for reason in story.reasons]
    more = [f"and {len(texts) - _REASONS} more"] if len(texts) > _REASONS else []
    return tag("ul", *(tag("li", text) for text in [*texts[:_REASONS], *more])) if texts else Markup()


def provenance(results: Results) -> Markup:
    """Where the numbers come from, as the results say it."""
    known = [(key, value) for key, value in _flat(results.provenance) if value not in ("", "[]", "{}")]
    rows = [[elided(clean(key), _KEY_ROOM), elided(clean(value), _VALUE_ROOM)] for key, value in known[:_KEYS]]
    if not rows:
        return tag("p", "The results don't say where they come from.")
    more = [f"{len(known) - _KEYS} more keys are in the results file."] if len(known) > _KEYS else []
    return join(plain_table("Provenance", ["Key", "Value"], rows), notes(more))


def _flat(value: object, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """An object's keys and values, those of objects within it under both names."""
    if isinstance(value, dict) and depth < _DEPTH:
        for key, inner in value.items():
            yield from _flat(inner, f"{name} {key}".strip(), depth + 1)
    elif isinstance(value, str):
        yield name, value
    else:
        yield name, ABSENT if value is None else json.dumps(value, default=str, ensure_ascii=False)

"""The report as Markdown for a comment on a pull request: few rows on top, all else folded, below GitHub's limit."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pytest_ftbench.analysis import Answer
from pytest_ftbench.grid import Results
from pytest_ftbench.report.contents import Contents
from pytest_ftbench.report.facts import Reason
from pytest_ftbench.report.gate_table import Gates
from pytest_ftbench.report.github import LIMIT, escaped, listed, size
from pytest_ftbench.report.layout import Sheet
from pytest_ftbench.report.markdown_table import body, head
from pytest_ftbench.report.notes import explained, marks
from pytest_ftbench.report.questions_text import (
    QUESTIONS_NOTE,
    QUESTIONS_TITLE,
    answer_marks,
    answer_sheet,
    answer_texts,
)
from pytest_ftbench.report.statistics import Baseline, Part
from pytest_ftbench.report.story import NO_WIDTH, Story, tell
from pytest_ftbench.report.top_rows import ROOM, top_rows
from pytest_ftbench.report.words import clean, elided

_KEPT = 1_500  # for what was left out, and for what a bot puts around a comment
_TITLE_ROOM = 200
_VALUE_ROOM = 300
_FULL_TITLE = "All rows and columns"
_OF_ALL_ANSWERS = 0.4


@dataclass(frozen=True)
class _Block:
    """A piece of the page: ``before``, as many of its ``lines`` as have room, ``after``.

    ``share`` is the most of the page that it may take: a thousand failures must leave room for what didn't fail.
    """

    title: str
    before: Sequence[str]
    lines: Sequence[str]
    after: Sequence[str] = ()
    share: float = 1.0

    def fitted(self, room: int) -> tuple[str, int]:
        """The block in so many characters (empty: not even a line has room), and how many lines it lacks."""
        left = room - sum(size(line) + 1 for line in (*self.before, *self.after, "", _missing(len(self.lines))))
        kept = 0
        for line in self.lines:
            left -= size(line) + 1
            if left < 0:
                break
            kept += 1
        if left < 0 and not kept:
            return "", len(self.lines)
        lacks = len(self.lines) - kept
        more = ["", _missing(lacks)] if lacks else []
        return "\n".join([*self.before, *self.lines[:kept], *more, *self.after]), lacks


def render_markdown(
    results: Results | Contents, detail: bool = False, baseline: Baseline | None = None, whole: str | None = None
) -> str:
    """The report as Markdown; ``detail`` and ``baseline`` as for the terminal.

    ``whole`` is the file with the results, named where a comment has no room for everything.
    """
    story = tell(Contents.of(results, baseline), NO_WIDTH, detail)
    blocks = list(_blocks(story))
    fitted = _fitted(blocks, LIMIT - _KEPT)
    lacking = [
        elided(block.title, _TITLE_ROOM) + (f" ({lacks} of {len(block.lines)} lines)" if text else "")
        for block, (text, lacks) in zip(blocks, fitted, strict=True)
        if lacks
    ]
    texts = [text for text, _ in fitted if text]
    return "\n\n".join([*texts, *_left_out(lacking, whole)]) + "\n"


def _fitted(blocks: Sequence[_Block], room: int) -> list[tuple[str, int]]:
    """The blocks in so many characters: first each in its share, then what is left for those that lack lines."""
    fitted = []
    for block in blocks:
        fitted.append(block.fitted(min(room, int(block.share * LIMIT))))
        room -= _taken(fitted[-1][0])
    for index, (text, lacks) in enumerate(fitted):
        if lacks:
            fitted[index] = blocks[index].fitted(room + size(text))
            room -= _taken(fitted[index][0]) - _taken(text)
    return fitted


def _taken(text: str) -> int:
    """The room a block takes, with the blank line after it."""
    return size(text) + 2 * bool(text)


def _blocks(story: Story) -> Iterator[_Block]:
    """The page, what matters most first: there what has no room ends."""
    heading = f"### Fine-tuning comparison: {escaped(elided(story.suite, _TITLE_ROOM))}"
    if story.gates is None:
        yield _Block("", [heading, ""], [f"**{escaped(story.counts)}**"])
    else:
        yield _Block("", [heading, ""], [f"**{escaped(story.gates.counts)}**"])
        yield from _gates(story.gates)
        yield _Block("Counts", [], [escaped(story.counts)])
    if story.facts:
        yield _Block("Where the numbers come from", [], listed(story.facts), share=0.1)
    if story.sheet is not None:
        yield from _top(story)
    yield from _failures(story.reasons)
    if story.checks:
        yield _folded("The flags explained", listed(story.checks), share=0.2)
    # the answers before all that they are drawn from, so that in a large study they are not what ends
    yield from _questions(story.answers)
    yield _folded("Provenance", listed(_provenance(story.contents.results)), share=0.1)
    if story.sheet is not None:
        yield _table(_FULL_TITLE, story.sheet, story.columns, share=0.3)
    yield from (_part(part) for part in story.parts)


def _gates(gates: Gates) -> Iterator[_Block]:
    """The worst verdicts, why they are what they are, and all others folded."""
    top, rest = gates.open[:ROOM], gates.open[ROOM:]
    if gates.problem:
        yield _Block("What is no verdict", [], listed([gates.problem]))
    if top:
        sheet, notes = gates.sheet(top)
        yield _Block("Gates on top", head(sheet), body(sheet), share=0.15)
        yield _Block("What the gates need", [], listed(gates.texts(top)), share=0.15)
        yield _folded("How to read the gates", listed(notes), share=0.1)
    if others := [*rest, *gates.passed]:
        sheet, notes = gates.sheet(rest, gates.passed)
        title = f"The other {len(others)} gates" if rest else f"Gates that pass: {len(others)}"
        yield _table(title, sheet, [*gates.texts(others), *notes], share=0.2)


def _top(story: Story) -> Iterator[_Block]:
    """The rows on top, what isn't among them, what their marks mean, and what they are to be held against."""
    top = top_rows(story)
    yield _Block("Rows on top", head(top.sheet), body(top.sheet), share=0.3)
    notes = [top.rest] * bool(top.rest) + [*story.baselines, *story.cautions, *explained(marks(top.sheet))]
    if story.checks:
        everywhere = " ".join(story.flags.everywhere)
        notes.append(f"V01 to V17: flags, explained below{everywhere and f'; on all tuned cells {everywhere}'}.")
    yield _Block("Notes", [], listed(notes), share=0.2)


def _failures(reasons: Sequence[Reason]) -> Iterator[_Block]:
    """What failed and why, unfolded."""
    if reasons:
        lines = listed(f"{reason.cell} {reason.what}: {reason.why}" for reason in reasons)
        yield _folded("Reasons", lines, share=0.2, opened=True)


def _part(part: Part) -> _Block:
    """A table that is folded, with all that it takes to read it."""
    if part.sheet is None:
        return (
            _folded(part.title, listed(part.notes), share=0.12)
            if part.notes
            else _Block(part.title, [], listed([part.title]))
        )
    return _table(part.title, part.sheet, part.explained, share=0.12)


def _questions(answers: Sequence[Answer]) -> Iterator[_Block]:
    """Each question with its answer and the numbers that bear on it, folded."""
    if answers:
        yield _Block(QUESTIONS_TITLE, [], [f"**{QUESTIONS_TITLE}**", "", *listed([QUESTIONS_NOTE])])
    for answer in answers:
        title, said = f"{answer.label} {answer.question}", answer_texts(answer)
        if answer.table is None or not answer.table.rows:
            yield _folded(title, listed(said))
        else:
            sheet = answer_sheet(answer.table, NO_WIDTH)
            yield _table(title, sheet, [*said, *explained(answer_marks(sheet))], share=_OF_ALL_ANSWERS / len(answers))


def _table(title: str, sheet: Sheet, notes: Iterable[str], share: float) -> _Block:
    return _folded(title, body(sheet), [*listed(notes), "", *head(sheet)], share)


def _folded(
    title: str, lines: Sequence[str], before: Sequence[str] = (), share: float = 1.0, opened: bool = False
) -> _Block:
    tag = "<details open>" if opened else "<details>"
    start = [tag, f"<summary>{escaped(elided(title, _TITLE_ROOM))}</summary>", ""]
    return _Block(title, [*start, *before], lines, ["", "</details>"], share)


def _missing(lines: int) -> str:
    return f"{lines} more lines have no room here."


def _left_out(titles: Sequence[str], whole: str | None) -> Iterator[str]:
    """What has no room in a comment, and where it is."""
    if titles:
        where = f"in {elided(clean(whole), _TITLE_ROOM)}" if whole else "in what --ftbench-json writes"
        yield escaped(
            f"Left out, for a comment on GitHub has {LIMIT:,} characters: {'; '.join(titles)}. All of it is {where}; "
            "pytest --ftbench-from FILE shows it."
        )


def _provenance(results: Results) -> Iterator[str]:
    """Everything that is known of where the numbers come from; what is the matter with rows stands above."""
    for key, value in results.provenance.items():
        if value not in (None, "", [], {}) and key != "hygiene":
            yield f"{elided(clean(key), _VALUE_ROOM)}: {elided(clean(_said(value)), _VALUE_ROOM)}"


def _said(value: object, depth: int = 3) -> str:
    """A value from a file in words; what is nested deeper than anything we write is left out."""
    if not isinstance(value, dict | list):
        return str(value)
    if not depth:
        return "…"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_said(inner, depth - 1)}" for key, inner in value.items())
    return ", ".join(_said(inner, depth - 1) for inner in value)

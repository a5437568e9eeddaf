"""The report as text for a terminal, drawn no wider than its page."""

from collections.abc import Iterable, Iterator

from pytest_ftbench.grid import Results
from pytest_ftbench.report.contents import Contents
from pytest_ftbench.report.facts import Reason
from pytest_ftbench.report.gate_table import GATES_TITLE, Gates
from pytest_ftbench.report.layout import Paint, Style, ansi, no_paint, wrapped
from pytest_ftbench.report.notes import explained, marks
from pytest_ftbench.report.questions_text import questions_part
from pytest_ftbench.report.statistics import Baseline, Part
from pytest_ftbench.report.story import Story, tell


def render(
    results: Results | Contents,
    width: int = 100,
    color: bool = False,
    detail: bool = False,
    baseline: Baseline | None = None,
) -> list[str]:
    """The report's lines, none over ``width`` characters; below 80, rows of a wide table may have to be cut.

    Cells of several seeds are shown as one. The table of latencies is there with ``detail``, or where any was measured
    at a fixed length. With ``detail`` there are each seed's scores and intervals of all scores too, and comparisons and
    correlations on other tasks than the one trained on. The ranking is held against the ``baseline``'s.
    """
    paint = ansi if color else no_paint
    story = tell(Contents.of(results, baseline), width, detail)
    lines = wrapped([f"suite: {story.suite}"], width, paint, Style.STRONG)
    lines += wrapped([story.counts, *story.facts], width, no_paint)
    told: set[str] = set()
    lines += _main(story, told, width, paint)
    for part in story.parts:
        lines += _part(part, told, width, paint)
    lines += questions_part(story.answers, told, width, paint)
    if story.gates is not None:
        lines += _gates(story.gates, width, paint, detail)
    return lines + _reasons(story.reasons, width, paint)


def _main(story: Story, told: set[str], width: int, paint: Paint) -> Iterator[str]:
    """The full table, what trivial answerers score, and what its columns, marks and flags mean."""
    if story.sheet is None:
        return
    yield from ["", *story.sheet.draw(width, paint), ""]
    yield from wrapped(story.baselines, width, no_paint)
    told |= marks(story.sheet)
    yield from wrapped(story.columns, width, paint)
    yield from wrapped([*story.cautions, *story.checks], width, no_paint)


def _part(part: Part, told: set[str], width: int, paint: Paint) -> Iterator[str]:
    """A table under its title, with what its columns mean, and its marks that weren't told before, which are then."""
    yield ""
    yield from wrapped([part.title], width, paint, Style.STRONG)
    if part.sheet is None:
        yield from wrapped(part.notes, width, paint)
        return
    notes = [*part.notes, *explained(marks(part.sheet) - told)]
    told |= marks(part.sheet)
    yield from ["", *part.sheet.draw(width, paint)]
    yield from [""] * bool(notes)
    yield from wrapped(notes, width, paint)


def _gates(gates: Gates, width: int, paint: Paint, detail: bool) -> Iterator[str]:
    """What the gates say: of those that pass how many do, and with ``detail`` which."""
    open_, passed = gates.open, gates.passed
    yield ""
    yield from wrapped([GATES_TITLE], width, paint, Style.STRONG)
    hidden = "" if detail or not passed else f" -v lists {'those that pass' if open_ else 'them'}."
    yield from wrapped([f"{gates.counts}{hidden}"], width, no_paint)
    yield from wrapped([gates.problem], width, no_paint)
    shown = passed if detail else []
    if open_ or shown:
        sheet, notes = gates.sheet(open_, shown)
        yield from ["", *sheet.draw(width, paint), ""]
        yield from wrapped(gates.texts(gates.rows), width, no_paint)
        yield from wrapped(notes, width, paint)


def _reasons(reasons: Iterable[Reason], width: int, paint: Paint) -> list[str]:
    texts = [f"{reason.cell} {reason.what}: {reason.why}" for reason in reasons]
    if not texts:
        return []
    return ["", *wrapped(["Reasons"], width, paint, Style.STRONG), *wrapped(texts, width, no_paint)]

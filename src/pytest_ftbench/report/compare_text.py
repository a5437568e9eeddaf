"""The comparison with a stored run as text for a terminal: its table, what that lacks, and which limits are broken."""

from collections.abc import Iterator, Sequence

from pytest_ftbench.analysis import Breach, Comparison, Reason
from pytest_ftbench.report.compare_table import compare_notes, compare_sheet
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.layout import Style, ansi, no_paint, wrapped
from pytest_ftbench.report.notes import explained, marks
from pytest_ftbench.report.words import clean, elided

_SOURCE_ROOM = 120
_ID_ROOM = 80
_SENTENCE_ROOM = 600
_LISTED = 12


def render_comparison(comparison: Comparison, source: str, width: int = 100, color: bool = False) -> list[str]:
    """The comparison's lines, none over ``width`` characters; ``source`` names the stored run."""
    paint = ansi if color else no_paint
    name = elided(clean(source), _SOURCE_ROOM) or "a stored run"
    lines = wrapped([f"Change against {name}"], width, paint, Style.STRONG)
    if comparison.changes:
        names = Names([change.key for change in comparison.changes], width)
        sheet, left_out = compare_sheet(comparison, names, width)
        # a word that stands instead of a change has a sentence of its own, which says what differed
        notes = [*compare_notes(comparison), *explained(marks(sheet) - set(Reason))]
        notes += [f"Left out at this width: {', '.join(left_out)}."] if left_out else []
        notes += [f"{short} is {full}." for short, full in names.shortened.items()]
        lines += ["", *sheet.draw(width, paint), "", *wrapped(notes, width, paint)]
    else:
        lines += wrapped(["No cell was measured in both runs."], width, no_paint)
    return lines + wrapped(_absent(comparison), width, no_paint)


def render_breaches(breaches: Sequence[Breach], width: int = 100, color: bool = False) -> list[str]:
    """The sentence of every limit that isn't kept, none of its lines over ``width`` characters."""
    texts = (elided(clean(breach.sentence), _SENTENCE_ROOM) for breach in breaches)
    return wrapped(texts, width, ansi if color else no_paint, Style.ALARM)


def _absent(comparison: Comparison) -> Iterator[str]:
    """Which cells only one of the runs has measured."""
    for heading, ids in (
        ("Not measured in the stored run", comparison.absent_then),
        ("Measured in the stored run, not run now", comparison.absent_now),
        ("Measured in the stored run, failed now", comparison.failed_now),
    ):
        if ids:
            named = ", ".join(elided(clean(name), _ID_ROOM) for name in ids[:_LISTED])
            more = f" and {len(ids) - _LISTED} more" if len(ids) > _LISTED else ""
            yield f"{heading}: {named}{more}."

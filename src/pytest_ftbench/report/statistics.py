"""What the numbers can bear, under the tables: detectable differences, comparisons, correlations, intervals."""

from collections.abc import Iterable, Iterator, Sequence

from pytest_ftbench.analysis import (
    Contrast,
    Detectable,
    Evidence,
    FullTable,
    contrasts,
    detectable_differences,
    rank_correlations,
)
from pytest_ftbench.grid import Results
from pytest_ftbench.report.correlation_table import CORRELATION_TITLE, correlation_notes, correlation_sheet
from pytest_ftbench.report.interval_table import INTERVAL_TITLE, interval_sheet
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.layout import Paint, Sheet, Style, wrapped
from pytest_ftbench.report.notes import explained, marks
from pytest_ftbench.report.versus_table import VERSUS_TITLE, versus_notes, versus_sheet
from pytest_ftbench.report.words import clean, score


class Findings:
    """The statistics of a run, computed once; with ``detail`` those of all cells, else of those in-domain."""

    def __init__(self, results: Results, detail: bool) -> None:
        self.results = results
        self.detail = detail
        self.evidence = Evidence.of(results.cells)
        self.contrasts: list[Contrast] = contrasts(results.cells, results.trivial, self.evidence, detail)

    def seen(self) -> list[str]:
        """The smallest difference that could have been seen, in a sentence; nothing where nothing is compared."""
        found = detectable_differences(self.results.cells, self.contrasts, self.evidence)
        return list(_seen(found))

    def parts(self, table: FullTable, names: Names, told: set[str], width: int, paint: Paint) -> Iterator[str]:
        """The lines of the tables, an empty one before each."""
        if self.contrasts:
            sheet = versus_sheet(self.contrasts, names, self.detail)
            yield from _part(VERSUS_TITLE, sheet, versus_notes(self.contrasts, self.detail), told, width, paint)
        found = rank_correlations(self.results.cells, self.results.trivial)
        if shown := [each for each in found if each.in_domain or self.detail]:
            sheet = correlation_sheet(shown, names)
            yield from _part(CORRELATION_TITLE, sheet, correlation_notes(shown), told, width, paint)
        if self.detail and (intervals := interval_sheet(table, self.results.cells, self.evidence, names)):
            yield from _part(INTERVAL_TITLE, *intervals, told, width, paint)


def _seen(found: Sequence[Detectable]) -> Iterator[str]:
    if not found:
        return
    said = [f"{clean(each.task)} {clean(each.label)} {score(each.difference, each.format)}" for each in found]
    size, alpha = found[0].comparisons, found[0].alpha
    shared = f"{100 * alpha:g} % shared by {size} comparisons" if size > 1 else f"{100 * alpha:g} %"
    assumed = [clean(each.task) for each in found if each.assumed]
    independent = f"; answers taken to be independent in {', '.join(assumed)}" if assumed else ""
    yield (
        f"Smallest difference this run could have seen: {', '.join(said)} (found in four of five such runs, tested at "
        f"{shared}{independent})."
    )


def _part(title: str, sheet: Sheet, notes: Iterable[str], told: set[str], width: int, paint: Paint) -> Iterator[str]:
    """A table under its title, with what its columns mean, and its marks that weren't told before, which are then."""
    said = [*notes, *explained(marks(sheet) - told)]
    told |= marks(sheet)
    yield ""
    yield from wrapped([title], width, paint, Style.STRONG)
    yield ""
    yield from sheet.draw(width, paint)
    yield ""
    yield from wrapped(said, width, paint)

"""What the numbers can bear, under the tables: detectable differences, comparisons, correlations, intervals."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_ftbench.analysis import (
    Contrast,
    Detectable,
    Evidence,
    FullTable,
    contrasts,
    counterparts,
    detectable_differences,
    pooled,
    rank_correlations,
    rankings,
    seeds_of,
    unlike_items,
)
from pytest_ftbench.grid import CellRecord, Results
from pytest_ftbench.report.correlation_table import CORRELATION_TITLE, correlation_notes, correlation_sheet
from pytest_ftbench.report.interval_table import INTERVAL_TITLE, interval_sheet
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.layout import Sheet
from pytest_ftbench.report.notes import explained, marks
from pytest_ftbench.report.ranking_table import RANKING_TITLE, difference_notes, ranking_notes, ranking_sheet
from pytest_ftbench.report.versus_table import VERSUS_TITLE, versus_notes, versus_sheet
from pytest_ftbench.report.words import clean, score

Baseline = tuple[str, Results]
"""Another run's name and results."""


@dataclass(frozen=True)
class Part:
    """A table under its title and what its columns mean; without one, title and notes say why there is none."""

    title: str
    sheet: Sheet | None = None
    notes: tuple[str, ...] = ()

    @property
    def explained(self) -> tuple[str, ...]:
        """Its notes, and what every mark in it means: where no other table need be read before."""
        return self.notes if self.sheet is None else (*self.notes, *explained(marks(self.sheet)))


class Findings:
    """The statistics of a run, computed once; with ``detail`` those of all cells, else of those in-domain."""

    def __init__(
        self, results: Results, detail: bool, baseline: Baseline | None = None, evidence: Evidence | None = None
    ) -> None:
        self.results = results
        self.detail = detail
        self.baseline = baseline
        self.evidence = evidence or Evidence.of(results.cells)
        self.contrasts: list[Contrast] = contrasts(results.cells, results.trivial, self.evidence, detail)

    def seen(self) -> list[str]:
        """The smallest difference that could have been seen, in a sentence; nothing where nothing is compared."""
        found = detectable_differences(self.results.cells, self.contrasts, self.evidence)
        return list(_seen(found))

    def tables(self, table: FullTable, names: Names) -> Iterator[Part]:
        """The tables, each with what its columns mean."""
        if self.contrasts:
            sheet = versus_sheet(self.contrasts, names, self.detail)
            yield Part(VERSUS_TITLE, sheet, tuple(versus_notes(self.contrasts, self.detail)))
        yield from self._ranking(names)
        found = rank_correlations(self.results.cells, self.results.trivial)
        if shown := [each for each in found if each.in_domain or self.detail]:
            sheet = correlation_sheet(shown, names, self.detail)
            yield Part(CORRELATION_TITLE, sheet, tuple(correlation_notes(shown, self.detail)))
        if self.detail and (intervals := interval_sheet(table, self.results.cells, self.evidence, names)):
            yield Part(INTERVAL_TITLE, intervals[0], tuple(intervals[1]))

    def _ranking(self, names: Names) -> Iterator[Part]:
        """The ranking, where seeds make it worth having or there is another run to hold it against."""
        several = any(len(seeds_of(record)) > 1 for record in self.results.cells)
        if not several and self.baseline is None:
            return
        mine = rankings(self.results.cells, self.results.trivial, self.evidence)
        if self.baseline is None:
            mine = [ranking for ranking in mine if len(ranking.ranked) > 1]
            if mine:
                sheet = ranking_sheet([("", mine)], names)
                yield Part(RANKING_TITLE, sheet, tuple(ranking_notes([("", mine)])))
            return
        name, stored = self.baseline
        then = pooled(stored.cells)
        if unlike := unlike_items(self.results.cells, then):
            yield Part(f"{RANKING_TITLE}: not held against {clean(name)}: {clean(unlike.difference)}.")
            return
        theirs = rankings(then, stored.trivial, Evidence.of(then))
        pairs = list(counterparts(mine, theirs))
        mine = [ranking for ranking, other in pairs if max(len(ranking.ranked), len(other.ranked)) > 1]
        if not mine:
            yield Part(f"{RANKING_TITLE}: {clean(name)} has nothing to hold it against.")
            return
        runs = [(_run("this run", self.results.cells), mine), (_run(name, then), theirs)]
        notes = [*ranking_notes(runs), *difference_notes(mine, theirs, names)]
        yield Part(RANKING_TITLE, ranking_sheet(runs, names), tuple(notes))


def _run(name: str, records: Sequence[CellRecord]) -> str:
    """A run's name, and the recipe that all of its trainings were of."""
    recipes = [found for record in records if (found := record.extra.get("provenance"))]
    said = {_recipe_name(each.get("recipe")) for each in recipes if isinstance(each, dict)} - {None}
    return f"{name} ({said.pop()})" if len(said) == 1 else name


def _recipe_name(recipe: object) -> str | None:
    name = recipe.get("name") if isinstance(recipe, dict) else None
    return name if isinstance(name, str) else None


def _seen(found: Sequence[Detectable]) -> Iterator[str]:
    if not found:
        return
    said = [f"{clean(each.task)} {clean(each.label)} {_size(each)}" for each in found]
    size, alpha = found[0].comparisons, found[0].alpha
    shared = f"{100 * alpha:g} % shared by {size} comparisons" if size > 1 else f"{100 * alpha:g} %"
    shared += "" if found[0].made else ", had they been compared item by item"
    assumed = [clean(each.task) for each in found if each.assumed]
    independent = f"; answers taken to be independent in {', '.join(assumed)}" if assumed else ""
    yield (
        f"Smallest difference this run could have seen: {', '.join(said)} (found in four of five such runs, tested at "
        f"{shared}{independent})."
    )


def _size(each: Detectable) -> str:
    return "none" if each.difference is None else score(each.difference, each.format)

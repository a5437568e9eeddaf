"""The seeds on a page: for each eval task the score under every seed, and their standard deviation."""

from collections.abc import Iterator, Sequence

from pytest_ftbench.analysis import BASE_HEADING, EvalTask, SeedScore, SeedSpread, SeedTable, Standing, task_label
from pytest_ftbench.report.full_table import metric_heading, standing_style
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.layout import Column, Group, Section, Sheet, Text
from pytest_ftbench.report.words import ABSENT, clean, score

SEED_TITLE = "Seeds: the score of each training"

# a column per seed leaves no room for words
_MARKS = {Standing.INVALID: "!", Standing.TRIVIAL: "<"}
_EXPLAINED = {
    "!": "! INVALID: under that seed under half of the outputs can be read, or over half are empty.",
    "<": "< under that seed not better than the best trivial answerer on the same items.",
}


def seed_sheet(table: SeedTable, names: Names) -> Sheet:
    """A row per checkpoint, a group of columns per eval task."""
    rows = [row for block in table.blocks for row in block.rows.items()]
    keys = [key for key, _ in rows]
    return Sheet(
        labels=Group("", [names.model(keys), *names.way(keys)]),
        groups=[_group(task, [cells.get(task.name) for _, cells in rows], table.seeds) for task in table.tasks],
        sections=[Section(_heading(block.train_task), len(block.rows)) for block in table.blocks],
    )


def seed_notes(sheet: Sheet) -> Iterator[str]:
    """What the columns mean, and the marks that occur."""
    yield "s0, s1, …: the score of the training with that seed. SD: their standard deviation."
    tails = {cell.tail for group in sheet.groups for column in group.columns for cell in column.cells}
    yield from (text for mark, text in _EXPLAINED.items() if mark in tails)


def _group(task: EvalTask, cells: Sequence[SeedSpread | None], seeds: Sequence[int]) -> Group:
    format = task.headline.format
    columns = [
        Column(f"s{seed}", [_text(None if cell is None else cell.scores.get(seed), format) for cell in cells])
        for seed in seeds
    ]
    spread = [Text(ABSENT if cell is None or cell.stddev is None else score(cell.stddev, format)) for cell in cells]
    return Group(f"{clean(task.label)}: {metric_heading(task.headline)}", [*columns, Column("SD", spread)])


def _text(one: SeedScore | None, format: str) -> Text:
    if one is None or one.score is None:
        return Text(ABSENT)
    return Text(score(one.score, format), _MARKS.get(one.standing, ""), standing_style(one.standing))


def _heading(train_task: str | None) -> str:
    return BASE_HEADING if train_task is None else f"Trained on {clean(task_label(train_task))}"

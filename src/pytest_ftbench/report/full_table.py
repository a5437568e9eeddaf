"""The full table on a page: for each eval task its score, latency, tokens and format rate, as the width allows."""

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum

from pytest_ftbench.analysis import UNMEASURED, EvalTask, FullTable, Standing, TableCell
from pytest_ftbench.report.cost_table import PEAK_HEADINGS, SHORT_PEAK_HEADINGS, Costs, memory_group
from pytest_ftbench.report.flag_marks import FlagMarks
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.layout import Column, Group, Section, Sheet, Style, Text, in_fewest_parts
from pytest_ftbench.report.words import ABSENT, BEST, aligned, clean, elided, rate, score
from pytest_ftbench.tasks import Metric

WORDS = {Standing.INVALID: " INVALID", Standing.TRIVIAL: " <trivial"}
VARIANT, TEST_FAILED = "°", "†"
_HEADING_ROOM = 10


class Detail(IntEnum):
    """How much is shown of each eval task."""

    SCORE = 0
    SPEED = 1
    TOKENS = 2
    ALL = 3


def full_sheet(table: FullTable, costs: Costs, flags: FlagMarks, names: Names, width: int) -> tuple[Sheet, list[str]]:
    """The table in the fewest parts that ``width`` allows, in all the detail that keeps it so; the columns left out."""
    memory = [memory_group(table, costs, headings) for headings in (PEAK_HEADINGS, SHORT_PEAK_HEADINGS)]
    # the most detail first, and whole words before a shortened heading
    sheets = [
        (detail, _sheet(table, group, flags, names, detail))
        for detail in reversed(Detail)
        if detail > Detail.SCORE
        for group in memory
    ]
    detail, sheet = in_fewest_parts(sheets, width)
    if not sheet.fits(width):
        # flags are never what is left out
        detail, sheet = Detail.SCORE, _sheet(table, memory[-1], flags, names, Detail.SCORE)
    left_out = ["Lat s", "Fmt%"] if detail < Detail.SPEED else []
    if detail < Detail.TOKENS:
        left_out.append("Tok")
    if detail < Detail.ALL:
        known = {name for row in table.rows for name, cell in row.cells.items() if cell.study_score is not None}
        scored = {name for row in table.rows for name, cell in row.cells.items() if cell.score is not None}
        left_out += [
            f"{task.label}'s {task.study.label}" for task in table.tasks if task.study and task.name in known & scored
        ]
    return sheet, left_out


def unrecorded(table: FullTable) -> list[str]:
    """The columns that no cell of the table has anything for, though others of its kind are known."""
    cells = [cell for row in table.rows for cell in row.cells.values() if cell.standing not in UNMEASURED]
    known = {
        "Tok": _is_known(cell.output_tokens for cell in cells),
        "ms/tok": _is_known(cell.ms_per_token for cell in cells),
        "Fmt%": _is_known(cell.format_rate for cell in cells),
    }
    return [name for name, is_known in known.items() if cells and not is_known]


def standing_style(standing: Standing) -> Style:
    """The look of a cell that is not ok."""
    if standing in (Standing.INVALID, Standing.FAILED):
        return Style.ALARM
    return Style.PLAIN if standing is Standing.OK else Style.DIM


def metric_heading(metric: Metric) -> str:
    """A metric's name as a column heading, and the direction that is better."""
    return f"{elided(clean(metric.label), _HEADING_ROOM)} {'↑' if metric.higher_is_better else '↓'}"


def _sheet(table: FullTable, memory: Group | None, flags: FlagMarks, names: Names, detail: Detail) -> Sheet:
    keys = [row.key for row in table.rows]
    tasks = [
        _group(task, [row.cells.get(task.name) for row in table.rows], flags.column(table, task.name), detail)
        for task in table.tasks
    ]
    return Sheet(
        labels=Group("", [names.model(keys), *names.way(keys), *flags.label(table)]),
        groups=[memory, *tasks] if memory is not None else tasks,
        sections=[Section(clean(block.heading), len(block.rows)) for block in table.blocks],
    )


def _group(task: EvalTask, cells: Sequence[TableCell | None], flags: Sequence[Column], detail: Detail) -> Group:
    measured = [None if cell is None or cell.standing in UNMEASURED else cell for cell in cells]

    def each(read: Callable[[TableCell], float | None]) -> list[float | None]:
        return [None if cell is None else read(cell) for cell in measured]

    def column(heading: str, texts: Sequence[str]) -> Column:
        # beside the word that says why there is no score, nothing more is said
        pairs = zip(measured, texts, strict=True)
        return Column(heading, [Text() if cell is None else Text(text) for cell, text in pairs])

    study_scores = each(lambda cell: cell.study_score)
    # where nobody measured the headline, the studies' own measure is what there is
    instead = _is_known(study_scores) and not _is_known(each(lambda cell: cell.score))
    metric = task.study if task.study is not None and instead else task.headline
    columns = [Column(metric_heading(metric), [_score_text(cell, metric, instead) for cell in cells]), *flags]
    also = []
    if task.study is not None and (detail >= Detail.ALL or instead):
        format = task.study.format
        also += [] if instead else [column(metric_heading(task.study), [score(v, format) for v in study_scores])]
        # a mean that one wild answer decides is no measure alone
        also.append(column("Median", aligned(each(lambda cell: cell.study_median), digits=2, room=6)))
    if detail >= Detail.SPEED:
        also.append(column("Lat s", aligned(each(lambda cell: cell.latency_s), digits=3, room=6)))
    if detail >= Detail.TOKENS:
        also.append(column("Tok", aligned(each(lambda cell: cell.output_tokens), digits=2, room=5)))
    speeds = aligned(each(lambda cell: cell.ms_per_token), digits=3, room=5)
    also.append(Column("ms/tok", [_speed_text(cell, text) for cell, text in zip(measured, speeds, strict=True)]))
    if detail >= Detail.SPEED:
        also.append(column("Fmt%", [rate(value) for value in each(lambda cell: cell.format_rate)]))
    # a column that nobody knows anything of takes room from those that say something
    told = [column for column in also if any(cell.body not in ("", ABSENT) for cell in column.cells)]
    return Group(clean(task.label), [*columns, *told])


def _is_known(values: Iterable[float | None]) -> bool:
    return any(value is not None for value in values)


def _speed_text(cell: TableCell | None, text: str) -> Text:
    if cell is None:
        return Text()
    return Text(text, BEST, Style.STRONG) if cell.best_speed else Text(text)


def _score_text(cell: TableCell | None, metric: Metric, is_study: bool) -> Text:
    if cell is None:
        return Text(ABSENT)
    style = standing_style(cell.standing)
    if cell.standing in UNMEASURED:
        return Text(str(cell.standing), style=style)
    marks = BEST * cell.best_score + VARIANT * cell.is_variant + TEST_FAILED * cell.test_failed
    return Text(
        score(cell.study_score if is_study else cell.score, metric.format),
        marks + WORDS.get(cell.standing, ""),
        Style.STRONG if cell.best_score else style,
    )

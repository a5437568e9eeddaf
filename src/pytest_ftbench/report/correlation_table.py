"""Correlations with the rank on a page, each with how few points it stands on."""

from collections.abc import Iterator, Sequence
from math import factorial

from pytest_ftbench.analysis import ALPHA, Coefficient, Correlation, task_label
from pytest_ftbench.grid import CheckpointKey
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.layout import Column, Group, Section, Sheet, Style, Text
from pytest_ftbench.report.words import ABSENT, clean, elided, p_value

CORRELATION_TITLE = "Correlation with the rank"

_CONSTANT = "N/A (constant)"
_MEASURE_ROOM = 10
_COLUMNS = (
    "One point per cell; r: Pearson's, rho: Spearman's, tau: Kendall's; p: of a permutation test, {exact}; 95 %: of r, "
    "by Fisher's z, from four points on. {corrected}"
)
_UNCORRECTED = "None of the p-values is corrected for the {count} correlations here."
_FEW_POINTS = "With n = {n} no p of r can be below {least:.2f}, none of rho and tau below {ranked:.2f}."
_UNRANKED = (
    "Ranked: of these points, those not marked INVALID or <trivial. Where that isn't all of them, the figure is there "
    "to be compared with the studies', in brackets, and nothing follows from it."
)


def correlation_sheet(correlations: Sequence[Correlation], names: Names) -> Sheet:
    """A row per method and measure, in sections of what was trained and tested on."""
    keys = [
        CheckpointKey(each.model, each.method, None, each.quantization, each.train_task, 0) for each in correlations
    ]
    rows = [(key, each.task.name) for key, each in zip(keys, correlations, strict=True)]
    shown = [key if index == 0 or rows[index] != rows[index - 1] else None for index, key in enumerate(keys)]
    way = [column for column in names.way(shown) if column.heading not in ("r", "Seed")]
    measures = [Text(elided(clean(each.measure), _MEASURE_ROOM)) for each in correlations]
    labels = [names.model(shown), *way, Column("Measure", measures, words=True)]
    points = [Column("n", [Text(str(each.n)) for each in correlations])]
    if any(each.ranked < each.n for each in correlations):
        points.append(Column("Ranked", [Text(str(each.ranked)) for each in correlations]))
    interval = Column("95 %", [_interval(each.pearson) for each in correlations])
    groups = [
        Group("", points),
        Group("Pearson", [*_columns("r", correlations, "pearson"), interval]),
        Group("Spearman", _columns("rho", correlations, "spearman")),
        Group("Kendall", _columns("tau", correlations, "kendall")),
    ]
    return Sheet(Group("", labels), groups, _sections(correlations))


def correlation_notes(correlations: Sequence[Correlation]) -> Iterator[str]:
    """What the columns are, and what leaves the conclusions."""
    exact = "over all orders up to 8 points, beyond over 9,999 random ones"
    if all(each.exact for each in correlations):
        exact = "over all orders"
    count = len(correlations)
    yield _COLUMNS.format(exact=exact, corrected=_UNCORRECTED.format(count=count) if count > 1 else "").rstrip()
    for n in sorted({each.n for each in correlations if not each.constant}):
        # of all orders of ranks the best one and its reverse are as far off; of points at uneven distances one may be
        if (least := 1 / factorial(n)) > ALPHA / 2:
            yield _FEW_POINTS.format(n=n, least=least, ranked=2 * least)
    if any(each.ranked < each.n for each in correlations):
        yield _UNRANKED


def _sections(correlations: Sequence[Correlation]) -> list[Section]:
    counts: dict[str, int] = {}
    for each in correlations:
        heading = clean(f"Trained on {task_label(each.train_task)}, tested on {each.task.label}")
        counts[heading] = counts.get(heading, 0) + 1
    return [Section(heading, count) for heading, count in counts.items()]


def _columns(heading: str, correlations: Sequence[Correlation], name: str) -> list[Column]:
    found: list[Coefficient | None] = [getattr(each, name) for each in correlations]
    values = [_value(each, name) for each in correlations]
    return [Column(heading, values), Column("p", [Text(ABSENT if one is None else p_value(one.p)) for one in found])]


def _value(correlation: Correlation, name: str) -> Text:
    found: Coefficient | None = getattr(correlation, name)
    if found is None:
        return Text(_CONSTANT if correlation.constant and name == "pearson" else ABSENT, style=Style.DIM)
    if correlation.ranked < correlation.n:
        return Text(f"({found.value:.3f}", ")", Style.DIM)
    return Text(f"{found.value:.3f}", style=Style.STRONG if found.p <= ALPHA else Style.PLAIN)


def _interval(found: Coefficient | None) -> Text:
    if found is None or found.low is None or found.high is None:
        return Text(ABSENT)
    return Text(f"{found.low:.2f} to {found.high:.2f}")

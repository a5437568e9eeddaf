"""Each way of tuning against the untuned model and full fine-tuning, on a page: difference, interval, p, items won."""

from collections.abc import Iterator, Sequence

from pytest_ftbench.analysis import BASE, FULL, Contrast, EvalTask, Standing, task_label
from pytest_ftbench.grid import CheckpointKey
from pytest_ftbench.report.full_table import WORDS, metric_heading, standing_style
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.layout import Column, Group, Section, Sheet, Style, Text
from pytest_ftbench.report.words import ABSENT, clean, p_value, percent, signed

VERSUS_TITLE = "Who is better on the same items"
BETTER, WORSE = "▲", "▼"

_COLUMNS = (
    "diff: the score less the other's, in its own unit; 95 %: its interval, items resampled in pairs{clusters}{seeds}. "
    "p: of no difference at all ({tests}), corrected by Holm for the {count} comparisons {of_what}. W-T-L: items on "
    "which it is better, as good, worse."
)
_SEEDS = (
    ", seeds being a source of variance of their own, taken to be alike for all ways tuned on a task unless a way's "
    "own seeds lie farther apart"
)
_MARKS = (
    f"{BETTER} {WORSE} better, worse at 5 %; a cell marked INVALID or <trivial is never better, and nothing is better "
    "or worse than one marked INVALID."
)
_SPEED = (
    "ms/tok%: the median time per token against the other's, of several seeds the median of each prompt; its p is "
    "Mann-Whitney's, corrected likewise. Times of one session drift together, which no such p knows: few per cent may "
    "be the machine's."
)
_ABSOLUTE = (
    "Nearer: items on which the number is nearer to the right one, as near, farther, where both gave one; its p is "
    "Wilcoxon's, corrected likewise. Of means over several seeds it is not told."
)
_TESTS = {
    "McNemar": "McNemar's exact test of the answers",
    "sign flips": "paired permutation by sign flips",
    "seeds + items": "that of the interval",
}
_REFERENCES = {BASE: "Against the untuned model", FULL: "Against full fine-tuning"}
_SHORT = {BASE: "vs untuned", FULL: "vs full"}
_Row = tuple[CheckpointKey, EvalTask]


def versus_sheet(contrasts: Sequence[Contrast], names: Names, detail: bool) -> Sheet:
    """A row per tuned cell, in sections of what was trained and tested on; with ``detail`` times and nearness too."""
    rows: dict[_Row, dict[str, Contrast]] = {}
    for each in contrasts:
        rows.setdefault((each.key, each.task), {})[each.reference] = each
    in_order = _in_order(rows)
    keys = [key for key, _ in in_order]
    labels = [names.model(keys), *names.way(keys)]
    first = [next(iter(rows[row].values())) for row in in_order]
    if any(each.standing is not Standing.OK for each in first):
        marks = [Text(WORDS.get(each.standing, "").strip(), style=standing_style(each.standing)) for each in first]
        labels.append(Column("", marks, words=True))
    groups = []
    for reference, heading in _REFERENCES.items():
        mine = [rows[row].get(reference) for row in in_order]
        if any(mine):
            groups.append(Group(heading, list(_columns(mine))))
            # each pair of columns by itself, so that a page takes as many as it has room for
            also = [*_nearness(mine), *_speeds(mine)] if detail else []
            groups += [Group(_SHORT[reference], columns) for columns in also]
    return Sheet(Group("", labels), groups, _sections(in_order))


def versus_notes(contrasts: Sequence[Contrast], detail: bool) -> Iterator[str]:
    """What the columns are and which tests the p-values are of."""
    tests = dict.fromkeys(each.test for each in contrasts)
    methods = {each.interval.method for each in contrasts if each.interval is not None}
    near, far = (sum(each.in_domain is side for each in contrasts) for side in (True, False))
    of_what = f"in-domain, and apart for the {far} on other tasks" if near and far else "of this table"
    yield _COLUMNS.format(
        clusters=", whole passages" if any("cluster" in method for method in methods) else "",
        seeds=_SEEDS if "seeds + items" in methods else "",
        tests=", ".join(_TESTS.get(test, test) for test in tests),
        count=near or far,
        of_what=of_what,
    )
    yield _MARKS
    if detail and any(each.speed for each in contrasts):
        yield _SPEED
    if detail and any(each.absolute for each in contrasts):
        yield _ABSOLUTE


def _in_order(rows: dict[_Row, dict[str, Contrast]]) -> list[_Row]:
    """The rows by what was trained and tested on; what was tested on its own task first."""
    tests = list(dict.fromkeys((key.train_task, task) for key, task in rows))
    tests.sort(key=lambda test: test[0] != test[1].name)
    return [row for train, task in tests for row in rows if (row[0].train_task, row[1]) == (train, task)]


def _sections(rows: Sequence[_Row]) -> list[Section]:
    counts: dict[str, int] = {}
    for key, task in rows:
        heading = (
            f"Trained on {task_label(str(key.train_task))}, tested on {task.label}: {metric_heading(task.headline)}"
        )
        counts[clean(heading)] = counts.get(clean(heading), 0) + 1
    return [Section(heading, count) for heading, count in counts.items()]


def _columns(contrasts: Sequence[Contrast | None]) -> Iterator[Column]:
    yield Column("diff", [_difference(each) for each in contrasts])
    yield Column("95 %", [_interval(each) for each in contrasts])
    yield Column("p", [Text(ABSENT if each is None else p_value(each.adjusted)) for each in contrasts])
    yield Column("W-T-L", [_counts(each and each.counts) for each in contrasts])


def _nearness(contrasts: Sequence[Contrast | None]) -> Iterator[list[Column]]:
    absolute = [None if each is None else each.absolute for each in contrasts]
    if any(absolute):
        p = [Text(ABSENT if each is None else p_value(each.adjusted)) for each in absolute]
        yield [Column("Nearer", [_counts(each and each.counts) for each in absolute]), Column("p", p)]


def _speeds(contrasts: Sequence[Contrast | None]) -> Iterator[list[Column]]:
    speeds = [None if each is None else each.speed for each in contrasts]
    if any(speeds):
        p = [Text(ABSENT if each is None else p_value(each.adjusted)) for each in speeds]
        yield [
            Column("ms/tok%", [Text(ABSENT if each is None else percent(each.percent)) for each in speeds]),
            Column("p", p),
        ]


def _difference(each: Contrast | None) -> Text:
    if each is None:
        return Text(ABSENT)
    mark = {1: BETTER, -1: WORSE}.get(each.verdict, "")
    # the row's own mark stands beside its name; this one is the other's
    other = WORDS.get(each.standing_against, "")
    style = Style.STRONG if each.verdict > 0 else Style.PLAIN
    return Text(signed(each.difference, each.task.headline.format), mark + (other and f" of{other}"), style)


def _interval(each: Contrast | None) -> Text:
    if each is None or each.interval is None:
        return Text(ABSENT)
    format = each.task.headline.format
    return Text(f"{signed(each.interval.low, format)} to {signed(each.interval.high, format)}")


def _counts(counts: object) -> Text:
    wins, ties, losses = (getattr(counts, name, None) for name in ("wins", "ties", "losses"))
    return Text(ABSENT if counts is None else f"{wins}-{ties}-{losses}")

"""Two runs on a page: a row per cell that both measured, what it is now and how it has changed, or why that isn't told.

What is better is bold and what is worse red, in colour; in plain text the signs say as much.
"""

from collections.abc import Iterator, Sequence
from enum import IntEnum

from pytest_ftbench.analysis import KINDS, Change, Comparison, Delta, Measure, Reason, Standing, task_label
from pytest_ftbench.report.full_table import WORDS, metric_heading, standing_style
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.layout import Column, Group, Section, Sheet, Style, Text, in_fewest_parts
from pytest_ftbench.report.words import ABSENT, aligned, clean, elided, percent, score, signed

FROM_ZERO = "from 0"

_TASK_ROOM = 12
_DIFFERENCES = 3
_ROOM = 160
_MEASURES = {
    Measure.SCORE: "score",
    Measure.MS_PER_TOKEN: "latency",
    Measure.TOKENS: "tokens",
    Measure.TRAIN_MEMORY: "training memory",
    Measure.EVAL_MEMORY: "answering memory",
}
_COLUMNS = (
    "Change of a score: in its metric's own unit, + is more. Changes of ms/tok, tokens and memory: in percent of the "
    "stored run. ms/tok: time per output token after the first, where that was recorded, else latency over tokens. "
    "Tokens: the mean of all answers."
)
_SILENT = (
    "The stored run doesn't say on which items, prompts and device {cells} were measured, so differences in these go "
    "unseen."
)
_BARE = (
    "These are bare differences of two runs, without intervals: they don't tell a change from noise, least of all in "
    "latency."
)


class Detail(IntEnum):
    """Of what the table shows the number itself beside its change."""

    SCORE = 0
    SPEED = 1
    ALL = 2


def compare_sheet(comparison: Comparison, names: Names, width: int) -> tuple[Sheet, list[str]]:
    """The table in the fewest parts that ``width`` allows, in all the detail that keeps it so; the columns left out."""
    by_task = _by_task(comparison.changes)
    sheets = [(detail, _sheet(by_task, names, detail)) for detail in reversed(Detail)]
    detail, sheet = in_fewest_parts(sheets, width)
    left_out = ["tokens now"] * (detail < Detail.ALL) + ["ms/tok now"] * (detail < Detail.SPEED)
    return sheet, left_out


def compare_notes(comparison: Comparison) -> Iterator[str]:
    """What the numbers are, what they are not, and for each word that stands instead of a change what differed."""
    yield _COLUMNS
    deltas = [delta for change in comparison.changes for delta in change.deltas.values()]
    if kinds := [text for kind, text in KINDS.items() if any(delta.kind == kind for delta in deltas)]:
        yield f"Memory: peaks of {', else '.join(kinds)}; in both runs the same."
    for reason in Reason:
        if text := _refused(comparison.changes, reason):
            yield text
    if comparison.silent_then:
        cells = "some of these cells" if len(comparison.silent_then) < len(comparison.changes) else "these cells"
        yield _SILENT.format(cells=cells)
    yield _BARE


def _by_task(changes: Sequence[Change]) -> dict[str, list[Change]]:
    by_task: dict[str, list[Change]] = {}
    for change in changes:
        by_task.setdefault(change.task.name, []).append(change)
    return by_task


def _sheet(by_task: dict[str, list[Change]], names: Names, detail: Detail) -> Sheet:
    changes = [change for mine in by_task.values() for change in mine]
    keys = [change.key for change in changes]
    trained = [
        ABSENT if key.train_task is None else elided(clean(task_label(key.train_task)), _TASK_ROOM) for key in keys
    ]
    labels = [
        names.model(keys),
        *names.way(keys),
        Column("Trained on", [Text(text) for text in trained], words=True),
    ]
    sections = [
        Section(f"Tested on {clean(mine[0].task.label)}: {metric_heading(mine[0].task.headline)}", len(mine))
        for mine in by_task.values()
    ]
    return Sheet(Group("", labels), _groups(changes, detail), sections)


def _groups(changes: Sequence[Change], detail: Detail) -> list[Group]:
    def relative(heading: str, measure: Measure) -> Column:
        return Column(heading, [_percent_text(change, change.deltas[measure]) for change in changes])

    def numbers(measure: Measure, digits: int, room: int, shown: bool) -> list[Column]:
        texts = aligned([change.deltas[measure].now for change in changes], digits, room)
        return [Column("now", [Text(text) for text in texts])] if shown else []

    scores = [
        Column("now", [_score_text(change) for change in changes]),
        Column("change", [_points_text(change) for change in changes]),
    ]
    speeds = numbers(Measure.MS_PER_TOKEN, digits=3, room=5, shown=detail >= Detail.SPEED)
    tokens = numbers(Measure.TOKENS, digits=2, room=5, shown=detail >= Detail.ALL)
    memory = [relative("train%", Measure.TRAIN_MEMORY), relative("eval%", Measure.EVAL_MEMORY)]
    # over the change alone there is no room for a blank
    speed = "ms/tok ↓" if speeds else "ms/tok↓"
    return [
        Group("Score", scores),
        Group(speed, [*speeds, relative("change%", Measure.MS_PER_TOKEN)]),
        Group("Tokens", [*tokens, relative("change%", Measure.TOKENS)]),
        Group("Memory ↓", memory),
    ]


def _score_text(change: Change) -> Text:
    now = change.deltas[Measure.SCORE].now
    return Text(
        score(now, change.task.headline.format),
        WORDS.get(change.standing_now, ""),
        standing_style(change.standing_now),
    )


def _points_text(change: Change) -> Text:
    delta = change.deltas[Measure.SCORE]
    text = _instead(delta)
    if delta.change is not None:
        text = signed(delta.change, change.task.headline.format)
    return Text(text, _was(change), _style(change, delta, text))


def _percent_text(change: Change, delta: Delta) -> Text:
    text = _instead(delta)
    if delta.change is not None:
        text = FROM_ZERO if delta.percent is None and delta.then == 0 else percent(delta.percent)
    # more or fewer tokens are neither better nor worse
    judged = delta is not change.deltas[Measure.TOKENS]
    return Text(text, style=_style(change, delta, text) if judged or delta.refusal else Style.PLAIN)


def _instead(delta: Delta) -> str:
    """What stands where there is no change."""
    return ABSENT if delta.refusal is None else str(delta.refusal.reason)


def _was(change: Change) -> str:
    """The mark of the stored run's cell, where it is another than now's."""
    refused = change.deltas[Measure.SCORE].refusal is not None
    # without a score that compares, nobody knows that nothing was wrong then
    if change.standing_then is change.standing_now or (refused and change.standing_then is Standing.OK):
        return ""
    return f" was{WORDS.get(change.standing_then, ' ok')}"


def _style(change: Change, delta: Delta, text: str) -> Style:
    """Bold where it is better, red where it is worse, as far as the digits shown tell."""
    if delta.worse_by is None:
        return Style.DIM
    if text != FROM_ZERO and not any(digit in text for digit in "123456789"):
        return Style.PLAIN
    if delta.worse_by > 0:
        return Style.ALARM
    # what answers nothing is not better for being fast or small
    return Style.STRONG if change.standing_now is Standing.OK else Style.PLAIN


def _refused(changes: Sequence[Change], reason: Reason) -> str:
    """The sentence that explains a word: what differed, then and now, and what isn't compared for it."""
    found = [
        (measure, delta.refusal.difference)
        for change in changes
        for measure, delta in change.deltas.items()
        if delta.refusal is not None and delta.refusal.reason is reason
    ]
    if not found:
        return ""
    differences = list(dict.fromkeys(elided(clean(difference), _ROOM) for _, difference in found))
    more = [f"{len(differences) - _DIFFERENCES} more differences"] if len(differences) > _DIFFERENCES else []
    told = "; ".join(differences[:_DIFFERENCES] + more)
    kept = {measure for measure, _ in found}
    names = [name for measure, name in _MEASURES.items() if measure in kept]
    listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    verb = "is" if len(names) == 1 and names != [_MEASURES[Measure.TOKENS]] else "are"
    return f"{reason}: {told}; {listed} {verb} not compared."

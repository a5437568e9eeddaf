"""Score against the rank of an adapter, with intervals, beside the ways of tuning that have no rank."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from pytest_ftbench.analysis import Standing
from pytest_ftbench.analysis.rank_curves import RankCurves, RankPoint, rank_curves
from pytest_ftbench.grid import method_label
from pytest_ftbench.report.figure import Drawing, drawable, drawable_time, short_names, short_notes
from pytest_ftbench.report.full_table import WORDS, metric_heading, standing_style
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.layout import Column, Group, Section, Sheet, Text
from pytest_ftbench.report.looks import Look, crossed, key_of, legend, looks, panel_title, panel_width, panels, point
from pytest_ftbench.report.story import Story
from pytest_ftbench.report.svg import INK
from pytest_ftbench.report.words import ABSENT, clean, score

_MOST = 6
_NOTES = (
    "Tested on the task trained on. 95 %: the interval of the score over items (and seeds, where there are several).",
)
_KEY = (
    "Bars and bands: the 95 % intervals; methods of one rank stand side by side. Lines join what may be ranked; "
    "crossed points are INVALID or <trivial.",
)
_APART = 0.14  # of a doubling of the rank


def rank_figure(story: Story) -> Drawing | None:
    """The figure; None where nothing was tuned at two ranks."""
    results = story.contents.results
    groups = rank_curves(results.cells, results.trivial, story.contents.evidence)
    if not groups:
        return None
    left_out = [f"The figure shows the first {_MOST} of {len(groups)}."] if len(groups) > _MOST else []
    shown = groups[:_MOST]
    return Drawing(
        name="ranks",
        title="Score against rank, with intervals",
        says=_says(groups, story.names),
        notes=_NOTES,
        key=[*_KEY, *left_out, *short_notes(story.names)],
        sheet=_sheet(groups, story.names),
        draw=partial(_draw, shown, short_names(story.names)),
        width=panel_width(len(shown)),
        height=0.9 + 2.7 * -(-len(shown) // 3),
    )


def _title(group: RankCurves, names: Names) -> str:
    return clean(group.task.label) + (f", {names.models[group.model]}" if len(names.models) > 1 else "")


def _says(groups: Sequence[RankCurves], names: Names) -> str:
    """In words: between what the scores of the ranks lie."""
    said = []
    for group in groups[:_MOST]:
        values = [point.score for line in group.lines for point in line if point.standing is Standing.OK]
        format = group.task.headline.format
        between = f"{score(min(values), format)} to {score(max(values), format)}" if values else "none may be ranked"
        said.append(f"{_title(group, names)}: {between} over {sum(len(line) for line in group.lines)} points")
    return f"Curves of score against rank. {'; '.join(said)}."


def _sheet(groups: Sequence[RankCurves], names: Names) -> Sheet:
    points = [(group, point) for group in groups for point in group.points]
    keys = [point.key for _, point in points]
    scores = [
        Text(
            score(point.score, group.task.headline.format),
            WORDS.get(point.standing, ""),
            standing_style(point.standing),
        )
        for group, point in points
    ]
    ends = [Text(_ends(group, point)) for group, point in points]
    sections = [
        Section(f"{_title(group, names)}: {metric_heading(group.task.headline)}", len(group.points)) for group in groups
    ]
    columns = [Column("Score", scores), Column("95 %", ends)]
    return Sheet(Group("", [names.model(keys), *names.way(keys)]), [Group("", columns)], sections)


def _ends(group: RankCurves, point: RankPoint) -> str:
    if point.interval is None:
        return ABSENT
    format = group.task.headline.format
    return f"{score(point.interval.low, format)} to {score(point.interval.high, format)}"


def _draw(groups: Sequence[RankCurves], names: Names, figure: Any) -> None:
    tuned = [each for group in groups for each in group.points if each.key.train_task is not None]
    # somebody's file may have an untuned model at several ranks: that is a line, too
    lines = [line[0] for group in groups for line in group.lines]
    seen = looks(_method(each, names) for each in [*tuned, *lines])
    for axes, group in zip(panels(figure, len(groups)), groups, strict=True):
        for level in group.levels:
            _level(axes, level, seen.get(_method(level, names)))
        for place, line in enumerate(group.lines):
            _line(axes, line, seen[_method(line[0], names)], 2 ** (_APART * (place - (len(group.lines) - 1) / 2)))
        axes.set_xscale("log", base=2)
        ranks = sorted({each.rank for line in group.lines for each in line if each.rank and drawable_time(each.rank)})
        some = ranks[:: -(-len(ranks) // 8) or 1]
        axes.set_xticks(some, [f"{rank:g}" for rank in some])
        axes.minorticks_off()
        axes.margins(0.12)
        axes.set(xlabel="rank", ylabel=metric_heading(group.task.headline), title=panel_title(_title(group, names)))
    entries = [key_of(look.marker, look.colour, name, look.dash) for name, look in seen.items()]
    legend(figure, [*entries, key_of(dash=":", label="untuned"), crossed()])


def _method(each: RankPoint, names: Names) -> str:
    quantization = "" if each.key.quantization is None else f" {clean(each.key.quantization)}"
    return names.methods[method_label(each.key.method)] + quantization


def _level(axes: Any, level: RankPoint, look: Look | None) -> None:
    """A way without a rank, as a line from end to end; a dotted one in ink is the untuned model."""
    if not drawable(level.score):
        return
    colour, dash = (INK, ":") if level.key.train_task is None or look is None else (look.colour, look.dash)
    axes.axhline(level.score, color=colour, ls=dash, lw=1.4)
    if level.interval is not None and level.key.train_task is not None:
        axes.axhspan(level.interval.low, level.interval.high, facecolor=colour, alpha=0.15, linewidth=0)
    if level.standing is not Standing.OK:
        axes.plot([0.04], [level.score], "x", color=INK, ms=8, mew=1, transform=axes.get_yaxis_transform())


def _line(axes: Any, line: Sequence[RankPoint], look: Look, aside: float) -> None:
    """The points of a method, moved ``aside`` by a factor so that none hides another's interval."""
    known = [each for each in line if each.rank is not None and drawable(each.score) and drawable_time(each.rank)]
    ranked = [each for each in known if each.standing is Standing.OK]
    axes.plot(
        [aside * (each.rank or 0.0) for each in ranked],
        [each.score for each in ranked],
        look.dash,
        color=look.colour,
        lw=1.3,
    )
    ends = [
        (aside * (e.rank or 0.0), e.score, e.interval.low, e.interval.high) for e in known if e.interval is not None
    ]
    if ends:
        ranks, scores, lows, highs = zip(*ends, strict=True)
        below = [max(0.0, value - low) for value, low in zip(scores, lows, strict=True)]
        above = [max(0.0, high - value) for value, high in zip(scores, highs, strict=True)]
        axes.errorbar(ranks, scores, yerr=(below, above), color=look.colour, capsize=2.5, lw=1, ls="none")
    for is_ranked in (True, False):
        mine = [each for each in known if (each.standing is Standing.OK) is is_ranked]
        if mine:
            point(axes, [aside * (each.rank or 0.0) for each in mine], [each.score for each in mine], look, is_ranked)

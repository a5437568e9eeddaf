"""Score against latency, as the second study's first figure: every cell of a task, and the front that none beats."""

from collections.abc import Sequence
from functools import partial
from string import ascii_lowercase
from typing import Any

from pytest_ftbench.analysis import Standing, task_label
from pytest_ftbench.analysis.tradeoffs import TradeOff, TradeOffs, trade_offs
from pytest_ftbench.grid import method_label
from pytest_ftbench.report.figure import Drawing, drawable, drawable_time
from pytest_ftbench.report.full_table import VARIANT, WORDS, metric_heading, standing_style
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.layout import Column, Group, Section, Sheet, Style, Text
from pytest_ftbench.report.looks import (
    crossed,
    key_of,
    legend,
    log_axis,
    looks,
    panel_title,
    panel_width,
    panels,
    point,
)
from pytest_ftbench.report.story import Story
from pytest_ftbench.report.svg import INK
from pytest_ftbench.report.words import ABSENT, aligned, clean, elided, score

_MOST = 6
_UNTUNED = "untuned"
_NAME_ROOM = 16
_CLOSE = 0.05  # of a panel's width and height: a letter takes about as much
_NOTES = (
    "Seconds per answer are what a reader waits, and grow with what is said: a model that says less is not faster, so "
    "look at ms/tok beside it (time per output token, after the first where that was recorded).",
    "A front holds the cells that no other beats in score and speed at once; its letters run from the fastest. INVALID "
    "and <trivial cells, crossed, are never on it, nor are scores over parsed outputs only (hollow, ° in the table).",
)


def scatter(story: Story) -> Drawing | None:
    """The figure; None where no cell has a score and a latency."""
    tasks = trade_offs(story.table)
    if not tasks:
        return None
    shown = [found for found in tasks if any(_has_place(each, token=False) for each in found.cells)][:_MOST]
    left_out = [f"The figure shows the first {_MOST} of {len(tasks)} tasks."] if len(tasks) > _MOST else []
    return Drawing(
        name="scatter",
        title="Score of each cell beside its speed, and the front that no other beats",
        says=_says(tasks, story.names),
        notes=[*_NOTES, *_unlike(tasks), *left_out],
        sheet=_sheet(tasks, story.names),
        draw=partial(_draw, shown, story.names) if shown else None,
        width=panel_width(len(shown)),
        height=1.0 + 2.7 * 2 * -(-len(shown) // 3),
    )


def _unlike(tasks: Sequence[TradeOffs]) -> list[str]:
    """Where there is no front per token, and why."""
    names = [clean(found.task.label) for found in tasks if not found.alike]
    if not names:
        return []
    return [
        f"No front per token in {', '.join(names)}: answers are of unlike length and the first token was not timed "
        "apart in all, so that a longer answer looks faster."
    ]


def _letters(found: TradeOffs, token: bool) -> dict[int, str]:
    """The letters of a front's cells, by their places, from the fastest."""
    on = [i for i, each in enumerate(found.cells) if (each.on_token_front if token else each.on_front)]
    on.sort(key=lambda i: (_x(found.cells[i], token) or 0.0, i))
    return {place: ascii_lowercase[i] if i < len(ascii_lowercase) else str(i + 1) for i, place in enumerate(on)}


def _x(each: TradeOff, token: bool) -> float | None:
    return each.cell.ms_per_token if token else each.cell.latency_s


def _has_place(each: TradeOff, token: bool) -> bool:
    return drawable(each.cell.score) and drawable_time(_x(each, token))


def _says(tasks: Sequence[TradeOffs], names: Names) -> str:
    """In words: who is on each front."""
    said = []
    for found in tasks:
        on = [_name(each, names) for each in found.cells if each.on_front]
        some = ", ".join(on[:5]) + (f" and {len(on) - 5} more" if len(on) > 5 else "")
        said.append(f"{clean(found.task.label)}: of {len(found.cells)} cells {len(on)} on the front ({some or 'none'})")
    return "Scatter of score against seconds per answer and per token. " + "; ".join(said[:_MOST]) + "."


def _name(each: TradeOff, names: Names) -> str:
    trained = each.key.train_task
    return names.way_of(each.key) + ("" if trained is None else f" trained on {_task(trained)}")


def _task(name: str | None) -> str:
    return _UNTUNED if name is None else elided(clean(task_label(name)), _NAME_ROOM)


def _sheet(tasks: Sequence[TradeOffs], names: Names) -> Sheet:
    cells = [each for found in tasks for each in found.cells]
    keys = [each.key for each in cells]
    trained = Column("Trained on", [Text(_task(key.train_task)) for key in keys], words=True)
    fronts = [
        [letters.get(i, "") for found in tasks for letters in [_letters(found, token)] for i in range(len(found.cells))]
        for token in (False, True)
    ]
    scores = [
        Text(
            score(each.cell.score, found.task.headline.format),
            VARIANT * each.cell.is_variant + WORDS.get(each.cell.standing, ""),
            standing_style(each.cell.standing),
        )
        for found in tasks
        for each in found.cells
    ]
    speeds = (
        ("Seconds per answer", "Lat s", [each.cell.latency_s for each in cells], fronts[0]),
        ("Per token", "ms/tok", [each.cell.ms_per_token for each in cells], fronts[1]),
    )
    groups = [Group("", [Column("Score", scores)])]
    for heading, unit, values, letters in speeds:
        front = Column("Front", [Text(each, style=Style.STRONG) for each in letters])
        groups.append(Group(heading, [Column(unit, [Text(text) for text in aligned(values, 3, 6)]), front]))
    tokens = aligned([each.cell.output_tokens for each in cells], 2, 5)
    groups.append(Group("", [Column("Tok", [Text(text or ABSENT) for text in tokens])]))
    sections = [
        Section(f"{clean(found.task.label)}: {metric_heading(found.task.headline)}", len(found.cells))
        for found in tasks
    ]
    return Sheet(Group("", [names.model(keys), *names.way(keys), trained]), groups, sections)


def _draw(tasks: Sequence[TradeOffs], names: Names, figure: Any) -> None:
    keys = [each.key for found in tasks for each in found.cells]
    shapes = looks(names.methods[method_label(key.method)] for key in keys)
    colours = looks(_task(key.train_task) for key in keys if key.train_task is not None)
    columns = min(3, len(tasks))
    every = panels(figure, 2 * columns * -(-len(tasks) // columns), columns)
    for index, found in enumerate(tasks):
        row, column = divmod(index, columns)
        for token in (False, True):
            axes = every[(2 * row + token) * columns + column]
            _panel(axes, found, token, names, shapes, colours)
    for index in range(len(tasks), columns * -(-len(tasks) // columns)):
        row, column = divmod(index, columns)
        for token in (False, True):
            every[(2 * row + token) * columns + column].set_axis_off()
    entries = [key_of("o", look.colour, f"trained on {name}") for name, look in colours.items()]
    entries += [key_of("o", INK, _UNTUNED)]
    entries += [key_of(look.marker, INK, name, hollow=True) for name, look in shapes.items()]
    legend(figure, [*entries, key_of(dash="-", label="front"), crossed()])


def _panel(axes: Any, found: TradeOffs, token: bool, names: Names, shapes: Any, colours: Any) -> None:
    letters = _letters(found, token)
    front = []
    alike: dict[tuple[str, str, bool, bool], list[tuple[float, float]]] = {}
    for place, each in enumerate(found.cells):
        x, y = _x(each, token), each.cell.score
        if not _has_place(each, token) or x is None or y is None:
            continue
        shape = names.methods[method_label(each.key.method)]
        colour = INK if each.key.train_task is None else colours[_task(each.key.train_task)].colour
        look = (shape, colour, each.cell.standing is Standing.OK, each.cell.is_variant)
        alike.setdefault(look, []).append((x, y))
        if place in letters:
            front.append((x, y, letters[place]))
    for (shape, colour, ranked, is_variant), places in alike.items():
        point(axes, [x for x, _ in places], [y for _, y in places], shapes[shape], ranked, colour, is_variant)
    if front:
        front.sort(key=lambda each: each[:2])
        axes.plot([x for x, _, _ in front], [y for _, y, _ in front], "-", color=INK, lw=1, zorder=2)
    if any(_has_place(each, token) for each in found.cells):
        log_axis(axes, "ms per output token (log)" if token else "seconds per answer (log)")
    for index, ((x, y), said) in enumerate(_labels(axes, front)):
        # in turn above and below: neighbours on a front may lie close together
        offset = (4, -11 if index % 2 else 4)
        axes.annotate(said, (x, y), xytext=offset, textcoords="offset points", fontweight="bold")
    axes.set_ylabel(metric_heading(found.task.headline))
    axes.set_title(panel_title(found.task.label))


def _labels(axes: Any, front: Sequence[tuple[float, float, str]]) -> list[tuple[tuple[float, float], str]]:
    """Where the letters of a front stand; one label, such as ``a-c``, for points too close for one each."""
    groups: list[list[tuple[float, float, str]]] = []
    for each in front:
        if groups:
            spots = [axes.transLimits.transform(axes.transScale.transform(one[:2])) for one in (groups[-1][0], each)]
        if groups and all(abs(one - other) < _CLOSE for one, other in zip(*spots, strict=True)):
            groups[-1].append(each)
        else:
            groups.append([each])
    return [(g[0][:2], g[0][2] if len(g) == 1 else f"{g[0][2]}-{g[-1][2]}") for g in groups]

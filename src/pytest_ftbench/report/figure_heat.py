"""Transfer as a heat map: a row per way of tuning and task trained on, a column per task tested on."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from pytest_ftbench.analysis import EvalTask, Standing, TransferEntry, TransferMatrix, task_label
from pytest_ftbench.report.figure import Drawing, drawable, short_names, short_notes
from pytest_ftbench.report.full_table import WORDS
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.looks import BLUE, VERMILLION
from pytest_ftbench.report.story import Story
from pytest_ftbench.report.svg import INK
from pytest_ftbench.report.transfer_table import NOISE, TRANSFER_TITLE, UNSURE
from pytest_ftbench.report.words import clean, elided, percent

_MOST_ROWS, _MOST_TASKS = 40, 8
_FULL_PERCENT = 100.0
_ROOM = 14
_DARK, _LIGHT, _UNKNOWN = "#000000", "#ffffff", "#dddddd"
_STRONG = 0.93  # so much blue, and white is easier to read on it than black
_Row = tuple[str, TransferMatrix]
"""A task trained on, and the matrix that has a row for it."""

_KEY = (
    "Blue: better than the untuned model, vermillion: worse; full colour from 100 % on. [ ]: tested on the task "
    "trained on. ~: within noise; ?: no interval known. Hatched: INVALID or <trivial, never an improvement.",
)


def heat_map(story: Story) -> Drawing | None:
    """The figure; None where nothing was tuned."""
    part = story.part(TRANSFER_TITLE)
    if part is None or part.sheet is None:
        return None
    trained = dict.fromkeys(train for matrix in story.contents.matrices for train in matrix.train_tasks)
    rows = [(train, matrix) for train in trained for matrix in story.contents.matrices if train in matrix.train_tasks]
    tasks = story.contents.matrices[0].tasks[:_MOST_TASKS]
    shown = rows[:_MOST_ROWS]
    few = len(rows) > len(shown) or len(story.contents.matrices[0].tasks) > len(tasks)
    left_out = [f"The figure shows {len(shown)} of {len(rows)} rows and {len(tasks)} tasks."] if few else []
    return Drawing(
        name="transfer",
        title=part.title,
        says=_says(rows, tasks),
        notes=part.explained,
        key=[*_KEY, *left_out, *short_notes(story.names)],
        sheet=part.sheet,
        # of nothing but reasons why no change can be told, the table is picture enough
        draw=partial(_draw, shown, tasks, short_names(story.names)) if _tells(shown, tasks) else None,
        width=2.8 + 1.35 * len(tasks),
        height=0.7 + 0.3 * len(shown),
    )


def _tells(rows: Sequence[_Row], tasks: Sequence[EvalTask]) -> bool:
    """Whether any change is known."""
    entries = [matrix.entries.get((train, task.name)) for train, matrix in rows for task in tasks]
    return any(entry is not None and entry.change_percent is not None for entry in entries)


def _says(rows: Sequence[_Row], tasks: Sequence[EvalTask]) -> str:
    """In words: how many improve and how many lose beyond noise."""
    entries = [entry for train, m in rows for task in tasks if (entry := m.entries.get((train, task.name)))]
    better = sum(entry.improves for entry in entries)
    known = [entry for entry in entries if entry.change_percent is not None and not entry.is_unsure]
    worse = sum(not entry.is_noise and (entry.change_percent or 0) < 0 for entry in known)
    apart = sum(entry.standing in (Standing.INVALID, Standing.TRIVIAL) for entry in entries)
    return (
        f"Heat map of {len(entries)} changes against the untuned model: {better} improve, {worse} are worse beyond "
        f"noise, {apart} are INVALID or <trivial."
    )


def _draw(rows: Sequence[_Row], tasks: Sequence[EvalTask], names: Names, figure: Any) -> None:
    from matplotlib.patches import Rectangle

    axes = figure.subplots()
    for y, (train, matrix) in enumerate(rows):
        for x, task in enumerate(tasks):
            entry = matrix.entries.get((train, task.name))
            if entry is None:
                continue
            shade, colour = colours_of(entry)
            apart = entry.standing in (Standing.INVALID, Standing.TRIVIAL)
            axes.add_patch(Rectangle((x, y), 1, 1, facecolor=shade, edgecolor=INK, linewidth=0.6))
            if apart:
                axes.add_patch(
                    Rectangle((x, y), 1, 1, facecolor="none", edgecolor="#777777", linewidth=0, hatch="////")
                )
            plate = {"facecolor": shade, "edgecolor": "none", "pad": 1.0} if apart else None
            where = {"ha": "center", "va": "center", "fontsize": 8, "color": colour}
            axes.text(x + 0.5, y + 0.5, _label(entry), bbox=plate, **where)
    labels = [f"{names.way_of(matrix.way)}, {elided(clean(task_label(train)), _ROOM)}" for train, matrix in rows]
    axes.set_yticks([y + 0.5 for y in range(len(rows))], labels)
    axes.set_xticks([x + 0.5 for x in range(len(tasks))], [elided(clean(task.label), _ROOM) for task in tasks])
    axes.set(xlim=(0, len(tasks)), ylim=(len(rows), 0))
    axes.tick_params(length=0, top=False)
    axes.xaxis.tick_top()
    axes.spines[:].set_visible(False)


def _label(entry: TransferEntry) -> str:
    shown = entry.reason or percent(entry.change_percent)
    shown = f"[{shown}]" if entry.in_domain else shown
    return shown + NOISE * entry.is_noise + UNSURE * entry.is_unsure + WORDS.get(entry.standing, "")


def colours_of(entry: TransferEntry) -> tuple[str, str]:
    """The colour of a change, between vermillion, white and blue, and that of the text on it."""
    change = entry.change_percent
    if change is None or not drawable(change):
        return _UNKNOWN, _DARK
    strength = min(1.0, abs(change) / _FULL_PERCENT)
    full = BLUE if change > 0 else VERMILLION
    parts = (round(255 + strength * (int(full[i : i + 2], 16) - 255)) for i in (1, 3, 5))
    return "#" + "".join(f"{part:02x}" for part in parts), _LIGHT if change > 0 and strength > _STRONG else _DARK

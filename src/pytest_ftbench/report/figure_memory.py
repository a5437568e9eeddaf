"""Memory as bars: for each way of tuning the peaks of its training and answering, the largest over all its cells."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pytest_ftbench.analysis import PEAKS, Standing
from pytest_ftbench.grid import CheckpointKey
from pytest_ftbench.report.figure import Drawing, drawable, short_names, short_notes
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.layout import Column, Group, Section, Sheet, Text
from pytest_ftbench.report.looks import Look, legend, looks
from pytest_ftbench.report.story import Story
from pytest_ftbench.report.svg import INK
from pytest_ftbench.report.words import aligned, clean

_MOST = 24
_PROCESS = "train_process"
_HEADINGS: Mapping[str, str] = {
    "train_reserved": "Train reserved",
    "train_allocated": "Train allocated",
    "eval_reserved": "Eval reserved",
    "eval_allocated": "Eval allocated",
    _PROCESS: "Train process",
}
_NOTES = (
    "The largest over everything that the way of tuning was trained and tested on. Process: what the process took in "
    "training, on CUDA as the driver has it, on a CPU by how much its resident set grew.",
    "no valid cell: all its cells are INVALID or <trivial; what answers nothing is not better for being small.",
)


def memory_figure(story: Story) -> Drawing | None:
    """The figure; None where nobody knows how much memory anything took."""
    peaks = _peaks(story)
    kinds = [kind for kind in _HEADINGS if any(kind in each for each in peaks.values())]
    ways = [way for way, each in peaks.items() if each]
    if not ways:
        return None
    valid = _valid(story)
    shown = [way for way in ways if drawable(*peaks[way].values())][:_MOST]
    left_out = [f"The figure shows {len(shown)} of {len(ways)} ways of tuning."] if len(shown) < len(ways) else []
    return Drawing(
        name="memory",
        title="Memory in GiB, by way of tuning",
        says=_says(peaks, kinds, story.names),
        notes=_NOTES,
        key=[*left_out, *short_notes(story.names)],
        sheet=_sheet(peaks, ways, kinds, valid, story.names),
        draw=partial(_draw, shown, peaks, kinds, valid, short_names(story.names)) if shown else None,
        width=7.5,
        height=1.2 + (0.16 * len(kinds) + 0.16) * len(shown),
    )


def _peaks(story: Story) -> dict[CheckpointKey, dict[str, float]]:
    found: dict[CheckpointKey, dict[str, float]] = {}
    for row in story.table.rows:
        cost, mine = story.contents.costs[row.key], found.setdefault(row.key._replace(train_task=None), {})
        known = {kind: cost.peaks_gib[kind] for kind in PEAKS if kind in cost.peaks_gib}
        known |= {} if cost.train_process_gib is None else {_PROCESS: cost.train_process_gib}
        for kind, value in known.items():
            mine[kind] = max(value, mine.get(kind, value))
    return found


def _valid(story: Story) -> set[CheckpointKey]:
    """The ways that have a cell that may be ranked."""
    return {
        row.key._replace(train_task=None)
        for row in story.table.rows
        if any(cell.standing is Standing.OK for cell in row.cells.values())
    }


def _says(peaks: Mapping[CheckpointKey, Mapping[str, float]], kinds: Sequence[str], names: Names) -> str:
    """In words: between which ways each kind of peak lies."""
    said = []
    for kind in kinds:
        known = {way: each[kind] for way, each in peaks.items() if kind in each}
        low, high = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
        said.append(
            f"{_HEADINGS[kind]} from {known[low]:.3g} ({names.way_of(low)}) to {known[high]:.3g} ({names.way_of(high)})"
        )
    return f"Bars of memory in GiB. {'; '.join(said)}."


def _sheet(
    peaks: Mapping[CheckpointKey, Mapping[str, float]],
    ways: Sequence[CheckpointKey],
    kinds: Sequence[str],
    valid: set[CheckpointKey],
    names: Names,
) -> Sheet:
    columns = []
    for kind in kinds:
        texts = aligned([peaks[way].get(kind) for way in ways], digits=3, room=6)
        columns.append(Column(_HEADINGS[kind], [Text(text) for text in texts]))
    said = Column("", [Text("" if way in valid else "no valid cell") for way in ways], words=True)
    labels = Group("", [names.model(ways), *names.way(ways)])
    groups = [Group("GiB ↓", columns)]
    if any(way not in valid for way in ways):
        groups.append(Group("", [Column("Marked", said.cells, words=True)]))
    return Sheet(labels, groups, [Section("", len(ways))])


def _draw(
    ways: Sequence[CheckpointKey],
    peaks: Mapping[CheckpointKey, Mapping[str, float]],
    kinds: Sequence[str],
    valid: set[CheckpointKey],
    names: Names,
    figure: Any,
) -> None:
    axes, seen = figure.subplots(), looks(kinds)
    thick = 0.8 / len(kinds)
    for y, way in enumerate(ways):
        for index, kind in enumerate(kinds):
            if kind in peaks[way]:
                _bar(axes, y - 0.4 + thick * (index + 0.5), peaks[way][kind], thick, seen[kind], way in valid)
    labels = [names.way_of(way) + ("" if way in valid else " (no valid cell)") for way in ways]
    axes.set_yticks(range(len(ways)), [clean(label) for label in labels])
    axes.set(ylim=(len(ways) - 0.45, -0.55), xlabel="GiB")
    legend(figure, [_patch(look, _HEADINGS[kind]) for kind, look in seen.items()])


def _bar(axes: Any, y: float, value: float, thick: float, look: Look, is_valid: bool) -> None:
    """A bar; of a way without a valid cell hollow."""
    face = look.colour if is_valid else "none"
    edge = INK if is_valid else look.colour
    axes.barh([y], [value], thick * 0.92, facecolor=face, edgecolor=edge, hatch=look.hatch, linewidth=0.7)


def _patch(look: Look, label: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(facecolor=look.colour, edgecolor=INK, hatch=look.hatch, label=label, linewidth=0.7)

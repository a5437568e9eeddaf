"""What checkpoints cost, on a page: memory as columns of the full table, and the small table of what training took."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from pytest_ftbench.analysis import PEAKS, Cost, FullTable, TableBlock, leanest, number
from pytest_ftbench.grid import CheckpointKey
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.layout import Column, Group, Section, Sheet, Style, Text
from pytest_ftbench.report.words import ABSENT, BEST, aligned, clean, count, elided

COST_TITLE = "Cost of training"
PEAK_HEADINGS = ("Train res", "Train all", "Eval res", "Eval all")
SHORT_PEAK_HEADINGS = ("Tr res", "Tr all", "Ev res", "Ev all")

_QUANTIZATION_ROOM = 7
_DTYPE_ROOM = 30
_MIB_PER_GIB = 1024
_BYTES_PER_MIB = 2**20

_PEAKS = (
    "Memory GiB: peaks of torch's allocator, in training under the declared recipe and in answering at batch 1, there "
    "the largest over the row's tasks. all: allocated; res: reserved, which includes what the allocator keeps. "
    "The lowest is best where rows are of one dtype, but for a quantization that they name, and were tested on the "
    "same tasks."
)
_COLUMNS = (
    "Trainable: the parameters that were trained. Checkpoint: what is saved, an adapter or the weights; Merged: the "
    "whole model with it merged in, computed. Train s: seconds of training, without saving and testing."
)
_PROCESS = (
    "Process MiB: what the process took in training: on CUDA what it held of the device at the end, as the driver has "
    "it; on a CPU by how much its resident set grew over its level with the libraries imported, first uses included."
)
_BASE_IN = "Base in: what the base was quantized to while it was trained."
_ADAPTERS = {
    "unmerged": "Evaluated unmerged, so slower per token than merged",
    "requantized": "Merged, then quantized again",
}

Costs = Mapping[CheckpointKey, Cost]


def memory_group(table: FullTable, costs: Costs, headings: Sequence[str]) -> Group | None:
    """The peaks of each row, the lowest of a block marked; None where nobody knows one."""
    keys = [row.key for row in table.rows]
    if not any(costs[key].peaks_gib for key in keys):
        return None
    columns = []
    for heading, peak in zip(headings, PEAKS, strict=True):
        lowest = {key for block in table.blocks for key in leanest(block, costs, peak)}
        texts = aligned([costs[key].peaks_gib.get(peak) for key in keys], digits=4, room=6)
        columns.append(Column(heading, [_peak_text(t, key in lowest) for key, t in zip(keys, texts, strict=True)]))
    return Group("Memory GiB ↓", columns)


def cost_sheet(table: FullTable, costs: Costs, names: Names) -> Sheet | None:
    """What every training took, a row each; None where nothing is known of any."""
    blocks = [block for block in table.blocks if block.train_task is not None]
    trainings = [_trainings(block, costs) for block in blocks]
    keys = [key for block in trainings for key in block]
    trained = [cost for block in trainings for cost in block.values()]
    if not any(cost.is_known for cost in trained):
        return None
    labels = [names.model(keys), *names.way(keys)]
    if _any(trained, lambda cost: cost.quantization):
        labels.append(Column("Base in", [Text(_quantization(cost)) for cost in trained], words=True))
    sections = [Section(clean(block.heading), len(mine)) for block, mine in zip(blocks, trainings, strict=True)]
    return Sheet(Group("", labels), list(_groups(trained)), sections)


def _trainings(block: TableBlock, costs: Costs) -> dict[CheckpointKey, Cost]:
    """The trainings of a block: one, however its weights are quantized to answer."""
    found: dict[CheckpointKey, Cost] = {}
    for row in block.rows:
        key = row.key._replace(quantization=None)
        if key not in found or not found[key].is_known:
            found[key] = costs[row.key]
    return found


def memory_notes(costs: Costs, names: Names) -> Iterator[str]:
    """What the memory columns are, and what keeps rows of the full table from being compared."""
    if any(cost.peaks_gib for cost in costs.values()):
        yield _PEAKS
    trained = _by_dtype(costs, lambda cost: cost.train_dtypes)
    evaluated = _by_dtype(costs, lambda cost: cost.eval_dtypes)
    for verb, by_dtype in (("Trained", trained), ("Evaluated", evaluated)):
        if len({dtype for dtypes in by_dtype for dtype in dtypes}) > 1:
            said = "; ".join(f"{_dtypes(dtypes)}: {names.listed(keys)}" for dtypes, keys in by_dtype.items())
            yield f"{verb} in different dtypes, between which memory does not compare: {said}."
    for way, text in _ADAPTERS.items():
        if keys := {key for key, cost in costs.items() if way in cost.adapters}:
            yield f"{text}: {names.listed(keys)}."


def cost_notes(table: FullTable, costs: Costs) -> Iterator[str]:
    """What the columns of the cost table are."""
    trained = [costs[row.key] for row in table.rows if row.key.train_task is not None]
    yield _COLUMNS
    if _any(trained, lambda cost: cost.train_process_gib):
        yield _PROCESS
    if _any(trained, lambda cost: cost.quantization):
        yield _BASE_IN


def _groups(costs: Sequence[Cost]) -> Iterator[Group]:
    def column(heading: str, read: Callable[[Cost], float | None], room: int = 6) -> Column:
        return Column(heading, [Text(text) for text in aligned([read(cost) for cost in costs], 3, room)])

    trainable = Column("Trainable", [Text(count(cost.trainable_params)) for cost in costs])
    yield Group("Parameters", [trainable, column("of all %", lambda cost: cost.trained_percent)])
    sizes = [
        column("Checkpoint", lambda cost: _times(cost.checkpoint_bytes, 1 / _BYTES_PER_MIB)),
        column("Merged", lambda cost: _times(cost.merged_bytes, 1 / _BYTES_PER_MIB)),
    ]
    yield Group("Size MiB", sizes)
    yield Group("", [column("Train s", lambda cost: cost.train_s)])
    if _any(costs, lambda cost: cost.train_process_gib):
        yield Group("", [column("Process MiB", lambda cost: _times(cost.train_process_gib, _MIB_PER_GIB), room=5)])


def _any(costs: Sequence[Cost], read: Callable[[Cost], object]) -> bool:
    return any(read(cost) is not None for cost in costs)


def _times(value: float | None, factor: float) -> float | None:
    """The value in another unit; one that no float holds there is unknown."""
    return None if value is None else number(value * factor)


def _peak_text(text: str, lowest: bool) -> Text:
    return Text(text, BEST, Style.STRONG) if lowest else Text(text)


def _quantization(cost: Cost) -> str:
    return ABSENT if cost.quantization is None else elided(clean(cost.quantization), _QUANTIZATION_ROOM)


def _by_dtype(costs: Costs, read: Callable[[Cost], tuple[str, ...]]) -> dict[tuple[str, ...], set[CheckpointKey]]:
    """The checkpoints by what dtypes their cells name, without those that name none."""
    found: dict[tuple[str, ...], set[CheckpointKey]] = {}
    for key, cost in costs.items():
        if read(cost):
            found.setdefault(read(cost), set()).add(key)
    return found


def _dtypes(dtypes: Sequence[str]) -> str:
    return elided(clean(" and ".join(dtypes)), _DTYPE_ROOM)

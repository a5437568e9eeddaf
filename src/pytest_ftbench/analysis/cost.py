"""What each checkpoint costs: the memory of its training and answering, its size, its time; and which memory is lowest.

A training is told in the record of every cell that was tested on it; here it is told once for each checkpoint.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_ftbench.analysis.metrics import above_zero, not_negative
from pytest_ftbench.analysis.table import TableBlock, checkpoint_key
from pytest_ftbench.analysis.validity import Standing
from pytest_ftbench.grid import CellRecord, CheckpointKey

PEAKS = ("train_reserved", "train_allocated", "eval_reserved", "eval_allocated")
"""The peaks of torch's allocator, by their keys in a record, in the order of the third study's table."""


@dataclass(frozen=True)
class Cost:
    """What one checkpoint took, as its measured cells tell it. None is unknown, and so is what a collection lacks.

    ``peaks_gib`` are by the names in :data:`PEAKS`, those of answering the largest over ``peak_tasks``. The process's
    own share is NVML's figure on CUDA; on a CPU it is by how much the resident set grew. ``checkpoint_bytes`` is what
    is saved, an adapter or the weights; ``merged_bytes`` the whole model with it merged in. ``quantization`` is what
    the base was in while it was trained. Dtypes are all that its cells name, but for a quantization that they declare;
    ``adapters`` are the ways it was evaluated.
    """

    peaks_gib: Mapping[str, float]
    peak_tasks: frozenset[str] = frozenset()
    train_process_gib: float | None = None
    trainable_params: float | None = None
    total_params: float | None = None
    train_s: float | None = None
    checkpoint_bytes: float | None = None
    merged_bytes: float | None = None
    quantization: str | None = None
    train_dtypes: tuple[str, ...] = ()
    eval_dtypes: tuple[str, ...] = ()
    adapters: frozenset[str] = frozenset()

    @property
    def trained_percent(self) -> float | None:
        """The share of all parameters that was trained; a part that is more than the whole is none."""
        if self.trainable_params is None or self.total_params is None or self.trainable_params > self.total_params:
            return None
        return 100 * (self.trainable_params / self.total_params)

    @property
    def is_known(self) -> bool:
        """Whether anything is known beyond what the full table tells."""
        told = (self.trainable_params, self.total_params, self.train_s, self.checkpoint_bytes, self.merged_bytes)
        return any(value is not None for value in (*told, self.train_process_gib, self.quantization))


def checkpoint_costs(records: Sequence[CellRecord]) -> dict[CheckpointKey, Cost]:
    """The cost of every checkpoint of these records; of one that no cell was measured on, nothing is known."""
    measured: dict[CheckpointKey, list[CellRecord]] = {}
    for record in records:
        mine = measured.setdefault(checkpoint_key(record), [])
        if record.ok:
            mine.append(record)
    return {key: _cost(mine) for key, mine in measured.items()}


def leanest(block: TableBlock, costs: Mapping[CheckpointKey, Cost], peak: str) -> set[CheckpointKey]:
    """The rows of a block whose ``peak`` is lowest; none where they can't be compared, or none takes more.

    A row is ranked where one of its cells may be: what answers nothing wins nothing by being small. Peaks that agree in
    four digits are equal: what lies between them is an answer's length, or how the allocator rounds.
    """
    valid = [row.key for row in block.rows if any(cell.standing is Standing.OK for cell in row.cells.values())]
    ranked = {key: float(f"{costs[key].peaks_gib[peak]:.4g}") for key in valid if peak in costs[key].peaks_gib}
    if not _comparable([costs[key] for key in ranked], training=peak.startswith("train")):
        return set()
    least = min(ranked.values(), default=None)
    lowest = {key for key, value in ranked.items() if value == least}
    return lowest if len(lowest) < len(ranked) else set()


def _comparable(costs: Sequence[Cost], training: bool) -> bool:
    """Whether these peaks are of like things: one dtype and, in answering, the largest over one set of tasks.

    An unknown dtype is no difference.
    """
    dtypes = {dtype for cost in costs for dtype in (cost.train_dtypes if training else cost.eval_dtypes)}
    return len(dtypes) < 2 and (training or len({cost.peak_tasks for cost in costs}) < 2)


def _cost(records: Sequence[CellRecord]) -> Cost:
    """The cost of one checkpoint from the records of its measured cells."""
    trainings = [record.train or {} for record in records]
    peaks = {peak: _largest(above_zero(record.memory_gib.get(peak)) for record in records) for peak in PEAKS}
    return Cost(
        peaks_gib={peak: value for peak, value in peaks.items() if value is not None},
        peak_tasks=frozenset(record.eval_task for record in records if _has_eval_peak(record)),
        train_process_gib=_largest(not_negative(record.memory_gib.get("train_process")) for record in records),
        trainable_params=_first(trainings, "trainable_params"),
        total_params=_first(trainings, "total_params"),
        train_s=_first(trainings, "seconds"),
        checkpoint_bytes=_first(trainings, "checkpoint_bytes"),
        merged_bytes=_first(trainings, "merged_bytes"),
        quantization=next(iter(_texts(training.get("quantization") for training in trainings)), None),
        train_dtypes=_texts(_undeclared(_trained_in(each), each.get("quantization")) for each in trainings),
        eval_dtypes=_texts(_undeclared(record.eval_dtype, record.quantization) for record in records),
        adapters=frozenset(_texts(record.provenance("adapter") for record in records)),
    )


def _trained_in(training: Mapping[str, Any]) -> object:
    """The dtype of the weights that an adapter stands beside, where it is told apart: adapters are small."""
    return training.get("base_dtype") or training.get("dtype")


def _undeclared(dtype: object, quantization: object) -> object:
    """A dtype without the quantization that its row declares: that is what is compared, not a difference unsaid."""
    if not isinstance(dtype, str) or not isinstance(quantization, str):
        return dtype
    return "+".join(part for part in dtype.split("+") if part != quantization)


def _has_eval_peak(record: CellRecord) -> bool:
    return any(above_zero(record.memory_gib.get(peak)) is not None for peak in PEAKS if peak.startswith("eval"))


def _first(trainings: Iterable[Mapping[str, Any]], key: str) -> float | None:
    """What the first record that knows it says of the training."""
    return next((value for each in trainings if (value := above_zero(each.get(key))) is not None), None)


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _texts(values: Iterable[object]) -> tuple[str, ...]:
    """The distinct texts among the values, sorted; whatever else there is counts as unknown."""
    return tuple(sorted({value for value in values if isinstance(value, str) and value}))

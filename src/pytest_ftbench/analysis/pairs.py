"""Which cells are compared: a tuned one with the untuned model, an adapter with full fine-tuning on the same task."""

from collections.abc import Iterator, Sequence
from typing import Any

from pytest_ftbench.analysis.table import checkpoint_key, in_reading_order
from pytest_ftbench.grid import CellRecord, CheckpointKey

BASE, FULL = "base", "nopeft"
"""The references: the untuned model, and full fine-tuning."""


def comparison_count(records: Sequence[CellRecord]) -> int:
    """How many comparisons in-domain these records would have, were all items there: the size of that family."""
    return sum(record.train_task == record.eval_task for record, _, _ in compared(records))


def compared(records: Sequence[CellRecord]) -> Iterator[tuple[CellRecord, str, CellRecord]]:
    """Every tuned cell with what it is compared with: the untuned model, and full fine-tuning on the same task."""
    measured = [record for record in records if record.ok]
    bases: dict[Any, CellRecord] = {}
    fully: dict[Any, CellRecord] = {}
    for record in measured:
        if record.train_task is None:
            bases.setdefault((record.model, record.quantization, record.eval_task), record)
        elif record.method == FULL:
            key = (record.model, record.quantization, record.train_task, record.eval_task, record.seed)
            fully.setdefault(key, record)
    tuned: dict[CheckpointKey, list[CellRecord]] = {}
    for record in measured:
        if record.train_task is not None:
            tuned.setdefault(checkpoint_key(record), []).append(record)
    for record in (record for key in in_reading_order(tuned) for record in tuned[key]):
        where = (record.model, record.quantization)
        base = bases.get((*where, record.eval_task))
        full = fully.get((*where, record.train_task, record.eval_task, record.seed))
        yield from ((record, BASE, base),) if base is not None else ()
        yield from ((record, FULL, full),) if full is not None and record.method != FULL else ()

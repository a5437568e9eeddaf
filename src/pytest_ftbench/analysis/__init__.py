"""Analysis: records in, findings out. No torch, no pytest."""

from pytest_ftbench.analysis.metrics import EvalTask, Trivial, eval_task, number, task_label
from pytest_ftbench.analysis.table import (
    BASE_HEADING,
    FullTable,
    TableBlock,
    TableCell,
    TableRow,
    checkpoint_key,
    eval_tasks,
    full_table,
    in_reading_order,
)
from pytest_ftbench.analysis.transfer import BaseScore, TransferEntry, TransferMatrix, transfer_matrices
from pytest_ftbench.analysis.validity import UNMEASURED, Standing, best_trivial, standing, trivial_scores

__all__ = [
    "BASE_HEADING",
    "UNMEASURED",
    "BaseScore",
    "EvalTask",
    "FullTable",
    "Standing",
    "TableBlock",
    "TableCell",
    "TableRow",
    "TransferEntry",
    "TransferMatrix",
    "Trivial",
    "best_trivial",
    "checkpoint_key",
    "eval_task",
    "eval_tasks",
    "full_table",
    "in_reading_order",
    "number",
    "standing",
    "task_label",
    "transfer_matrices",
    "trivial_scores",
]

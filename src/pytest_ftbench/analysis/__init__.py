"""Analysis: records in, findings out. No torch, no pytest."""

from pytest_ftbench.analysis.compare import KINDS, Change, Comparison, Delta, Measure, compare
from pytest_ftbench.analysis.cost import PEAKS, Cost, checkpoint_costs, leanest
from pytest_ftbench.analysis.curves import (
    UNTUNED,
    CurveGroup,
    CurvePoint,
    LearningCurve,
    curve_epochs,
    learning_curves,
    training_curves,
)
from pytest_ftbench.analysis.latency import Latency, LatencyBlock, LatencyRow, latencies
from pytest_ftbench.analysis.limits import Breach, Limit, broken, parse_limit
from pytest_ftbench.analysis.metrics import EvalTask, Trivial, eval_task, number, task_label
from pytest_ftbench.analysis.refusals import Reason, Refusal
from pytest_ftbench.analysis.sweeps import RateSweep, RateTrial, rate_sweeps, swept_rates
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
    "KINDS",
    "PEAKS",
    "UNMEASURED",
    "UNTUNED",
    "BaseScore",
    "Breach",
    "Change",
    "Comparison",
    "Cost",
    "CurveGroup",
    "CurvePoint",
    "Delta",
    "EvalTask",
    "FullTable",
    "Latency",
    "LatencyBlock",
    "LatencyRow",
    "LearningCurve",
    "Limit",
    "Measure",
    "RateSweep",
    "RateTrial",
    "Reason",
    "Refusal",
    "Standing",
    "TableBlock",
    "TableCell",
    "TableRow",
    "TransferEntry",
    "TransferMatrix",
    "Trivial",
    "best_trivial",
    "broken",
    "checkpoint_costs",
    "checkpoint_key",
    "compare",
    "curve_epochs",
    "eval_task",
    "eval_tasks",
    "full_table",
    "in_reading_order",
    "latencies",
    "leanest",
    "learning_curves",
    "number",
    "parse_limit",
    "rate_sweeps",
    "standing",
    "swept_rates",
    "task_label",
    "training_curves",
    "transfer_matrices",
    "trivial_scores",
]

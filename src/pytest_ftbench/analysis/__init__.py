"""Analysis: records in, findings out. No torch, no pytest."""

from pytest_ftbench.analysis.answers import Answer, AnswerTable, Entry
from pytest_ftbench.analysis.case import Finding
from pytest_ftbench.analysis.compare import KINDS, Change, Comparison, Delta, Measure, compare
from pytest_ftbench.analysis.correlations import Coefficient, Correlation, correlate, rank_correlations
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
from pytest_ftbench.analysis.detectable import detectable_differences
from pytest_ftbench.analysis.evidence import Evidence
from pytest_ftbench.analysis.flags import CHECKS, TRAINING, Check, flags, pooled_flags, set_flags
from pytest_ftbench.analysis.gate_verdict import Kind, Outcome, Verdict
from pytest_ftbench.analysis.gate_words import message
from pytest_ftbench.analysis.gates import judge, judge_again
from pytest_ftbench.analysis.intervals import (
    ALPHA,
    AT_MOST,
    Interval,
    Quartiles,
    difference_quartiles,
    score_interval,
)
from pytest_ftbench.analysis.latency import Latency, LatencyBlock, LatencyRow, latencies
from pytest_ftbench.analysis.limits import Breach, Limit, broken, parse_limit
from pytest_ftbench.analysis.metrics import EvalTask, Trivial, eval_task, number, task_label, with_known_headline
from pytest_ftbench.analysis.paired import WinsTiesLosses
from pytest_ftbench.analysis.pairs import BASE, FULL
from pytest_ftbench.analysis.pooling import PooledRecord, pooled, seeds_of
from pytest_ftbench.analysis.power import Detectable
from pytest_ftbench.analysis.questions import ANSWERED_BY, answers
from pytest_ftbench.analysis.ranking import (
    Gap,
    Place,
    Ranking,
    Reordering,
    counterparts,
    rankings,
    reorderings,
    unlike_items,
)
from pytest_ftbench.analysis.refusals import Reason, Refusal
from pytest_ftbench.analysis.spread import SeedBlock, SeedScore, SeedSpread, SeedTable, seed_table
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
from pytest_ftbench.analysis.trivial import KnownTrivial, known_trivial
from pytest_ftbench.analysis.validity import (
    UNMEASURED,
    Standing,
    answerer,
    best_trivial,
    standing,
    trivial_scores,
    unreadable_seeds,
)
from pytest_ftbench.analysis.versus import Contrast, contrasts

__all__ = [
    "ALPHA",
    "ANSWERED_BY",
    "AT_MOST",
    "BASE",
    "BASE_HEADING",
    "CHECKS",
    "FULL",
    "KINDS",
    "PEAKS",
    "TRAINING",
    "UNMEASURED",
    "UNTUNED",
    "Answer",
    "AnswerTable",
    "BaseScore",
    "Breach",
    "Change",
    "Check",
    "Coefficient",
    "Comparison",
    "Contrast",
    "Correlation",
    "Cost",
    "CurveGroup",
    "CurvePoint",
    "Delta",
    "Detectable",
    "Entry",
    "EvalTask",
    "Evidence",
    "Finding",
    "FullTable",
    "Gap",
    "Interval",
    "Kind",
    "KnownTrivial",
    "Latency",
    "LatencyBlock",
    "LatencyRow",
    "LearningCurve",
    "Limit",
    "Measure",
    "Outcome",
    "Place",
    "PooledRecord",
    "Quartiles",
    "Ranking",
    "RateSweep",
    "RateTrial",
    "Reason",
    "Refusal",
    "Reordering",
    "SeedBlock",
    "SeedScore",
    "SeedSpread",
    "SeedTable",
    "Standing",
    "TableBlock",
    "TableCell",
    "TableRow",
    "TransferEntry",
    "TransferMatrix",
    "Trivial",
    "Verdict",
    "WinsTiesLosses",
    "answerer",
    "answers",
    "best_trivial",
    "broken",
    "checkpoint_costs",
    "checkpoint_key",
    "compare",
    "contrasts",
    "correlate",
    "counterparts",
    "curve_epochs",
    "detectable_differences",
    "difference_quartiles",
    "eval_task",
    "eval_tasks",
    "flags",
    "full_table",
    "in_reading_order",
    "judge",
    "judge_again",
    "known_trivial",
    "latencies",
    "leanest",
    "learning_curves",
    "message",
    "number",
    "parse_limit",
    "pooled",
    "pooled_flags",
    "rank_correlations",
    "rankings",
    "rate_sweeps",
    "reorderings",
    "score_interval",
    "seed_table",
    "seeds_of",
    "set_flags",
    "standing",
    "swept_rates",
    "task_label",
    "training_curves",
    "transfer_matrices",
    "trivial_scores",
    "unlike_items",
    "unreadable_seeds",
    "with_known_headline",
]

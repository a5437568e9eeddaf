"""The grid: cells and their ids, suites, methods, recipes, records. Standard library only."""

from pytest_ftbench.grid.baseline import Acceptance, acceptance, baseline_of, baseline_text
from pytest_ftbench.grid.cell import Cell, CheckpointKey, format_cell, model_name, parse_cell
from pytest_ftbench.grid.errors import UserError, first_line, printable, suggestion
from pytest_ftbench.grid.failures import (
    KILLED,
    DivergedError,
    FailedBeforeError,
    Failure,
    KilledError,
    ShortageError,
    release,
)
from pytest_ftbench.grid.gate_table import GateTable
from pytest_ftbench.grid.gates import METRICS as GATE_METRICS
from pytest_ftbench.grid.gates import Gate, GateMetric, GateRule
from pytest_ftbench.grid.methods import (
    ATTENTION,
    METHODS,
    MULTIPLE_OF_RANK,
    PROMPTS,
    Method,
    may_follow_rank,
    method_label,
)
from pytest_ftbench.grid.questions import QUESTIONS, STUDIES
from pytest_ftbench.grid.recipe import RECIPES, TUNED, Recipe
from pytest_ftbench.grid.records import CellRecord, Results, plain, read_results
from pytest_ftbench.grid.schema import SCHEMA
from pytest_ftbench.grid.suite import BAG_OF_WORDS, DataSpec, EvaluationSpec, HubSource, MethodSpec, ModelSpec, Suite
from pytest_ftbench.grid.suite_file import load_suite
from pytest_ftbench.grid.sweep import Sweep, SweepSpec, Trial
from pytest_ftbench.grid.thresholds import Thresholds
from pytest_ftbench.grid.time_limit import TimedOutError, TimeUpError

__all__ = [
    "ATTENTION",
    "BAG_OF_WORDS",
    "GATE_METRICS",
    "KILLED",
    "METHODS",
    "MULTIPLE_OF_RANK",
    "PROMPTS",
    "QUESTIONS",
    "RECIPES",
    "SCHEMA",
    "STUDIES",
    "TUNED",
    "Acceptance",
    "Cell",
    "CellRecord",
    "CheckpointKey",
    "DataSpec",
    "DivergedError",
    "EvaluationSpec",
    "FailedBeforeError",
    "Failure",
    "Gate",
    "GateMetric",
    "GateRule",
    "GateTable",
    "HubSource",
    "KilledError",
    "Method",
    "MethodSpec",
    "ModelSpec",
    "Recipe",
    "Results",
    "ShortageError",
    "Suite",
    "Sweep",
    "SweepSpec",
    "Thresholds",
    "TimeUpError",
    "TimedOutError",
    "Trial",
    "UserError",
    "acceptance",
    "baseline_of",
    "baseline_text",
    "first_line",
    "format_cell",
    "load_suite",
    "may_follow_rank",
    "method_label",
    "model_name",
    "parse_cell",
    "plain",
    "printable",
    "read_results",
    "release",
    "suggestion",
]

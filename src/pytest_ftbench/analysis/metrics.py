"""What a record's numbers mean: the eval task's name for readers, its metrics, and numbers that can be trusted.

Records may come from another version or another hand: a task this version doesn't know is read by its first score,
and whatever is no finite number counts as unknown.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_ftbench.grid import CellRecord, UserError
from pytest_ftbench.tasks import Metric, get_task

Trivial = Mapping[str, Mapping[str, Mapping[str, float | None]]]
"""Scores of the trivial answerers: eval task → answerer → metric key."""

# What the studies print instead of our headline, under their heading. One wild answer can decide a mean absolute
# difference: it is there to be compared with theirs, and never ranked.
_STUDY_COLUMNS = {"openmath": Metric("abs_diff_mean", "AbsDiff", higher_is_better=False, format=",.0f")}


@dataclass(frozen=True)
class EvalTask:
    """An eval task as tables see it: ``headline`` is ranked, ``study`` (None: nothing) is the studies' own measure."""

    name: str
    label: str
    headline: Metric
    study: Metric | None = None

    def score(self, record: CellRecord) -> float | None:
        """The headline score, in the metric's own unit; None: unknown."""
        return number(record.scores.get(self.headline.key))

    def variant(self, record: CellRecord) -> float | None:
        """The studies' variant of the headline, over parsed outputs only; None: unknown."""
        return number(record.scores.get(f"{self.headline.key}_parsed_only"))

    def study_score(self, record: CellRecord) -> float | None:
        """The studies' own measure, in its own unit; None: unknown, or the task has none."""
        return None if self.study is None else number(record.scores.get(self.study.key))

    def goodness(self, score: float) -> float:
        """The score with the sign that makes more mean better."""
        return score if self.headline.higher_is_better else -score


def eval_task(name: str, records: Iterable[CellRecord] = ()) -> EvalTask:
    """The task of that name; one that this version doesn't know is read by the first score its records have."""
    try:
        task = get_task(name)
    except UserError:
        key = next((key for record in records if record.eval_task == name for key in record.scores), "score")
        return EvalTask(name, name, Metric(key, key))
    return EvalTask(name, task.label, task.headline, _STUDY_COLUMNS.get(name))


def task_label(name: str) -> str:
    """How tables call a task; an unknown name stands for itself."""
    return eval_task(name).label


def number(value: Any) -> float | None:
    """The value if it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an int beyond every float
        return None

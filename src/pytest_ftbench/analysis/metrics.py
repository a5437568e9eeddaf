"""What a record's numbers mean: the eval task's name for readers, its metrics, and numbers that can be trusted.

Records may come from another version or another hand: a task this version doesn't know is read by its first score,
and whatever is no finite number counts as unknown.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pytest_ftbench.grid import BAG_OF_WORDS, CellRecord, UserError
from pytest_ftbench.tasks import Metric, get_task

Trivial = Mapping[str, Mapping[str, Mapping[str, float | None]]]
"""Scores of the trivial answerers: eval task → answerer → metric key."""

# What the studies print instead of our headline, under their heading. One wild answer can decide a mean absolute
# difference: it is there to be compared with theirs, and never ranked.
_STUDY_COLUMNS = {"openmath": Metric("abs_diff_mean", "AbsDiff", higher_is_better=False, format=",.0f")}

# What a check judges by where the headline is missing, as in the studies' records.
_STAND_INS = {
    "arc": Metric("accuracy", "accuracy"),
    "openmath": _STUDY_COLUMNS["openmath"],
    "squad": Metric("em", "EM", format=".2f"),
}


@dataclass(frozen=True)
class EvalTask:
    """An eval task as tables see it: ``headline`` is ranked, ``study`` (None: nothing) is the studies' own measure.

    Where the headline compares texts, ``embedders`` are what its scores stand on: ``bag-of-words``, models by their
    names (None: a record doesn't say). Scores of several can't be compared.
    """

    name: str
    label: str
    headline: Metric
    study: Metric | None = None
    embedders: tuple[str | None, ...] = ()

    @property
    def comparable(self) -> bool:
        """Whether the scores of all records are on one scale."""
        return len(self.embedders) < 2

    def score(self, record: CellRecord) -> float | None:
        """The headline score, in the metric's own unit; None: unknown."""
        return number(record.scores.get(self.headline.key))

    def variant(self, record: CellRecord) -> float | None:
        """The studies' variant of the headline, over parsed outputs only; None: unknown."""
        return number(record.scores.get(f"{self.headline.key}_parsed_only"))

    def study_score(self, record: CellRecord) -> float | None:
        """The studies' own measure, in its own unit; None: unknown, or the task has none."""
        return None if self.study is None else number(record.scores.get(self.study.key))

    def study_median(self, record: CellRecord) -> float | None:
        """The median of what the studies' own measure is the mean of; None: unknown, or it is no mean."""
        if self.study is None or not self.study.key.endswith("_mean"):
            return None
        return number(record.scores.get(self.study.key.removesuffix("_mean") + "_median"))

    def judged_by(self, *records: CellRecord) -> "EvalTask":
        """The task with the metric that checks judge these records by: the headline.

        Where one of them lacks that and all have what stands in for it, it is this: the accuracy of ARC, the exact
        match of SQuAD, the studies' own measure of OpenMath.
        """
        if self.name not in _STAND_INS or all(self.score(record) is not None for record in records):
            return self
        other = replace(self, headline=_STAND_INS[self.name])
        return other if all(other.score(record) is not None for record in records) else self

    def goodness(self, score: float) -> float:
        """The score with the sign that makes more mean better."""
        return score if self.headline.higher_is_better else -score


def eval_task(name: str, records: Iterable[CellRecord] = ()) -> EvalTask:
    """The task of that name, as these records measure it.

    One that this version doesn't know is read by the first score its records have.
    """
    try:
        task = get_task(name)
    except UserError:
        key = next((key for record in records if record.eval_task == name for key in record.scores), "score")
        return EvalTask(name, name, Metric(key, key))
    measured = EvalTask(name, task.label, task.headline, _STUDY_COLUMNS.get(name))
    if not task.compares_texts:
        return measured
    scored = [record for record in records if record.eval_task == name and record.ok]
    embedders = _embedders(record for record in scored if measured.score(record) is not None)
    if embedders == (BAG_OF_WORDS,):
        # the heading says that it is no embedder's cosine, the one the studies have
        measured = replace(measured, headline=replace(task.headline, label=f"BoW {task.headline.label.lower()}"))
    return replace(measured, embedders=embedders)


def with_known_headline(task: EvalTask, records: Iterable[CellRecord]) -> EvalTask:
    """The task; where no record has its macro F1, as those of the studies haven't, with the accuracy instead."""
    mine = [record for record in records if record.ok and record.eval_task == task.name]
    if task.headline.key != "macro_f1" or any(task.score(record) is not None for record in mine):
        return task
    return replace(task, headline=replace(task.headline, key="accuracy", label="Accuracy"))


def embedder_key(record: CellRecord) -> str | None:
    """What tells a record's embedder from others: the digest of its files, else its name; None: unknown."""
    return record.provenance("embedder_fingerprint") or record.provenance("embedder")


def _embedders(records: Iterable[CellRecord]) -> tuple[str | None, ...]:
    """The names of the embedders in these records; those of one name are told apart by their digests."""
    names = {embedder_key(record): record.provenance("embedder") for record in records}
    listed = list(names.values())
    return tuple(f"{name} ({key:.8})" if name and listed.count(name) > 1 else name for key, name in names.items())


def task_label(name: str) -> str:
    """How tables call a task; an unknown name stands for itself."""
    return eval_task(name).label


def number(value: Any) -> float | None:
    """The value if it is a finite number, else None."""
    if type(value) is float:  # as most are, of hundreds of thousands in a large study
        return value if math.isfinite(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an int beyond every float
        return None


def above_zero(value: Any) -> float | None:
    """A size or a duration; what is none is unknown."""
    known = number(value)
    return known if known is not None and known > 0 else None


def not_negative(value: Any) -> float | None:
    """A growth, which may be none at all; what is no growth is unknown."""
    known = number(value)
    return known if known is not None and known >= 0 else None


def item_count(record: CellRecord) -> int | None:
    """On how many items a score stands; None: unknown."""
    n = number(record.n)
    return int(n) if n is not None and 1 <= n <= 1e9 else None

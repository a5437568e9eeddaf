"""What training on one task does to another: change against the same model's untuned cell, per way of tuning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_ftbench.analysis.differences import difference_interval
from pytest_ftbench.analysis.evidence import Evidence
from pytest_ftbench.analysis.intervals import Interval
from pytest_ftbench.analysis.metrics import EvalTask, Trivial, embedder_key, number
from pytest_ftbench.analysis.table import checkpoint_key, eval_tasks, in_reading_order
from pytest_ftbench.analysis.validity import Standing, standing
from pytest_ftbench.grid import CellRecord, CheckpointKey


@dataclass(frozen=True)
class BaseScore:
    """An untuned model on one eval task: its headline score (None: unknown), its standing, its embedder, its record."""

    score: float | None
    standing: Standing
    embedder: str | None = None
    record: CellRecord | None = None


@dataclass(frozen=True)
class TransferEntry:
    """One train task × eval task: the relative change of the headline score in percent, + meaning better.

    Where there is none, ``reason`` says why: ``failed``, ``skipped``, ``null`` (no score), ``no base``,
    ``base failed``, ``base null``, ``base 0``, ``embedder`` (another than the base's). ``interval`` is that of the
    difference, by itself; None: nobody knows one.
    """

    change_percent: float | None
    standing: Standing
    in_domain: bool
    reason: str = ""
    interval: Interval | None = None

    @property
    def is_noise(self) -> bool:
        """Whether the interval of the difference includes zero."""
        return self.interval is not None and self.interval.includes_zero

    @property
    def is_unsure(self) -> bool:
        """Whether nobody can say how sure a change is."""
        return self.change_percent is not None and self.interval is None

    @property
    def improves(self) -> bool:
        """Whether it counts as an improvement: better than base beyond known noise, a cell that may be compared."""
        better = self.change_percent is not None and self.change_percent > 0
        return better and not (self.is_noise or self.is_unsure) and self.standing is Standing.OK


@dataclass(frozen=True)
class TransferMatrix:
    """One way of tuning one model: ``entries`` by (train task, eval task), ``base`` by eval task.

    ``way`` is the checkpoints' common key, without a train task.
    """

    way: CheckpointKey
    tasks: tuple[EvalTask, ...]
    train_tasks: tuple[str, ...]
    entries: Mapping[tuple[str, str], TransferEntry]
    base: Mapping[str, BaseScore]


def transfer_matrices(
    records: Sequence[CellRecord], trivial: Trivial, evidence: Evidence | None = None
) -> list[TransferMatrix]:
    """The transfer matrix of every model, method, rank, quantization and seed that was tuned.

    ``evidence`` saves resampling again what was resampled before.
    """
    evidence = evidence or Evidence.of(records)
    tasks = eval_tasks(records)
    # under the same quantization: otherwise a change would be of two things at once
    bases: dict[tuple[str, str | None], dict[str, BaseScore]] = {}
    tuned: dict[CheckpointKey, list[CellRecord]] = {}
    for record in records:
        task = tasks[record.eval_task]
        if record.train_task is not None:
            tuned.setdefault(checkpoint_key(record)._replace(train_task=None), []).append(record)
        else:
            score = task.score(record) if record.ok else None
            base = BaseScore(score, standing(record, trivial, task), embedder_key(record), record)
            bases.setdefault((record.model, record.quantization), {})[record.eval_task] = base
    trained = tuple(dict.fromkeys(record.train_task for record in records if record.train_task is not None))
    return [
        _matrix(way, tuned[way], trained, tasks, bases.get((way.model, way.quantization), {}), trivial, evidence)
        for way in in_reading_order(tuned)
    ]


def _matrix(
    way: CheckpointKey,
    records: Sequence[CellRecord],
    trained: Sequence[str],
    tasks: Mapping[str, EvalTask],
    base: Mapping[str, BaseScore],
    trivial: Trivial,
    evidence: Evidence,
) -> TransferMatrix:
    entries = {
        (record.train_task or "", record.eval_task): _entry(
            record, tasks[record.eval_task], base.get(record.eval_task), trivial, evidence
        )
        for record in records
    }
    mine = {train for train, _ in entries}
    return TransferMatrix(way, tuple(tasks.values()), tuple(task for task in trained if task in mine), entries, base)


def _entry(
    record: CellRecord, task: EvalTask, base: BaseScore | None, trivial: Trivial, evidence: Evidence
) -> TransferEntry:
    stands = standing(record, trivial, task)
    in_domain = record.train_task == record.eval_task
    reason = _obstacle(record, task, base)
    if reason or base is None or base.score is None:
        return TransferEntry(None, stands, in_domain, reason)
    score = task.score(record) or 0.0
    # over the absolute base: a score such as a cosine may be negative, and up is better there as well
    change = number(100 * (task.goodness(score) - task.goodness(base.score)) / abs(base.score))
    if change is None:
        return TransferEntry(None, stands, in_domain, "base 0")
    interval = None if base.record is None else difference_interval(record, base.record, task, evidence)
    return TransferEntry(change, stands, in_domain, interval=interval)


def _obstacle(record: CellRecord, task: EvalTask, base: BaseScore | None) -> str:
    """Why there is no relative change, as a short code; empty: nothing stands against it."""
    if not record.ok:
        return "skipped" if record.status == "skipped" else "failed"
    if task.score(record) is None:
        return "null"
    if base is None or base.standing is Standing.SKIPPED:
        return "no base"
    if base.standing is Standing.FAILED:
        return "base failed"
    if base.score is None:
        return "base null"
    if base.score == 0:
        return "base 0"
    if not task.comparable and base.embedder != embedder_key(record):
        return "embedder"
    return "base INVALID" if base.standing is Standing.INVALID else ""

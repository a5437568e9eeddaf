"""What has changed since a stored run: cell by cell score, time per token, tokens and memory, where like meets like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pytest_ftbench.analysis import refusals
from pytest_ftbench.analysis.metrics import EvalTask, Trivial, above_zero, not_negative, number
from pytest_ftbench.analysis.refusals import Reason, Refusal, is_silent, refusal
from pytest_ftbench.analysis.table import checkpoint_key, eval_tasks, ms_per_token
from pytest_ftbench.analysis.validity import Standing, standing
from pytest_ftbench.grid import CellRecord, CheckpointKey

KINDS: Mapping[str, str] = {
    "allocated": "what torch's allocator had allocated",
    "reserved": "what torch's allocator kept reserved",
    "process": "what the process took",
}
"""What a memory's peak may be of, the most telling first."""


class Measure(StrEnum):
    """What is compared: the headline score, milliseconds per token, mean tokens of all answers, peaks in GiB."""

    SCORE = "score"
    MS_PER_TOKEN = "ms_per_token"
    TOKENS = "tokens"
    TRAIN_MEMORY = "train_memory"
    EVAL_MEMORY = "eval_memory"


@dataclass(frozen=True)
class Delta:
    """A number of one cell in both runs, in its measure's unit (a score's is its metric's); None is unknown.

    With a ``refusal`` the two are not compared. ``kind`` is what a memory is of, where both runs know the same.
    """

    then: float | None
    now: float | None
    refusal: Refusal | None = None
    higher_is_better: bool = False
    kind: str | None = None

    @property
    def change(self) -> float | None:
        """Now less then; None where it is unknown or refused."""
        if self.refusal is not None or self.then is None or self.now is None:
            return None
        return number(self.now - self.then)

    @property
    def percent(self) -> float | None:
        """The change in percent of then; None where there is none, or it is a change from 0."""
        if self.change is None or (self.then == 0 and self.change):
            return None
        # in this order, for a hundred times the largest of floats is none
        return number(self.change / abs(self.then) * 100) if self.then else 0.0

    @property
    def worse_by(self) -> float | None:
        """The change with the sign that makes more mean worse."""
        return self.change if self.change is None or not self.higher_is_better else 0.0 - self.change


@dataclass(frozen=True)
class Change:
    """A cell that was measured in both runs. ``deltas`` has an entry for every :class:`Measure`.

    Where the scores may not be compared, ``standing_then`` knows only whether the outputs could be read: the trivial
    answerers are known for this run's items alone.
    """

    id: str
    key: CheckpointKey
    task: EvalTask
    standing_then: Standing
    standing_now: Standing
    deltas: Mapping[Measure, Delta]


@dataclass(frozen=True)
class Comparison:
    """A run against a stored one; ids in the order of their records.

    ``absent_then`` were measured now and not in the stored run. Of what that has measured, ``absent_now`` were not run
    now, and ``failed_now`` failed. ``silent_then`` are changes whose stored record has no provenance: in what only that
    tells, they count as measured alike.
    """

    changes: tuple[Change, ...]
    absent_then: tuple[str, ...] = ()
    absent_now: tuple[str, ...] = ()
    failed_now: tuple[str, ...] = ()
    silent_then: tuple[str, ...] = ()


def compare(now: Sequence[CellRecord], then: Sequence[CellRecord], trivial: Trivial) -> Comparison:
    """What has changed from the records of ``then`` to those of ``now``, cells matched by their ids.

    ``trivial`` are this run's trivial answerers. Of records that share an id the last one counts.
    """
    before, after = ({record.id: record for record in records} for records in (then, now))
    measured = {name: record for name, record in before.items() if record.ok}
    tasks = eval_tasks(now)
    both = [(measured[name], record) for name, record in after.items() if record.ok and name in measured]
    return Comparison(
        changes=tuple(_change(first, second, trivial, tasks[second.eval_task]) for first, second in both),
        absent_then=tuple(name for name, record in after.items() if record.ok and name not in measured),
        absent_now=tuple(name for name in measured if name not in after or after[name].status == "skipped"),
        failed_now=tuple(name for name in measured if name in after and after[name].status not in ("ok", "skipped")),
        silent_then=tuple(first.id for first, _ in both if is_silent(first)),
    )


def _change(then: CellRecord, now: CellRecord, trivial: Trivial, task: EvalTask) -> Change:
    score = _score(then, now, task)
    return Change(
        id=now.id,
        key=checkpoint_key(now),
        task=task,
        standing_then=standing(then, trivial if score.refusal is None else {}, task),
        standing_now=standing(now, trivial, task),
        deltas={
            Measure.SCORE: score,
            Measure.MS_PER_TOKEN: _speed(then, now),
            Measure.TOKENS: _delta(
                number(then.output_tokens.get("mean")),
                number(now.output_tokens.get("mean")),
                refusal(refusals.TOKENS, then, now),
            ),
            Measure.TRAIN_MEMORY: _memory("train", then, now, refusal(refusals.TRAIN_MEMORY, then, now)),
            Measure.EVAL_MEMORY: _memory("eval", then, now, refusal(refusals.EVAL_MEMORY, then, now)),
        },
    )


def _delta(
    then: float | None, now: float | None, why: Refusal | None, higher: bool = False, kind: str | None = None
) -> Delta:
    """The numbers of both runs; where one is unknown there is nothing to refuse."""
    return Delta(then, now, None if then is None or now is None else why, higher, kind)


def _score(then: CellRecord, now: CellRecord, task: EvalTask) -> Delta:
    # a task that compares texts has embedders as soon as one of its scores is known
    facts = refusals.SCORE if task.embedders else refusals.TOKENS
    return _delta(task.score(then), task.score(now), refusal(facts, then, now), task.headline.higher_is_better)


def _speed(then: CellRecord, now: CellRecord) -> Delta:
    return _delta(ms_per_token(then), ms_per_token(now), refusal(refusals.LATENCY, then, now))


def _memory(phase: str, then: CellRecord, now: CellRecord, why: Refusal | None) -> Delta:
    """The peaks of the first kind that both runs know, GiB; those of different kinds are not compared."""
    return memory_delta(known_peaks(phase, then), known_peaks(phase, now), why)


def memory_delta(before: Mapping[str, float], after: Mapping[str, float], why: Refusal | None) -> Delta:
    """Two runs' peaks by kind, compared in the first kind that both know; where there is none, that is a refusal."""
    for kind in KINDS:
        if kind in before and kind in after:
            return _delta(before[kind], after[kind], why, kind=kind)
    first, second = next(iter(before), ""), next(iter(after), "")
    unlike = Refusal(Reason.KIND, KINDS[first], KINDS[second]) if first and second else None
    return _delta(before.get(first), after.get(second), why or unlike)


def known_peaks(phase: str, record: CellRecord) -> dict[str, float]:
    """The known peaks of a phase by kind; a process may not have grown, and an allocator always does."""
    read = {kind: not_negative if kind == "process" else above_zero for kind in KINDS}
    peaks = {kind: read[kind](record.memory_gib.get(f"{phase}_{kind}")) for kind in KINDS}
    return {kind: peak for kind, peak in peaks.items() if peak is not None}

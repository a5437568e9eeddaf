"""The records of a study as the checks see them: what is compared with what, and what a foreign record really says.

A tuned cell is compared with its base, the untuned cell of the same model, quantization and eval task; and with the
other cells of its block, those trained on the same task and tested on the same. Whatever is of the wrong type is
unknown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pytest_ftbench.analysis.metrics import EvalTask, Trivial, above_zero, number
from pytest_ftbench.analysis.table import eval_tasks, timed_tokens
from pytest_ftbench.analysis.validity import UNMEASURED, Standing, standing
from pytest_ftbench.grid import CellRecord, Thresholds


@dataclass(frozen=True)
class Finding:
    """That a check fired on a cell: ``said`` is the sentence with its numbers, ``size`` how striking it is of its code.

    ``said`` may hold texts of the records, as foreign as these are.
    """

    code: str
    said: str
    size: float = 0.0


@dataclass(eq=False)
class Case:
    """A measured cell beside what it is compared with; each group has the cell itself among its own.

    ``block`` are the measured cells that were trained on the same task and tested on the same, ``checkpoint`` those of
    its checkpoint, ``way`` those that differ from it in nothing but the seed.
    """

    record: CellRecord
    task: EvalTask
    standing: Standing
    base: "Case | None" = None
    block: Sequence["Case"] = ()
    checkpoint: Sequence["Case"] = ()
    way: Sequence["Case"] = ()

    @property
    def is_tuned(self) -> bool:
        """Whether anything was trained."""
        return self.record.train_task is not None

    @property
    def in_domain(self) -> bool:
        """Whether it is tested on the task that it was trained on."""
        return self.record.train_task == self.record.eval_task

    @property
    def train(self) -> Mapping[str, Any]:
        """What is known of its training."""
        return self.record.train or {}

    @cached_property
    def provenance(self) -> Mapping[str, Any]:
        """What is known of where it came from."""
        return table(self.record.extra.get("provenance"))

    @cached_property
    def score(self) -> float | None:
        """The headline score; None: unknown, or not on one scale with others."""
        return self.task.score(self.record) if self.task.comparable else None

    @cached_property
    def items(self) -> dict[str, Mapping[str, Any]]:
        """Its items by their names, where it has them."""
        listed = [item for item in self.record.items if isinstance(item, dict)]
        return {item["item"]: item for item in listed if isinstance(item.get("item"), str)}

    @cached_property
    def n(self) -> int | None:
        """On how many test items its scores stand; None: unknown."""
        known = above_zero(self.record.n) or len(self.record.items) or len(self.tokens)
        return int(known) or None

    @cached_property
    def tokens(self) -> list[float]:
        """The output tokens of each answer; empty where any isn't known."""
        return numbers(self.record.output_tokens.get("samples"))

    @cached_property
    def latency_s(self) -> list[float]:
        """The seconds of each timed answer; empty where any isn't known."""
        return numbers(self.record.latency_s.get("samples"))

    @cached_property
    def timed_tokens(self) -> list[float]:
        """The output tokens of each timed answer; empty where these aren't known."""
        known = numbers(self.record.latency_s.get("tokens")) or self.tokens
        return known if len(known) == len(self.latency_s) else []

    @cached_property
    def mean_tokens(self) -> float | None:
        """The mean tokens of the answers that its latency is the mean of; None: unknown."""
        timed = timed_tokens(self.record)
        return number(self.record.output_tokens.get("mean")) if timed is None else timed

    def rate(self, name: str) -> float | None:
        """A rate of the record as a fraction; what is none is unknown."""
        value = number(getattr(self.record, name))
        return value if value is not None and 0 <= value <= 1 else None


@dataclass(eq=False)
class Study:
    """The measured cells of some records as cases, in their order; and the thresholds that judge them."""

    cases: Sequence[Case]
    trivial: Trivial
    thresholds: Thresholds

    @cached_property
    def tuned(self) -> list[Case]:
        """The cases of trained checkpoints."""
        return [case for case in self.cases if case.is_tuned]

    @cached_property
    def tuned_ways(self) -> set[str]:
        """The methods and ranks that were trained with a learning rate that is known."""
        return {_key(c.record.method, c.record.rank) for c in self.tuned if above_zero(c.train.get("learning_rate"))}

    @cached_property
    def rates(self) -> set[float]:
        """The known learning rates of all that was tuned."""
        rates = (above_zero(case.train.get("learning_rate")) for case in self.tuned)
        return {rate for rate in rates if rate is not None}

    @classmethod
    def of(cls, records: Sequence[CellRecord], trivial: Trivial, thresholds: Thresholds) -> "Study":
        """The study that these records make."""
        tasks = eval_tasks(records)
        stands = [(record, standing(record, trivial, tasks[record.eval_task])) for record in records]
        cases = [Case(r, tasks[r.eval_task], s) for r, s in stands if s not in UNMEASURED]
        bases: dict[object, Case] = {}
        groups: dict[object, list[Case]] = {}
        for case in cases:
            record = case.record
            if not case.is_tuned:
                bases.setdefault(_key(record.model, record.quantization, record.eval_task), case)
            for kind in ("block", "checkpoint", "way"):
                groups.setdefault(_group(kind, record), []).append(case)
        for case in cases:
            record = case.record
            if case.is_tuned:
                case.base = bases.get(_key(record.model, record.quantization, record.eval_task))
            case.block = groups[_group("block", record)]
            case.checkpoint = groups[_group("checkpoint", record)]
            case.way = groups[_group("way", record)]
        return cls(cases, trivial, thresholds)


def table(value: object) -> Mapping[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def numbers(value: object) -> list[float]:
    """The numbers of a JSON array; none where it is no array of finite numbers."""
    known = [number(each) for each in value] if isinstance(value, list) else []
    whole = [each for each in known if each is not None]
    return whole if len(whole) == len(known) else []


def mean(values: Sequence[float]) -> float:
    """The mean of some numbers, none of which need be small; 0 of none."""
    # divided first: the sum of what a file holds may be beyond every float
    return sum(value / len(values) for value in values)


def _group(kind: str, record: CellRecord) -> object:
    """What the cells of a group have in common."""
    if kind == "block":
        return _key(kind, record.train_task, record.eval_task)
    way = (kind, record.model, record.method, record.rank, record.quantization, record.train_task)
    return _key(*way, record.seed) if kind == "checkpoint" else _key(*way, record.eval_task)


def _key(*parts: object) -> str:
    # a record from elsewhere may hold anything, also what is no key of a dict
    return repr(parts)

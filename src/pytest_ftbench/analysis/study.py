"""The records of a study as the checks see them: what is compared with what.

A tuned cell is compared with its base, the untuned cell of the same model, quantization and eval task, or else the
unquantized one, which sentences then say; and with the other cells of its block, those trained on the same task and
tested on the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pytest_ftbench.analysis.case import Block, Case
from pytest_ftbench.analysis.evidence import Evidence
from pytest_ftbench.analysis.metrics import Trivial, above_zero
from pytest_ftbench.analysis.table import eval_tasks
from pytest_ftbench.analysis.trivial import known_trivial
from pytest_ftbench.analysis.validity import UNMEASURED, standing
from pytest_ftbench.grid import CellRecord, Thresholds


@dataclass(eq=False)
class Study:
    """The measured cells of some records as cases, in their order; and the thresholds that judge them."""

    cases: Sequence[Case]
    trivial: Trivial
    thresholds: Thresholds
    evidence: Evidence

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
    def of(
        cls,
        records: Sequence[CellRecord],
        trivial: Trivial,
        thresholds: Thresholds,
        evidence: Evidence | None = None,
    ) -> "Study":
        """The study that these records make."""
        trivial, _ = known_trivial(records, trivial)
        tasks = eval_tasks(records)
        stands = [(record, standing(record, trivial, tasks[record.eval_task])) for record in records]
        cases = [Case(r, tasks[r.eval_task], s) for r, s in stands if s not in UNMEASURED]
        bases: dict[object, Case] = {}
        groups: dict[object, list[Case]] = {}
        blocks: dict[object, Block] = {}
        for case in cases:
            record = case.record
            if not case.is_tuned:
                bases.setdefault(_key(record.model, record.quantization, record.eval_task), case)
            case.block = blocks.setdefault(_key(record.train_task, record.eval_task), Block())
            case.block.cases.append(case)
            for kind in ("checkpoint", "way"):
                groups.setdefault(_group(kind, record), []).append(case)
        for case in cases:
            record = case.record
            if case.is_tuned:
                alike = (bases.get(_key(record.model, kind, record.eval_task)) for kind in (record.quantization, None))
                case.base = next((base for base in alike if base is not None), None)
            case.checkpoint = groups[_group("checkpoint", record)]
            case.way = groups[_group("way", record)]
        return cls(cases, trivial, thresholds, evidence or Evidence.of(records))


def _group(kind: str, record: CellRecord) -> object:
    """What the cells of a group have in common."""
    way = (kind, record.model, record.method, record.rank, record.quantization, record.train_task)
    return _key(*way, record.seed) if kind == "checkpoint" else _key(*way, record.eval_task)


def _key(*parts: object) -> str:
    # a record from elsewhere may hold anything, also what is no key of a dict
    return repr(parts)

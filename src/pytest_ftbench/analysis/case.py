"""One measured cell as the checks see it, what its record really says, and the block that it is compared in.

Records may have been made elsewhere: whatever is of the wrong type is unknown.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from typing import Any

from pytest_ftbench.analysis.metrics import EvalTask, above_zero, number
from pytest_ftbench.analysis.table import timed_tokens
from pytest_ftbench.analysis.validity import Standing
from pytest_ftbench.grid import CellRecord

_DTYPES = {"bf16": "bfloat16", "fp32": "float32", "float": "float32", "fp16": "float16", "half": "float16"}


@dataclass(frozen=True)
class Finding:
    """That a check fired on a cell: ``said`` is the sentence with its numbers, ``size`` how striking it is of its code.

    ``said`` may hold texts of the records, as foreign as these are. ``kind`` tells apart what one check may find: a
    cell has one finding of each at most.
    """

    code: str
    said: str
    size: float = 0.0
    kind: str = ""


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
    block: "Block" = field(default_factory=lambda: Block())
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

    @property
    def whose_base(self) -> str:
        """What its base is to it: of a quantized cell it may be the unquantized one."""
        alike = self.base is None or self.base.record.quantization == self.record.quantization
        return "its base" if alike else "its unquantized base"

    def named(self, task: EvalTask) -> str:
        """The name of the metric that it is judged by, before its score; nothing where that is the headline."""
        return "" if task.headline == self.task.headline else f"{task.headline.label} "

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
    def answered_in(self) -> str | None:
        """The dtype of the weights that answered; None: unknown."""
        return dtype_name(self.record.eval_dtype, self.record.quantization)

    @cached_property
    def trained_in(self) -> str | None:
        """The dtype of the weights in training; None: unknown."""
        # beside the weights, the dtype names an adapter's, which are small and may well be more precise; which of two
        # is the weights' only the first key tells
        weights, quantization = self.train.get("base_dtype"), self.train.get("quantization")
        name = dtype_name(weights or self.train.get("dtype"), quantization)
        return None if name and not weights and "+" in name else name

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
class Block:
    """The measured cells that were trained on one task (None: untuned) and tested on one."""

    cases: list[Case] = field(default_factory=list)

    def best_format(self, case: Case) -> float | None:
        """The best format rate of those that can be read, beside this case and its other seeds; None: unknown."""
        return next((rate for rate, other in self._format_rates if other.way is not case.way), None)

    def next_best(self, case: Case) -> Case | None:
        """If no ranked cell is better than this one, the best of those that are worse and no other seed of it."""
        top = self._ranked[0][0] if self._ranked else math.inf
        if not any(each is case for _, each in takewhile(lambda pair: pair[0] == top, self._ranked)):
            return None
        return next((other for value, other in self._ranked if value < top and other.way is not case.way), None)

    @cached_property
    def task(self) -> EvalTask | None:
        """Their task with the metric that the ranked ones are judged by; None: none is ranked."""
        ranked = [case for case in self.cases if case.standing is Standing.OK and case.task.comparable]
        return ranked[0].task.judged_by(*(case.record for case in ranked)) if ranked else None

    @cached_property
    def _format_rates(self) -> list[tuple[float, Case]]:
        valid = [case for case in self.cases if case.standing is not Standing.INVALID]
        rates = [(rate, case) for case in valid if (rate := case.rate("format_rate")) is not None]
        return sorted(rates, key=lambda pair: pair[0], reverse=True)

    @cached_property
    def _ranked(self) -> list[tuple[float, Case]]:
        if (task := self.task) is None:
            return []
        scores = [(task.score(case.record), case) for case in self.cases if case.standing is Standing.OK]
        good = [(task.goodness(score), case) for score, case in scores if score is not None]
        return sorted(good, key=lambda pair: pair[0], reverse=True)

    @cached_property
    def answered_in(self) -> str | None:
        """The dtype that most of its cells answered in; None: unknown."""
        return _most_common([case.answered_in for case in self.cases])

    @cached_property
    def trained_in(self) -> str | None:
        """The dtype that most of its cells were trained in; None: unknown."""
        return _most_common([case.trained_in for case in self.cases])


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


def dtype_name(dtype: object, quantization: object) -> str | None:
    """A dtype as one text, without the quantization that is declared; None: unknown."""
    if not isinstance(dtype, str):
        return None
    parts = {_DTYPES.get(name := part.strip().removeprefix("torch."), name) for part in dtype.lower().split("+")}
    parts -= {quantization.lower() if isinstance(quantization, str) else "", ""}
    return "+".join(sorted(parts)) or None


def _most_common(texts: Sequence[str | None]) -> str | None:
    known = Counter(text for text in texts if text is not None)
    return known.most_common(1)[0][0] if known else None

"""How long answers take: for each cell what its timed answers come to, at their natural length and at a fixed one.

What a record lacks is computed from its samples, where it has them. Whatever is no time is unknown.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_ftbench.analysis.metrics import EvalTask, Trivial, above_zero, not_negative, number, task_label
from pytest_ftbench.analysis.table import BASE_HEADING, checkpoint_key, eval_tasks, in_reading_order
from pytest_ftbench.analysis.validity import Standing, standing
from pytest_ftbench.grid import CellRecord, CheckpointKey
from pytest_ftbench.grid.latency import p95, stddev, tpot

_Statistic = Callable[[Sequence[float]], float | None]


@dataclass(frozen=True)
class Latency:
    """What ``n`` timed answers come to, in seconds; None is unknown.

    ``mean``, ``median``, ``stddev`` (of a sample) and ``p95`` are of the time end to end, ``ttft_s`` is the median time
    to the first token, ``tpot_s`` the median time per output token after it; ``tokens`` are the mean, or at a fixed
    length what every answer has.
    """

    n: float | None = None
    mean_s: float | None = None
    median_s: float | None = None
    stddev_s: float | None = None
    p95_s: float | None = None
    ttft_s: float | None = None
    tpot_s: float | None = None
    tokens: float | None = None

    @property
    def is_known(self) -> bool:
        """Whether it says how long anything took."""
        return any(seconds is not None for seconds in (self.mean_s, self.median_s, self.ttft_s, self.tpot_s))


@dataclass(frozen=True)
class LatencyRow:
    """The timed answers of one cell; ``fixed`` are those at a fixed length, ``fast`` those by recorded steps."""

    key: CheckpointKey
    standing: Standing
    natural: Latency
    fixed: Latency
    fast: Latency = Latency()


@dataclass(frozen=True)
class LatencyBlock:
    """The cells trained on one task (None: untuned) and tested on one: they were timed on the same prompts."""

    train_task: str | None
    task: EvalTask
    rows: tuple[LatencyRow, ...]

    @property
    def heading(self) -> str:
        """What was trained and tested on."""
        trained = BASE_HEADING if self.train_task is None else f"Trained on {task_label(self.train_task)}"
        return f"{trained}, tested on {self.task.label}"


def latencies(records: Sequence[CellRecord], trivial: Trivial) -> list[LatencyBlock]:
    """The timed cells of these records by what they were trained and tested on, untuned ones last."""
    tasks = eval_tasks(records)
    blocks: dict[tuple[str | None, str], dict[CheckpointKey, LatencyRow]] = {}
    for record in records:
        row = _row(record, trivial, tasks[record.eval_task])
        if row is not None:
            blocks.setdefault((record.train_task, record.eval_task), {})[row.key] = row
    trained = dict.fromkeys(train for train, _ in blocks if train is not None)
    return [
        LatencyBlock(train, task, tuple(rows[key] for key in in_reading_order(rows)))
        for train in (*trained, None)
        for task in tasks.values()
        if (rows := blocks.get((train, task.name)))
    ]


def _row(record: CellRecord, trivial: Trivial, task: EvalTask) -> LatencyRow | None:
    """The row of a cell; None where it was not timed."""
    if not record.ok:
        return None
    natural = _latency(record.latency_s)
    if natural.tokens is None:
        natural = replace(natural, tokens=above_zero(record.output_tokens.get("mean")))
    given = record.latency_s.get("fixed")
    fixed = _latency(given) if isinstance(given, dict) else Latency()
    if isinstance(given, dict) and (new_tokens := above_zero(given.get("new_tokens"))) is not None:
        fixed = replace(fixed, tokens=new_tokens)
    if not natural.is_known and not fixed.is_known:
        return None
    given = record.latency_s.get("fast")
    fast = _latency(given) if isinstance(given, dict) else Latency()
    return LatencyRow(checkpoint_key(record), standing(record, trivial, task), natural, fixed, fast)


def _latency(given: Mapping[str, Any]) -> Latency:
    """What a summary says, and what its samples say where it doesn't."""
    samples, first = (_numbers(given.get(key), 0) for key in ("samples", "ttft"))
    counts = _numbers(given.get("tokens"), 1)

    def seconds(key: str, values: Sequence[float], compute: _Statistic) -> float | None:
        said = not_negative(given.get(key))
        return _of(values, compute) if said is None else said

    return Latency(
        n=above_zero(given.get("n")) or above_zero(len(samples)),
        mean_s=seconds("mean", samples, statistics.fmean),
        median_s=seconds("median", samples, statistics.median),
        stddev_s=seconds("stddev", samples, stddev),
        p95_s=seconds("p95", samples, p95),
        ttft_s=seconds("ttft_median", first, statistics.median),
        tpot_s=seconds("tpot_median", _per_token(samples, first, counts), statistics.median),
        tokens=_of(counts, statistics.fmean),
    )


def _numbers(values: object, least: float) -> list[float]:
    """The list, if all in it are numbers from ``least`` on: without the one that isn't, the others are another set."""
    given = values if isinstance(values, list) else []
    known = [value for each in given if (value := number(each)) is not None and value >= least]
    return known if len(known) == len(given) else []


def _per_token(samples: Sequence[float], first: Sequence[float], counts: Sequence[float]) -> list[float]:
    """Seconds per token after the first of each answer that has two; none where the lists don't belong together."""
    if not len(samples) == len(first) == len(counts):
        return []
    found = (tpot(*each) for each in zip(samples, first, counts, strict=True))
    return [seconds for seconds in found if seconds is not None and seconds >= 0]


def _of(values: Sequence[float], compute: _Statistic) -> float | None:
    """A statistic of these values; None of none, and where no float holds it."""
    try:
        return number(compute(values)) if values else None
    except OverflowError:
        return None

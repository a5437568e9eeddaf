"""Sweeps of learning rates, as records tell of them: which rates were tried, what each reached, which was chosen.

A sweep is told in the record of every cell of its way, whatever its seed; here it is told once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_ftbench.analysis.metrics import above_zero, eval_task, not_negative
from pytest_ftbench.analysis.metrics import number as finite
from pytest_ftbench.analysis.table import checkpoint_key, in_reading_order
from pytest_ftbench.grid import CellRecord, CheckpointKey
from pytest_ftbench.tasks import Metric

JUDGES = ("validation split", "held out", "training rows", "tested items")
"""Which rows choose a rate; those held out are a tenth of the training rows, which nothing was trained on."""


@dataclass(frozen=True)
class RateTrial:
    """One rate: its headline score and mean loss (nats per target token) on validation rows; None is unknown.

    One that ``failed`` has neither: its training diverged.
    """

    score: float | None
    loss: float | None

    @property
    def failed(self) -> bool:
        """Whether nothing came of it."""
        return self.score is None and self.loss is None


@dataclass(frozen=True)
class RateSweep:
    """The sweep of one way of tuning, ``key`` being that of one of its checkpoints.

    ``trials`` are by ascending rate, ``extended`` of them beyond what was planned. ``chosen`` None is unknown, as are
    ``seconds`` of training and answering in all, ``tokens`` trained on in all, ``rows`` that judged and the ``seed``.
    ``judged_by`` says which rows those are: one of ``JUDGES``, or unknown. ``tested`` of them are test items as well.
    """

    key: CheckpointKey
    metric: Metric
    trials: Mapping[float, RateTrial]
    chosen: float | None
    at_edge: bool
    extended: int
    seconds: float | None
    tokens: float | None
    rows: int | None
    seed: int | None
    judged_by: str | None = None
    tested: int | None = None


def rate_sweeps(records: Sequence[CellRecord]) -> list[RateSweep]:
    """The sweeps of these records, those of one train task side by side."""
    found: dict[CheckpointKey, RateSweep] = {}
    for record in records:
        key = checkpoint_key(record)
        way = key._replace(quantization=None, seed=0)
        if way not in found and (sweep := _sweep(record, key)) is not None:
            found[way] = sweep
    tasks = dict.fromkeys(way.train_task for way in found)
    order = in_reading_order(found)
    return [found[way] for task in tasks for way in order if way.train_task == task]


def swept_rates(sweeps: Iterable[RateSweep]) -> list[float]:
    """Every rate that any sweep has tried, ascending."""
    return sorted({rate for sweep in sweeps for rate in sweep.trials})


def _sweep(record: CellRecord, key: CheckpointKey) -> RateSweep | None:
    """What a record tells of its sweep; None where that is nothing that can be read."""
    provenance = record.extra.get("provenance")
    told = provenance.get("sweep") if isinstance(provenance, dict) else None
    if not isinstance(told, dict) or record.train_task is None:
        return None
    trials = _trials(told)
    if not trials:
        return None
    extended, judged_by = _whole(told.get("extended")), told.get("validation")
    return RateSweep(
        key=key,
        metric=_metric(str(record.train_task), told.get("metric")),
        trials=trials,
        chosen=above_zero(told.get("chosen")),
        at_edge=told.get("at_edge") is True,
        extended=min(extended or 0, len(trials)),
        seconds=not_negative(told.get("seconds")),
        tokens=not_negative(told.get("train_tokens")),
        rows=_whole(told.get("validation_rows")),
        seed=_whole(told.get("seed")),
        judged_by=judged_by if judged_by in JUDGES else None,
        tested=_whole(told.get("validation_rows_tested")),
    )


def _trials(told: Mapping[str, Any]) -> dict[float, RateTrial]:
    """The trials by ascending rate; whatever is no rate has none."""
    rates, scores, losses = (_list(told.get(key)) for key in ("rates", "scores", "losses"))
    found = {}
    for index, value in enumerate(rates):
        if (rate := above_zero(value)) is not None:
            found[rate] = RateTrial(*(finite(each[index]) if index < len(each) else None for each in (scores, losses)))
    return dict(sorted(found.items()))


def _metric(train_task: str, key: object) -> Metric:
    headline = eval_task(train_task).headline
    return headline if key == headline.key or not isinstance(key, str) else Metric(key, key)


def _whole(value: object) -> int | None:
    """A count; what is none is unknown."""
    return value if type(value) is int and 0 <= value < 2**63 else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []

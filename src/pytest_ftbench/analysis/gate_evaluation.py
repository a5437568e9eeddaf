"""A score, format rate or number of tokens of the very same weights: answers to the same items, compared in pairs.

The items are what chance there is. Where a baseline has none, as a file made by hand, each run has its own interval.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from pytest_ftbench.analysis.differences import paired_distribution
from pytest_ftbench.analysis.gate_verdict import Kind
from pytest_ftbench.analysis.gate_ways import Runs, Way, mean
from pytest_ftbench.analysis.gate_worsening import LEAST_P, Need, Scale, Worsening, gap
from pytest_ftbench.analysis.intervals import full_score, newcombe, score_interval
from pytest_ftbench.analysis.items import ItemTable
from pytest_ftbench.analysis.metrics import EvalTask, item_count, number
from pytest_ftbench.analysis.paired import mcnemar, sign_flips, summed, wins_ties_losses
from pytest_ftbench.analysis.paired_intervals import all_or_none, paired_interval, same_clusters
from pytest_ftbench.analysis.pooling import pool
from pytest_ftbench.analysis.power import POWER
from pytest_ftbench.grid import CellRecord
from pytest_ftbench.grid.gates import METRICS, Gate, GateRule
from pytest_ftbench.tasks import Metric

_MOST_ITEMS = 100_000
_PAIR = "a baseline that keeps its items would be compared in pairs"
_IN_FORM = EvalTask("", "in form", Metric("accuracy", "in form"))
_TOKENS = EvalTask("", "tokens", Metric("tokens", "tokens"))

Interval = Callable[[float], tuple[float, float] | None]
"""The interval of a worsening, in its own unit, at a level."""


@dataclass(frozen=True)
class Side:
    """What of a run is compared: the mean over its seeds as one record, whose items are scored by the metric.

    ``value`` is that mean, in the items' unit.
    """

    record: CellRecord
    table: ItemTable | None
    value: float

    @classmethod
    def of(cls, runs: Runs, metric: str, way: Way, value: float) -> "Side":
        """A run's side."""
        record = way.pooled if metric == "score" else pool([_scored_by(metric, each) for each in way.seeds])
        # chance in trainings is none of the same weights', so nothing may be taken for a training
        bare = replace(record, train_task=None)
        return cls(bare, runs.evidence.table(bare), value)


def evaluation(runs: Runs, rule: GateRule, gate: Gate, then: Way, now: Way, higher: bool) -> Worsening:
    """The worsening of the same weights."""
    task = {"format_rate": _IN_FORM, "tokens": _TOKENS}.get(rule.metric) or runs.tasks[now.first.eval_task]
    was, is_now = (mean(runs.values(rule.metric, way)) for way in (then, now))
    unit = 1.0 if rule.metric == "tokens" else 100 / full_score(task.headline.key)
    times = 100 / was if METRICS[rule.metric].change == "%" else unit
    before = Side.of(runs, rule.metric, then, was / unit)
    after = Side.of(runs, rule.metric, now, is_now / unit)
    better, worse = (before, after) if higher else (after, before)
    off = better.value - worse.value
    find, exact = _ways_to_tell(runs, better, worse, task)
    ends, bound = find(0.95), find(1 - 2 * min(gate.alpha, 0.49))
    n, seeds = item_count(now.first), (len(then.seeds), len(now.seeds))
    if ends is None or bound is None:
        found = Worsening(Kind.EVALUATION, was, is_now, off * times, lambda _: _PAIR, n=n, seeds=seeds)
        return replace(found, unknown="one of the runs has no items to compare")
    p = max(LEAST_P, _p(find, None if rule.allowed else exact, off, rule.allowed / times, task))
    apart = gap(rule, off * times, Scale(percent=False), p <= gate.alpha)
    return Worsening(
        Kind.EVALUATION,
        was,
        is_now,
        worse=off * times,
        need=_need((ends[1] - ends[0]) * times, n, *apart),
        interval=(ends[0] * times, ends[1] * times),
        bound=bound[1] * times,
        p=p,
        n=n,
        seeds=seeds,
    )


def _scored_by(metric: str, record: CellRecord) -> CellRecord:
    """The record with items scored by whether they are in form, or by their tokens; without any that say otherwise."""
    items = [item for item in record.items if isinstance(item, dict)]
    if metric == "tokens":
        key, said = "tokens", number(record.output_tokens.get("mean"))
        scores = [number(item.get("tokens")) for item in items]
    else:
        key, said = "accuracy", number(record.format_rate)
        scores = [float(item.get("parsed") is not None) for item in items]
    known = [score for score in scores if score is not None]
    agree = (
        said is not None and len(known) == len(record.items) > 0 and abs(mean(known) - said) <= 1e-6 * max(1.0, said)
    )
    given: dict[str, Any] = {part.name: getattr(record, part.name) for part in fields(CellRecord)}
    given["items"] = [item | {"score": s} for item, s in zip(items, scores, strict=True)] if agree else []
    # no task's own reading of letters or numbers is meant
    return CellRecord(**given | {"scores": {key: said}, "eval_task": ""})


def _ways_to_tell(runs: Runs, better: Side, worse: Side, task: EvalTask) -> tuple[Interval, float | None]:
    """How the interval of what is lost is found, and the exact test's p-value of no loss.

    In pairs where both runs have the items and these yield their scores, else apart, and then there is no such test.
    """
    tables = better.table, worse.table
    pair = paired_distribution(better.record, worse.record, task, runs.evidence)
    if pair is not None and tables[0] is not None and tables[1] is not None:
        most = max(float(tables[0].scores.max()), float(tables[1].scores.max()))
        given = pair, tables[0], tables[1], most if task is _TOKENS else full_score(task.headline.key)

        def paired(level: float) -> tuple[float, float]:
            found = paired_interval(*given, level)
            return found.low, found.high

        return paired, _exact(tables[0], tables[1])

    def unpaired(level: float) -> tuple[float, float] | None:
        each = [score_interval(_alone(side.record), task, runs.evidence, level) for side in (better, worse)]
        if each[0] is None or each[1] is None:
            return None
        found = newcombe(each[0], better.value, each[1], worse.value)
        return found.low, found.high

    return unpaired, None


def _alone(record: CellRecord) -> CellRecord:
    """A mean over seeds as a record of its own: its items are the same, however many seeds answered them."""
    return CellRecord(**{part.name: getattr(record, part.name) for part in fields(CellRecord)})


def _p(find: Interval, exact: float | None, off: float, allowed: float, task: EvalTask) -> float:
    """The one-sided p-value of a loss of no more than is allowed.

    Of no loss at all it is that of the exact test where there is one, else half the level whose interval just reaches
    what is allowed. Macro F1 needs both, for the exact test is of the answers.
    """
    if exact is not None and task.headline.key != "macro_f1":
        return exact
    return max(exact or 0.0, _inverted(find, off, allowed))


def _exact(better: ItemTable, worse: ItemTable) -> float:
    """McNemar's exact test of right and wrong answers, sign flips of others and of clusters; one-sided."""
    off, clusters = better.scores - worse.scores, same_clusters(better, worse)
    if clusters is None and all_or_none(better.scores, worse.scores):
        counts = wins_ties_losses(off)
        p = float(mcnemar(counts.wins, counts.losses))
    else:
        p = float(sign_flips(summed(off, clusters))[0])
    return p / 2 if off.sum() > 0 else 1 - p / 2


def _inverted(find: Interval, off: float, allowed: float) -> float:
    if off <= allowed:
        return 1.0
    low, high = -4.0, 0.0  # of the logarithm of 1 less the level: resamples know of none above
    while high - low > 1e-2:
        middle = (low + high) / 2
        ends = find(1 - 10**middle)
        low, high = (middle, high) if ends is None or ends[0] <= allowed else (low, middle)
    return float(10**high) / 2


def _need(width: float, n: int | None, apart: float, what: str) -> Need:
    """How many items would do ``what`` in four of five runs; ``width`` is the 95 % interval's, on ``n``."""

    def said(alpha: float) -> str:
        from scipy.special import ndtri

        if n is None:
            return _PAIR
        quantiles = -float(ndtri(min(0.5, alpha))) + float(ndtri(POWER))
        most = max(_MOST_ITEMS, n)
        if width * quantiles * math.sqrt(n / most) >= 3.92 * apart:
            return f"more than {most:,} test items would be needed to {what}"
        items = n * (width / 3.92 * quantiles / apart) ** 2
        return f"about {_rounded(max(items, n + 1)):,} test items would {what}"

    return said


def _rounded(items: float) -> int:
    """Up to two digits: more would promise too much."""
    step = int(10 ** max(0, math.floor(math.log10(items)) - 1))
    return math.ceil(items / step) * step

"""A score, format rate or number of tokens of ways that were trained anew: the trainings are what chance there is.

The test items are the same in both runs. What differs between two trainings on them is the seed's doing, and how far
seeds lie apart already has the noise of single answers in it. So items are no part of the variance of its own; and a
way's seeds, which are few, borrow from those of its block in both runs (``seeds``).
"""

import math
from dataclasses import replace

from pytest_ftbench.analysis.gate_verdict import Kind
from pytest_ftbench.analysis.gate_ways import Runs, Way, mean, on_scale_of_change
from pytest_ftbench.analysis.gate_worsening import Chance, Need, Scale, Worsening, gap
from pytest_ftbench.analysis.power import mean_detectable
from pytest_ftbench.analysis.seeds import UNLIKE, Spread, variance_parts
from pytest_ftbench.grid.gates import METRICS, Gate, GateRule

_MOST_SEEDS = 50
_FIRST_RUN = "run both with --ftbench-seeds 3, or give gate.seed_stddev"


def training(runs: Runs, rule: GateRule, gate: Gate, then: Way, now: Way, higher: bool) -> Worsening:
    """The worsening of a way that was trained anew."""
    before, after = runs.values(rule.metric, then), runs.values(rule.metric, now)
    was, is_now = mean(before), mean(after)
    x, y = on_scale_of_change(rule.metric, before), on_scale_of_change(rule.metric, after)
    scale = Scale(METRICS[rule.metric].change == "%")
    worse = (sum(x) / len(x) - sum(y) / len(y)) * (1 if higher else -1)
    seeds, n = (len(x), len(y)), len(now.first.items) or None
    (mine, _), (block, ways) = (_block(runs, rule, gate, way) for way in (then, now))
    parts = [part for each, spread in ((x, mine), (y, block)) for part in variance_parts(each, 0.0, 2.0, spread)[1:]]
    if len(parts) < 2:
        found = Worsening(Kind.TRAINING, was, is_now, scale.back(worse), lambda _: _FIRST_RUN, n=n, seeds=seeds)
        return replace(found, unknown="one training says nothing of how far two with other seeds lie apart")
    chance = Chance.of(worse, parts, rule, gate, scale)
    of_one = max(part * len(each) for (part, _), each in zip(parts, (x, y), strict=True))
    need = _need(of_one, max(ways, 2), max(seeds), gap(rule, worse, scale), _effect(rule))
    found = Worsening(Kind.TRAINING, was, is_now, scale.back(worse), need, n=n, seeds=seeds)
    return replace(found, interval=chance.interval, bound=chance.bound, p=chance.p)


def _block(runs: Runs, rule: GateRule, gate: Gate, way: Way) -> tuple[Spread | None, int]:
    """The variance between seeds and over how many ways of both runs it is; where none has several, what a suite says.

    That is known, and needs no allowance for ways that differ.
    """
    found = runs.spread(rule.metric, way)
    if found is not None:
        return found
    if gate.seed_stddev is None or METRICS[rule.metric].change == "%":
        return None, 0
    return (gate.seed_stddev**2 / UNLIKE, math.inf), 0


def _effect(rule: GateRule) -> str:
    return f"{rule.effect:g} {METRICS[rule.metric].change}"


def _need(variance: float, ways: int, seeds: int, apart: float, effect: str) -> Need:
    """How many seeds on either side would see what matters in four of five runs; one more than there are at least."""

    def said(alpha: float) -> str:
        for k in range(max(2, seeds + 1), _MOST_SEEDS + 1):
            parts = [(variance / k, float(ways * (k - 1)))] * 2
            # one-sided at alpha, and found with the power
            if mean_detectable(parts, min(1.0, 2 * alpha)) <= apart:
                return f"{k} seeds on either side would see {effect}"
        return f"more than {_MOST_SEEDS} seeds on either side would be needed to see {effect}"

    return said

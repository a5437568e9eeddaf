"""Times per token and peaks of memory of two runs.

A time varies over prompts, which both runs answered, so that they are compared in pairs; and from run to run, for a
machine isn't equally fast on two days. How much that is, a suite says (``timing_noise``): the standard deviation of the
change between two runs of one commit, whatever their seeds, which are timed in one go.

A peak is taken to have no chance in it but what a process takes by itself, beside its tensors.
"""

import math
from statistics import variance

from pytest_ftbench.analysis.compare import Delta, memory_delta
from pytest_ftbench.analysis.gate_verdict import Kind
from pytest_ftbench.analysis.gate_ways import Runs, Way, largest_peaks, mean
from pytest_ftbench.analysis.gate_worsening import Chance, Need, Scale, Worsening, gap
from pytest_ftbench.analysis.metrics import above_zero
from pytest_ftbench.analysis.power import POWER
from pytest_ftbench.analysis.seeds import Parts
from pytest_ftbench.grid.gates import Gate, GateRule

PROCESS_NOISE = 0.0625
"""GiB by which the resident set of a process may grow more in one run than in another without any change.

In five runs of the embedded suite on CPUs, peaks of one way's trainings were up to 0.046 GiB apart, those of its
answering up to 0.008: by what the process had done before and what the allocator gave back.
"""
_MEDIAN = math.pi / 2  # a median of normal values varies so much more than their mean
_BUSY = "V16"


def timing(runs: Runs, rule: GateRule, gate: Gate, then: Way, now: Way) -> Worsening:
    """The worsening of the median time per token after the first."""
    was, is_now = (mean(runs.values(rule.metric, way)) for way in (then, now))
    before, after = _by_prompt(then), _by_prompt(now)
    both = zip(before, after, strict=True) if len(before) == len(after) else ()
    pairs = [100 * (y - x) for x, y in both if x is not None and y is not None]
    parts: list[tuple[float, float]] = [(gate.timing_noise**2, math.inf)]
    if len(pairs) > 1:
        parts.append((_MEDIAN * variance(pairs) / len(pairs), len(pairs) - 1.0))
    scale = Scale(percent=True)
    worse = 100 * (math.log(is_now) - math.log(was))
    chance = Chance.of(worse, parts, rule, gate, scale)
    busy = any(_BUSY in record.flags for way in (then, now) for record in way.seeds)
    return Worsening(
        Kind.TIMING,
        was,
        is_now,
        worse=scale.back(worse),
        need=_need(parts, gap(rule, worse, scale), rule, busy),
        interval=chance.interval,
        bound=chance.bound,
        p=chance.p,
        n=len(pairs) or None,
        seeds=(len(then.seeds), len(now.seeds)),
        doubt="something else used the device while answers were timed (V16)" if busy else "",
    )


def _by_prompt(way: Way) -> list[float | None]:
    """The mean logarithm over seeds of the time per token of each prompt's answer; nothing where seeds had others."""
    lists = [record.latency_s.get("tpot") for record in way.seeds]
    given = [[above_zero(value) for value in each] for each in lists if isinstance(each, list)]
    if len(given) < len(lists) or len({len(each) for each in given}) != 1:
        return []
    return [
        mean([math.log(value) for value in values if value is not None]) if None not in values else None
        for values in zip(*given, strict=True)
    ]


def _need(parts: Parts, far: float, rule: GateRule, busy: bool) -> Need:
    """How many prompts would see what matters in four of five runs; none do where the machine is too noisy."""

    def said(alpha: float) -> str:
        from scipy.special import ndtri

        if busy:
            return "time both on a machine that does nothing else"
        (noise, _), *rest = parts
        quantiles = float(ndtri(POWER)) - float(ndtri(min(0.5, alpha)))
        left = (far / quantiles) ** 2 - noise
        if left <= 0 or not rest:
            return (
                f"a machine whose times of two runs lie closer together than {math.sqrt(noise):g} % (gate.timing_noise)"
            )
        prompts = (rest[0][1] + 1) * max(1.1, rest[0][0] / left)
        return f"about {math.ceil(prompts):,} timed prompts would see {rule.effect:g} %"

    return said


def peak(then: Way, now: Way, phase: str) -> tuple[Delta, float | None]:
    """The largest peaks of a phase over seeds, compared in the first kind that both runs know; and the rise in percent.

    A rise within what a process takes by itself is none. The rise is None where it is unknown, or one from nothing.
    """
    found = memory_delta(largest_peaks(phase, then), largest_peaks(phase, now), None)
    if found.change is not None and found.kind == "process" and abs(found.change) <= PROCESS_NOISE:
        return found, 0.0
    return found, found.percent

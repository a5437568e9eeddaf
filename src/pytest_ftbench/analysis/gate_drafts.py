"""What a gate's rules say of a way before the family is known: limits, and changes against the baseline.

Whatever can't be compared is said here and now: no baseline, other prompts, a number that a run doesn't know. What can
is a worsening with its p-value, which ``gates`` judges with all others.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pytest_ftbench.analysis import refusals
from pytest_ftbench.analysis.gate_cost import peak, timing
from pytest_ftbench.analysis.gate_evaluation import evaluation
from pytest_ftbench.analysis.gate_limit import limit_verdict
from pytest_ftbench.analysis.gate_training import training
from pytest_ftbench.analysis.gate_verdict import Kind, Outcome, Verdict
from pytest_ftbench.analysis.gate_ways import (
    PHASES,
    Runs,
    Way,
    refused,
    same_answers,
    same_scores,
    same_weights,
)
from pytest_ftbench.analysis.gate_words import ACCEPT, MEND, change_text, fix
from pytest_ftbench.analysis.gate_worsening import ROUNDING, Worsening
from pytest_ftbench.analysis.refusals import Fact, Refusal
from pytest_ftbench.grid.gates import METRICS, Gate, GateRule

_CASES = {Outcome.MISSING: "missing_baseline", Outcome.INCOMPARABLE: "incomparable"}
_PEAKS = {"train_memory": refusals.TRAIN_MEMORY, "eval_memory": refusals.EVAL_MEMORY}


@dataclass(frozen=True)
class Draft:
    """A verdict before the family is known; without a ``worsening`` it is one already.

    ``note`` tells what else a reader should know of a verdict that isn't a pass.
    """

    verdict: Verdict
    rule: GateRule
    worsening: Worsening | None = None
    note: Callable[[], str] = str

    @property
    def p(self) -> float | None:
        """What it brings into the family."""
        found = self.worsening
        return None if found is None or found.same else found.p


def drafts(runs: Runs, way: Way, gate: Gate, metric: str | None = None) -> Iterator[Draft]:
    """What a gate's rules say of a way, or those of one metric: of its limit, and of its change."""
    for rule in gate.rules_for(way.id, way.first.train_task, way.first.eval_task):
        untrained = rule.metric == "train_memory" and way.first.train_task is None
        if untrained or metric not in (None, rule.metric):
            continue
        note = partial(_note, runs, way, rule)
        if rule.limit is not None:
            yield Draft(limit_verdict(runs, way, rule, gate), rule, note=note)
        draft = _change(runs, way, rule, gate) if rule.compares else None
        if draft is not None:
            yield replace(draft, note=note)


def _note(runs: Runs, way: Way, rule: GateRule) -> str:
    """Which of several seeds were not measured, and what has become of a score that stood for something."""
    then = runs.before(way) if rule.metric == "score" and way.seeds else None
    stands = runs.standing(way) if then is not None and not runs.standing(then) else ""
    return "; ".join(filter(None, [way.lost if way.seeds else "", stands]))


def _change(runs: Runs, now: Way, rule: GateRule, gate: Gate) -> Draft | None:
    """The change against the baseline; None where neither run knows the metric and nobody asked for it."""
    then = runs.before(now)
    was = None if then is None else runs.value(rule.metric, then)
    value = runs.value(rule.metric, now) if now.seeds else None
    numbers: dict[str, Any] = {"was": was, "now": value}

    def said(outcome: Outcome, why: str, need: str) -> Draft:
        return Draft(replace(_open(then, now, rule, gate, outcome), why=why, need=need, **numbers), rule)

    if not now.seeds:
        return said(Outcome.INCONCLUSIVE, f"it was not measured ({now.lost})", "mend the cell, and run it again")
    if was is None and value is None:
        # of what nobody knows nobody need hear, unless a suite asks for it in other than the usual words
        asked = rule != GateRule.usual(rule.metric)
        return said(Outcome.INCONCLUSIVE, "neither run knows it", "measure it in both") if asked else None
    if runs.then is None:
        return said(Outcome.MISSING, "there is no baseline", f"accept one ({ACCEPT})")
    if then is None:
        return said(Outcome.MISSING, "the baseline does not have this cell", f"accept a new one ({ACCEPT})")
    if was is None:
        return said(Outcome.MISSING, "the baseline does not know it", f"accept a new one ({ACCEPT})")
    if value is None:
        return said(Outcome.INCONCLUSIVE, "this run does not know it", "measure it as the baseline did")
    if (refusal := refused(_facts(runs, rule, now), then, now)) is not None:
        return _refused(_open(then, now, rule, gate, Outcome.INCOMPARABLE), refusal, rule, numbers)
    return _peak(then, now, rule, gate) if rule.metric in PHASES else _compared(runs, then, now, rule, gate)


def _compared(runs: Runs, then: Way, now: Way, rule: GateRule, gate: Gate) -> Draft:
    """The worsening of a metric that both runs know and that may be compared."""
    verdict = _open(then, now, rule, gate, Outcome.INCONCLUSIVE)
    task = runs.tasks[now.first.eval_task]
    higher = task.headline.higher_is_better if rule.metric == "score" else METRICS[rule.metric].higher_is_better
    found = _alike(runs, then, now, rule, verdict.kind)
    if found is None and verdict.kind is Kind.TIMING:
        found = timing(runs, rule, gate, then, now)
    elif found is None:
        compare = evaluation if verdict.kind is Kind.EVALUATION else training
        found = compare(runs, rule, gate, then, now, higher)
    # worse is less where higher is better
    sign = -1 if higher else 1
    low_high = None if found.interval is None else sorted(sign * end for end in found.interval)
    given = replace(
        verdict,
        was=found.was,
        now=found.now,
        seeds=found.seeds,
        n=found.n,
        p=found.p,
        change=0.0 + sign * found.worse,
        interval=None if low_high is None else (low_high[0], low_high[1]),
        why=found.unknown,
    )
    return Draft(given, rule, found)


def _alike(runs: Runs, then: Way, now: Way, rule: GateRule, kind: Kind) -> Worsening | None:
    """No worsening at all, where every answer of now is that of the same seed then; else None.

    Of the same weights without items, numbers that are all the same do, too.
    """
    value = runs.value(rule.metric, now)
    if kind is Kind.TIMING or value is None:
        return None
    alike = same_answers(then, now)
    if alike is None and not (kind is Kind.EVALUATION and same_scores(then, now)):
        return None
    same = f"every {'score' if alike is None else 'answer'} is the same as then"
    seeds = (len((alike or then).seeds), len(now.seeds))
    return Worsening(kind, value, value, 0.0, lambda _: "", n=len(now.first.items) or None, seeds=seeds, same=same)


def _peak(then: Way, now: Way, rule: GateRule, gate: Gate) -> Draft:
    """The verdict on a peak of memory, in which there is no chance."""
    delta, rise = peak(then, now, PHASES[rule.metric])
    given: dict[str, Any] = {"was": delta.then, "now": delta.now, "change": delta.percent}
    if delta.refusal is not None:
        return _refused(_open(then, now, rule, gate, Outcome.INCOMPARABLE), delta.refusal, rule, given)
    # from nothing to more than a process takes by itself is no rise in percent, and one all the same
    fails = rise is None or (rise > rule.allowed * (1 + ROUNDING) and rise >= rule.effect * (1 - ROUNDING))
    outcome, action, need = (Outcome.FAIL, "fail", MEND) if fails else (Outcome.PASS, "pass", "")
    why = "the change is within what a process takes by itself" if rise == 0 and delta.change else ""
    verdict = replace(_open(then, now, rule, gate, outcome), action=action, why=why, need=need, **given)
    return Draft(verdict, rule)


def _refused(verdict: Verdict, refusal: Refusal, rule: GateRule, numbers: dict[str, Any]) -> Draft:
    given = numbers | {"change": None, "why": refusal.difference, "need": fix(refusal)}
    return Draft(replace(verdict, **given), rule)


def _open(then: Way | None, now: Way, rule: GateRule, gate: Gate, outcome: Outcome) -> Verdict:
    """A verdict without numbers, and what it does as neither pass nor fail."""
    metric = METRICS[rule.metric]
    return Verdict(
        cell=now.id,
        metric=rule.metric,
        kind=_kind(rule, then or now, now),
        outcome=outcome,
        action=gate.action(rule, _CASES.get(outcome, "inconclusive")),
        limit=change_text(rule),
        unit=metric.unit,
        change_unit=metric.change,
        seeds=(0 if then is None else len(then.seeds), len(now.seeds)),
    )


def _kind(rule: GateRule, then: Way, now: Way) -> Kind:
    if rule.metric in PHASES:
        return Kind.PEAK
    if rule.metric == "ms_per_token":
        return Kind.TIMING
    return Kind.EVALUATION if same_weights(then, now) else Kind.TRAINING


def _facts(runs: Runs, rule: GateRule, way: Way) -> Sequence[Fact]:
    """What both runs must agree in."""
    if rule.metric == "ms_per_token":
        return refusals.LATENCY
    if rule.metric in PHASES:
        return _PEAKS[rule.metric]
    # a task that compares texts has embedders as soon as one of its scores is known
    return refusals.SCORE if rule.metric == "score" and runs.tasks[way.first.eval_task].embedders else refusals.TOKENS

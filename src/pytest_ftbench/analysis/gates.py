"""The verdicts of a run's gates: each metric of each way against its limit, and against the baseline.

A change for the worse fails where it is shown to be more than is allowed, corrected over all comparisons of the run,
and is as large as matters by itself. It passes where its one-sided bound is below what matters. Between the two it is
inconclusive: a test that shows nothing isn't a test that shows there is nothing.

What chance is depends on what was done again. The same weights answer other items differently: these are compared in
pairs. A training made anew differs by its seed. A machine is faster on one day than on another.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_ftbench.analysis import refusals
from pytest_ftbench.analysis.gate_cost import peak, timing
from pytest_ftbench.analysis.gate_evaluation import evaluation
from pytest_ftbench.analysis.gate_limit import limit_verdict
from pytest_ftbench.analysis.gate_training import training
from pytest_ftbench.analysis.gate_verdict import Kind, Outcome, Verdict
from pytest_ftbench.analysis.gate_ways import Runs, Way, refused, same_answers, same_weights
from pytest_ftbench.analysis.gate_words import ACCEPT, change_text, fix
from pytest_ftbench.analysis.gate_worsening import Worsening
from pytest_ftbench.analysis.metrics import Trivial
from pytest_ftbench.analysis.paired import holm
from pytest_ftbench.analysis.refusals import Fact
from pytest_ftbench.grid import CellRecord
from pytest_ftbench.grid.gates import HOLM, METRICS, Gate, GateRule

_MEMORY = {"train_memory": ("train", refusals.TRAIN_MEMORY), "eval_memory": ("eval", refusals.EVAL_MEMORY)}


@dataclass(frozen=True)
class Draft:
    """A verdict before the family is known; without a ``worsening`` that has a p it is one already."""

    verdict: Verdict
    rule: GateRule
    worsening: Worsening | None = None

    @property
    def p(self) -> float | None:
        """What it brings into the family."""
        found = self.worsening
        return None if found is None or found.same else found.p


def judge(
    now: Sequence[CellRecord],
    then: Sequence[CellRecord] | None,
    gate: Gate,
    trivial: Trivial | None = None,
) -> list[Verdict]:
    """The verdicts of all gates over these records, way by way, the seeds of each together.

    ``then`` are the baseline's records (None: there is no baseline), ``trivial`` this run's trivial answerers. What
    neither run knows of a cell is not gated, unless the suite asks for it in other than the usual words.
    """
    runs = Runs.of(now, then, trivial or {})
    drafts = [
        draft for way in runs.now.values() for rule in _rules(gate, way) for draft in _drafts(runs, way, rule, gate)
    ]
    p_values = [draft.p for draft in drafts]
    adjusted = holm(p_values) if gate.correction == HOLM else p_values
    return [_decided(draft, after, gate) for draft, after in zip(drafts, adjusted, strict=True)]


def judge_again(
    verdict: Verdict,
    now: Sequence[CellRecord],
    then: Sequence[CellRecord] | None,
    gate: Gate,
    fresh: Sequence[CellRecord],
    trivial: Trivial | None = None,
) -> Verdict:
    """A failing verdict after measuring again: ``fresh`` are records of other seeds, or of the same timed anew.

    A training and a limit are decided on all seeds together, a time by the fresh ones alone, that is it has to fail
    twice. The correction over the family is what it was: whatever else is measured again doesn't change it. Another
    verdict than a failing one, an evaluation and a peak stay what they are, for there is nothing to learn from a second
    look at the same answers.
    """
    mine = Runs.of([*fresh], None, {}).now.get(verdict.cell)
    if verdict.outcome is not Outcome.FAIL or verdict.kind in (Kind.EVALUATION, Kind.PEAK) or mine is None:
        return verdict
    if not mine.seeds:
        return replace(verdict, rerun=f"it could not be measured again ({mine.lost})")
    timed = METRICS[verdict.metric].name == "ms_per_token"
    others = [record for record in now if not timed or record.id not in {each.id for each in mine.all}]
    runs = Runs.of([*others, *mine.seeds], then, trivial or {})
    way = Way.of(mine.seeds) if timed else runs.now[verdict.cell]
    rule = next((each for each in _rules(gate, way) if each.metric == verdict.metric), None)
    wanted = verdict.kind is Kind.LIMIT
    drafts = (
        [] if rule is None else [d for d in _drafts(runs, way, rule, gate) if (d.verdict.kind is Kind.LIMIT) is wanted]
    )
    if not drafts:
        return verdict
    times = verdict.adjusted / verdict.p if verdict.adjusted is not None and verdict.p else 1.0
    p = drafts[0].p
    again = _decided(drafts[0], None if p is None else min(1.0, p * times), gate)
    what = "timed anew" if timed else f"with {len(mine.seeds)} fresh seed{'s' * (len(mine.seeds) > 1)}"
    said = f"it failed before ({_said(verdict)}); {what} it is {_said(again)}"
    return replace(again, rerun=said)


def _said(verdict: Verdict) -> str:
    number, unit = (verdict.change, verdict.change_unit) if verdict.change is not None else (verdict.now, verdict.unit)
    return "unknown" if number is None else f"{number:{'+' if verdict.change is not None else ''}.3g} {unit}"


def _rules(gate: Gate, way: Way) -> list[GateRule]:
    return gate.rules_for(way.id, way.first.train_task, way.first.eval_task)


def _drafts(runs: Runs, way: Way, rule: GateRule, gate: Gate) -> Iterator[Draft]:
    """What a rule says of a way: of its limit, and of its change."""
    if rule.limit is not None:
        yield Draft(limit_verdict(runs, way, rule, gate), rule)
    if rule.compares and (draft := _change(runs, way, rule, gate)) is not None:
        yield draft


def _change(runs: Runs, way: Way, rule: GateRule, gate: Gate) -> Draft | None:
    """The change against the baseline; None where neither run knows the metric and it wasn't asked for."""
    then = (runs.then or {}).get(way.id)
    if not way.seeds:
        if rule.metric == "train_memory" and way.first.train_task is None:
            return None
        why = f"it was not measured ({way.lost})"
        return Draft(_open(way, rule, gate, Outcome.INCONCLUSIVE, why, "mend the cell, and run it again"), rule)
    if then is None or not then.seeds:
        if runs.value(rule.metric, way) is None:
            return _nothing_known(way, rule, gate)
        why = "there is no baseline" if runs.then is None else "the baseline does not have this cell"
        verdict = _open(way, rule, gate, Outcome.MISSING, why, f"accept one ({ACCEPT})")
        return Draft(replace(verdict, now=runs.value(rule.metric, way)), rule)
    return _compared(runs, then, way, rule, gate)


def _compared(runs: Runs, then: Way, now: Way, rule: GateRule, gate: Gate) -> Draft | None:
    """The change of a way that both runs have measured."""
    was, value = (runs.value(rule.metric, each) for each in (then, now))
    if was is None and value is None:
        return _nothing_known(now, rule, gate)
    kind = _kind(rule, then, now)
    given: dict[str, Any] = {"kind": kind, "was": was, "now": value, "seeds": (len(then.seeds), len(now.seeds))}
    if was is None or value is None:
        outcome = Outcome.MISSING if was is None else Outcome.INCONCLUSIVE
        why = f"{'the baseline' if was is None else 'this run'} does not know it"
        fixed = f"accept a new baseline ({ACCEPT})" if was is None else "measure it as the baseline did"
        return Draft(replace(_open(now, rule, gate, outcome, why, fixed), **given), rule)
    if (refusal := refused(_facts(runs, rule, now), then, now)) is not None:
        verdict = _open(now, rule, gate, Outcome.INCOMPARABLE, refusal.difference, fix(refusal))
        return Draft(replace(verdict, **given), rule)
    if rule.metric in _MEMORY:
        return _peak(then, now, rule, gate)
    alike = same_answers(then, now) if rule.metric != "ms_per_token" else None
    higher = METRICS[rule.metric].higher_is_better
    if rule.metric == "score":
        higher = runs.tasks[now.first.eval_task].headline.higher_is_better
    if alike is not None:
        seeds = (len(alike.seeds), len(now.seeds))
        found: Worsening | None = Worsening(kind, value, value, 0.0, lambda _: "", seeds=seeds, same=True)
    elif kind is Kind.TIMING:
        found = timing(runs, rule, gate, then, now)
    else:
        found = (evaluation if kind is Kind.EVALUATION else training)(runs, rule, gate, then, now, higher)
    if found is None:
        verdict = _open(now, rule, gate, Outcome.INCONCLUSIVE, "a seed does not know it", "measure all seeds alike")
        return Draft(replace(verdict, **given), rule)
    sign = -1 if higher else 1
    change = None if found.worse is None else 0.0 + sign * found.worse
    interval = None if found.interval is None else tuple(sorted(sign * end for end in found.interval))
    verdict = replace(
        *(_open(now, rule, gate, Outcome.INCONCLUSIVE, found.unknown, ""),),
        **given | {"was": found.was, "now": found.now, "seeds": found.seeds},
        change=change,
        interval=interval,
        n=found.n,
        p=found.p,
    )
    return Draft(verdict, rule, found)


def _decided(draft: Draft, adjusted: float | None, gate: Gate) -> Verdict:
    """The verdict, now that the p-value's correction is known."""
    found, rule = draft.worsening, draft.rule
    if found is None:
        return draft.verdict
    verdict = replace(draft.verdict, adjusted=adjusted)
    if found.same:
        return replace(verdict, outcome=Outcome.PASS, action="pass", why="every answer is the same as then")
    level = gate.alpha * (found.p / adjusted if adjusted and found.p else 1.0)
    if found.p is None or adjusted is None or found.bound is None or found.worse is None:
        return replace(verdict, need=found.need(level))
    matters = found.worse >= rule.effect * (1 - 1e-9)
    shown = adjusted <= gate.alpha and matters
    if shown and not found.doubt:
        return replace(verdict, outcome=Outcome.FAIL, action="fail", why="")
    if found.bound <= rule.effect and not shown:
        return replace(verdict, outcome=Outcome.PASS, action="pass", why="")
    if shown:
        why = found.doubt
    else:
        # what is not shown may yet be there
        unit = METRICS[rule.metric].change
        why = f"it may be worse by {found.bound:.3g} {unit}, and {rule.effect:g} matter"
    return replace(verdict, why=why, need=found.need(level))


def _peak(then: Way, now: Way, rule: GateRule, gate: Gate) -> Draft:
    """The verdict on a peak of memory, in which there is no chance."""
    delta, rise = peak(then, now, _MEMORY[rule.metric][0])
    given: dict[str, Any] = {"was": delta.then, "now": delta.now, "seeds": (len(then.seeds), len(now.seeds))}
    if delta.refusal is not None:
        verdict = _open(now, rule, gate, Outcome.INCOMPARABLE, delta.refusal.difference, fix(delta.refusal))
        return Draft(replace(verdict, **given), rule)
    # from nothing to more than a process takes by itself is no rise in percent, and one all the same
    fails = rise is None or (rise > rule.allowed and rise >= rule.effect)
    outcome, action = (Outcome.FAIL, "fail") if fails else (Outcome.PASS, "pass")
    within = "the change is within what a process takes by itself" if rise == 0.0 and delta.change else ""
    verdict = replace(_open(now, rule, gate, outcome, within, ""), action=action, change=delta.percent, **given)
    return Draft(verdict, rule)


def _open(way: Way, rule: GateRule, gate: Gate, outcome: Outcome, why: str, need: str) -> Verdict:
    """A verdict without numbers, and what it does where it is neither pass nor fail."""
    metric = METRICS[rule.metric]
    case = {Outcome.MISSING: "missing_baseline", Outcome.INCOMPARABLE: "incomparable"}.get(outcome, "inconclusive")
    return Verdict(
        cell=way.id,
        metric=rule.metric,
        kind=_kind(rule, way, way),
        outcome=outcome,
        action=gate.action(rule, case),
        limit=change_text(rule),
        unit=metric.unit,
        change_unit=metric.change,
        seeds=(0, len(way.seeds)),
        why=why,
        need=need,
    )


def _nothing_known(way: Way, rule: GateRule, gate: Gate) -> Draft | None:
    """What is asked for and known of neither run; None where nobody asked for it, or an untuned model has none."""
    if rule == GateRule.usual(rule.metric) or (rule.metric == "train_memory" and way.first.train_task is None):
        return None
    return Draft(_open(way, rule, gate, Outcome.INCONCLUSIVE, "neither run knows it", "measure it in both"), rule)


def _kind(rule: GateRule, then: Way, now: Way) -> Kind:
    if rule.metric in _MEMORY:
        return Kind.PEAK
    if rule.metric == "ms_per_token":
        return Kind.TIMING
    return Kind.EVALUATION if same_weights(then, now) else Kind.TRAINING


def _facts(runs: Runs, rule: GateRule, way: Way) -> Sequence[Fact]:
    """What both runs must agree in."""
    if rule.metric == "ms_per_token":
        return refusals.LATENCY
    if rule.metric in _MEMORY:
        return _MEMORY[rule.metric][1]
    # a task that compares texts has embedders as soon as one of its scores is known
    scored = rule.metric == "score" and runs.tasks[way.first.eval_task].embedders
    return refusals.SCORE if scored else refusals.TOKENS

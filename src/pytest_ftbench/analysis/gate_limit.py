"""A metric's floor or ceiling: the mean over seeds is beyond it or is not."""

from pytest_ftbench.analysis.gate_verdict import Kind, Outcome, Verdict
from pytest_ftbench.analysis.gate_ways import Runs, Way
from pytest_ftbench.analysis.gate_words import limit_text
from pytest_ftbench.analysis.intervals import full_score, score_interval
from pytest_ftbench.analysis.metrics import item_count
from pytest_ftbench.analysis.validity import hardly_answers
from pytest_ftbench.grid.gates import METRICS, Gate, GateRule


def limit_verdict(runs: Runs, way: Way, rule: GateRule, gate: Gate) -> Verdict:
    """The verdict on a way's mean. A score that few outputs are behind (INVALID) keeps no floor, however high it is."""
    metric, value = METRICS[rule.metric], runs.value(rule.metric, way) if way.seeds else None
    outcome, action, why, need = Outcome.PASS, "pass", "", ""
    if value is None or rule.limit is None:
        outcome, action = Outcome.INCONCLUSIVE, gate.action(rule, "inconclusive")
        why = "this run does not know it" if way.seeds else f"it was not measured ({way.lost})"
        need = "measure it" if way.seeds else "mend the cell, and run it again"
    elif value < rule.limit if metric.higher_is_better else value > rule.limit:
        outcome, action, need = Outcome.FAIL, "fail", "mend it, or move the limit in the suite's file"
    if rule.metric == "score" and value is not None and any(map(hardly_answers, way.seeds)):
        outcome, action, need = Outcome.FAIL, "fail", "mend the form of its outputs"
        why = "it is INVALID: fewer than half of the outputs can be read, or more than half are empty"
    return Verdict(
        cell=way.id,
        metric=rule.metric,
        kind=Kind.LIMIT,
        outcome=outcome,
        action=action,
        limit=limit_text(rule),
        now=value,
        unit=metric.unit,
        interval=_interval(runs, way) if rule.metric == "score" and value is not None else None,
        n=item_count(way.first),
        seeds=(0, len(way.seeds)),
        why=why,
        need=need,
    )


def _interval(runs: Runs, way: Way) -> tuple[float, float] | None:
    task = runs.tasks[way.first.eval_task]
    found = score_interval(way.pooled, task, runs.evidence)
    times = 100 / full_score(task.headline.key)
    return None if found is None else (found.low * times, found.high * times)

"""The verdicts of a run's gates: each metric of each way against its limit, and against the baseline.

A change for the worse fails where it is shown to be more than is allowed, corrected over all comparisons of the run,
and is as large as matters by itself. It passes where its one-sided bound is no more than what matters. Between the two
it is inconclusive: a test that shows nothing is no test that shows there is nothing.

What chance is depends on what was done again. The same weights would answer other items differently: they are compared
in pairs. A training made anew differs by its seed. A machine is faster on one day than on another.
"""

from collections.abc import Sequence
from dataclasses import replace

from pytest_ftbench.analysis.gate_drafts import Draft, drafts
from pytest_ftbench.analysis.gate_verdict import Kind, Outcome, Verdict
from pytest_ftbench.analysis.gate_ways import Runs, Way, ways_of
from pytest_ftbench.analysis.gate_words import MEND, change_of
from pytest_ftbench.analysis.gate_worsening import ROUNDING, Worsening
from pytest_ftbench.analysis.metrics import Trivial
from pytest_ftbench.analysis.paired import holm
from pytest_ftbench.grid import CellRecord
from pytest_ftbench.grid.gates import HOLM, METRICS, Gate, GateRule


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
    found = [draft for way in runs.now.values() for draft in drafts(runs, way, gate)]
    p_values = [draft.p for draft in found]
    adjusted = holm(p_values) if gate.correction == HOLM else p_values
    return [_decided(draft, after, gate) for draft, after in zip(found, adjusted, strict=True)]


def judge_again(
    verdict: Verdict,
    now: Sequence[CellRecord],
    then: Sequence[CellRecord] | None,
    gate: Gate,
    fresh: Sequence[CellRecord],
    trivial: Trivial | None = None,
) -> Verdict:
    """A failing verdict after measuring again: ``fresh`` are records of other seeds, or of the same timed anew.

    A training and a limit are decided on all seeds together; a time by the fresh ones alone, so that it has to fail
    twice. The correction over the family stays what it was, whatever else is measured again. Any other verdict than a
    failing one is returned as it is; so are an evaluation and a peak, for there is nothing to learn from a second look
    at the same answers.
    """
    mine = ways_of(fresh).get(verdict.cell)
    if verdict.outcome is not Outcome.FAIL or verdict.kind in (Kind.EVALUATION, Kind.PEAK) or mine is None:
        return verdict
    if not mine.seeds:
        return replace(verdict, rerun=f"it could not be measured again ({mine.lost})")
    timed = verdict.metric == "ms_per_token"
    runs = Runs.of([*now, *mine.seeds], then, trivial or {})
    way = Way.of(mine.seeds) if timed else runs.now.get(verdict.cell)
    found = [] if way is None else drafts(runs, way, gate, verdict.metric)
    again = [each for each in found if (each.verdict.kind is Kind.LIMIT) is (verdict.kind is Kind.LIMIT)]
    if not again:
        return verdict
    p, times = again[0].p, _correction(verdict)
    decided = _decided(again[0], None if p is None else min(1.0, p * times), gate)
    what = "timed anew" if timed else f"with {len(mine.seeds)} fresh seed{'s' * (len(mine.seeds) > 1)}"
    return replace(decided, rerun=f"it failed with {change_of(verdict)}; {what} it is {change_of(decided)}")


def _correction(verdict: Verdict) -> float:
    """What Holm's procedure multiplied its p-value by."""
    return verdict.adjusted / verdict.p if verdict.adjusted is not None and verdict.p else 1.0


def _decided(draft: Draft, adjusted: float | None, gate: Gate) -> Verdict:
    """The verdict, now that the correction of its p-value is known."""
    found = draft.worsening
    verdict = draft.verdict if found is None else _judged(draft.verdict, found, draft.rule, adjusted, gate)
    if verdict.outcome is Outcome.PASS:
        return verdict
    return replace(verdict, why="; ".join(filter(None, [verdict.why, draft.note()])))


def _judged(verdict: Verdict, found: Worsening, rule: GateRule, adjusted: float | None, gate: Gate) -> Verdict:
    """The verdict on a worsening."""
    if found.same:
        return replace(verdict, outcome=Outcome.PASS, action="pass", why=found.same)
    verdict = replace(verdict, adjusted=adjusted)
    if found.p is None or found.bound is None or adjusted is None:
        return replace(verdict, need=found.need(gate.alpha))
    shown = adjusted <= gate.alpha and found.worse >= rule.effect * (1 - ROUNDING)
    if shown and not found.doubt:
        return replace(verdict, outcome=Outcome.FAIL, action="fail", need=MEND)
    if not shown and found.bound <= rule.effect * (1 + ROUNDING):
        return replace(verdict, outcome=Outcome.PASS, action="pass")
    unit = METRICS[rule.metric].change
    # what isn't shown may yet be there
    why = found.doubt if shown else f"it may be worse by {found.bound:.3g} {unit}, and {rule.effect:g} matter"
    return replace(verdict, why=why, need=found.need(gate.alpha * found.p / adjusted))

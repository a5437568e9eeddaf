"""Floors, ceilings and peaks of memory: verdicts in which there is no chance."""

import pytest
from strategies_gates import THEN, only, seeds

from pytest_ftbench.analysis import Kind, Outcome, judge, message
from pytest_ftbench.analysis.gate_cost import PROCESS_NOISE
from pytest_ftbench.grid import Gate, GateRule


@pytest.mark.parametrize(("form", "limit", "outcome"), [(100, 90, "pass"), (100, 95, "fail"), (40, 90, "fail")])
def test_a_floor_is_of_the_mean_and_kept_by_no_score_that_is_invalid(form, limit, outcome):
    gate = Gate(rules=(GateRule("score", limit=limit, compares=False),))
    (found,) = judge(seeds(THEN, form=form), None, gate)
    assert (found.outcome, found.kind, found.p, found.was) == (outcome, Kind.LIMIT, None, None)
    assert found.now == pytest.approx(91.1667, abs=1e-3)
    assert ("INVALID" in found.why) is (form < 50)
    assert f"allowed: at least {limit} points" in message(found)


def test_a_ceiling_is_of_what_is_better_lower_and_a_limit_of_the_unknown_is_inconclusive():
    gate = Gate(rules=(GateRule("ms_per_token", limit=12, compares=False),))
    assert [judge(seeds(THEN, ms=ms), None, gate)[0].outcome for ms in (11, 12, 13)] == ["pass", "pass", "fail"]
    (found,) = judge(seeds(THEN, latency_s={}), None, gate)
    assert (found.outcome, found.action) == (Outcome.INCONCLUSIVE, "warn")
    (found,) = judge(seeds(THEN, status="skipped"), None, gate)
    assert "it was not measured" in found.why


def test_a_rule_may_have_a_limit_and_a_change_of_which_either_fails_alone():
    gate = Gate(rules=(GateRule("score", limit=95, effect=5),))
    found = judge(seeds(THEN, first=10), seeds(THEN), gate)
    assert [(each.kind, each.outcome) for each in found] == [(Kind.LIMIT, "fail"), (Kind.TRAINING, "pass")]


@pytest.mark.parametrize(
    ("was", "now", "outcome", "change"),
    [(3.0, 3.2, "pass", 6.67), (3.0, 3.31, "fail", 10.3), (3.0, 2.0, "pass", -33.3), (1.0, 1.1, "pass", 10.0)],
)
def test_a_peak_of_memory_has_no_chance_in_it(was, now, outcome, change):
    found = only(seeds(THEN, memory=now, first=10), seeds(THEN, memory=was), "train_memory")
    assert (found.outcome, found.kind, found.change_unit) == (outcome, Kind.PEAK, "%")
    assert (found.was, found.now) == (was, now)
    assert found.change == pytest.approx(change, abs=0.05)


def test_of_peaks_the_largest_over_seeds_counts_and_what_a_process_takes_by_itself_does_not():
    def grown(*peaks):
        return [
            record
            for index, peak in enumerate(peaks)
            for record in seeds((90.0,), first=index, memory_gib={"train_process": peak})
        ]

    found = only(grown(0.02, 0.03), grown(0.01, 0.02, 0.01), "train_memory")
    assert (found.outcome, found.was, found.now, found.change) == (Outcome.PASS, 0.02, 0.03, pytest.approx(50))
    assert "by itself" in found.why
    assert only(grown(1.0 + 2 * PROCESS_NOISE), grown(1.0), "train_memory").outcome is Outcome.FAIL
    assert only(grown(1.0), grown(0.0), "train_memory").outcome is Outcome.FAIL
    assert only(grown(PROCESS_NOISE / 2), grown(0.0), "train_memory").outcome is Outcome.PASS


def test_peaks_of_different_kinds_are_incomparable():
    then = seeds(THEN, memory_gib={"train_process": 1.0})
    found = only(seeds(THEN, first=10), then, "train_memory")
    assert (found.outcome, found.change) == (Outcome.INCOMPARABLE, None)
    assert "allocator" in found.why


def test_a_rise_of_memory_that_is_more_than_allowed_and_less_than_matters_passes():
    def memory(now, **rule):
        return only(seeds(THEN, memory=now, first=10), seeds(THEN, memory=1.0), "train_memory", **rule).outcome

    assert [memory(now, allowed=0.0, effect=20.0) for now in (1.1, 1.2, 1.3)] == ["pass", "fail", "fail"]

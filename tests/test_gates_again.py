"""Verdicts after measuring again: what fails is looked at twice, nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_gates import SCORE, THEN, WAY, only, outcome_of, score, seeds

from pytest_ftbench.analysis import Kind, Outcome, judge, judge_again, message
from pytest_ftbench.grid import Gate, GateRule


@pytest.mark.parametrize("what", ["fresh seeds", "no such way", "nothing"])
@given(now=st.lists(st.floats(60, 100), min_size=2, max_size=3), fresh=st.lists(st.floats(0, 100), max_size=3))
def test_what_does_not_fail_is_not_judged_again(what, now, fresh):
    then = seeds(THEN)
    found = score(now)
    given = {"fresh seeds": seeds(fresh, first=50), "no such way": seeds(fresh, first=50, rank=99), "nothing": []}[what]
    again = judge_again(found, seeds(now, first=10), then, SCORE, given)
    assert found.outcome is Outcome.FAIL or again is found


def test_a_failing_training_is_decided_again_on_all_its_seeds_with_the_correction_it_had():
    then = seeds(THEN) + seeds(THEN, rank=16) + seeds(THEN, rank=32)
    now = seeds((79.0, 80.0, 78.0), first=10) + seeds(THEN, rank=16, first=10) + seeds(THEN, rank=32, first=10)
    found = outcome_of(judge(now, then, SCORE), cell=WAY)
    assert (found.outcome, round(found.adjusted / found.p)) == (Outcome.FAIL, 3)
    still = judge_again(found, now, then, SCORE, seeds((79.5,), first=50))
    assert (still.outcome, still.seeds) == (Outcome.FAIL, (3, 4))
    assert still.adjusted / still.p == pytest.approx(3)
    assert still.rerun == "it failed with -12.2 points; with 1 fresh seed it is -12 points"
    assert still.rerun[1:] in message(still)
    # a fresh seed as good as ever: how far seeds lie apart isn't what it seemed
    open_again = judge_again(found, now, then, SCORE, seeds((95.0,), first=50))
    assert open_again.outcome is Outcome.INCONCLUSIVE
    assert open_again.action == "warn"


def test_what_could_not_be_measured_again_fails_as_before_and_says_so():
    now, then = seeds((70.0, 71.0, 72.0), first=10), seeds(THEN)
    found = outcome_of(judge(now, then, SCORE))
    again = judge_again(found, now, then, SCORE, seeds((0.0,), first=50, status="failed"))
    assert again.outcome is Outcome.FAIL
    assert again.rerun == "it could not be measured again (failed)"
    assert judge_again(found, now, then, SCORE, []) is found
    # of what this run hasn't measured there is nothing to judge
    assert judge_again(found, [], then, SCORE, seeds((70.0,), rank=16)) is found


def test_a_limit_is_judged_again_on_all_seeds():
    gate = Gate(rules=(GateRule("score", limit=90, compares=False),))
    now = seeds((89.0, 90.0), first=10)
    (found,) = judge(now, None, gate)
    assert found.outcome is Outcome.FAIL
    assert judge_again(found, now, None, gate, seeds((92.0,), first=50)).outcome is Outcome.PASS
    assert judge_again(found, now, None, gate, seeds((90.0,), first=50)).outcome is Outcome.FAIL


def test_a_time_has_to_be_too_long_twice():
    now, then = seeds(THEN, ms=15.0, first=10), seeds(THEN)
    gate = Gate(rules=(GateRule.usual("ms_per_token"),))
    (found,) = judge(now, then, gate)
    assert (found.outcome, found.kind) == (Outcome.FAIL, Kind.TIMING)
    assert judge_again(found, now, then, gate, seeds(THEN, ms=15.0, first=10)).outcome is Outcome.FAIL
    again = judge_again(found, now, then, gate, seeds(THEN, ms=10.0, first=10))
    assert (again.outcome, again.now) == (Outcome.PASS, pytest.approx(10))
    assert again.rerun == "it failed with +50 %; timed anew it is +0 %"


def test_a_peak_is_not_measured_again():
    now, then = seeds(THEN, memory=5.0, first=10), seeds(THEN)
    found = only(now, then, "train_memory")
    assert judge_again(found, now, then, Gate(), seeds(THEN, memory=3.0)) is found

"""What of gate items needs no run: which seeds are fresh, and which numbers JUnit's readers get."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ftbench.analysis.gate_verdict import Kind, Outcome, Verdict
from pytest_ftbench.gate_items import properties
from pytest_ftbench.gate_reruns import fresh_seeds, note_company
from pytest_ftbench.grid import Cell, CellRecord, MethodSpec, ModelSpec, Suite, SweepSpec, Thresholds

SUITE = Suite(
    "suite", Path("suite.toml"), (ModelSpec("nano", "embedded:nano"),), (MethodSpec("nopeft"),), ("arc",), ("arc",)
)
seeds = st.integers(0, 12)


@given(st.lists(seeds, unique=True, min_size=1), st.none() | seeds, st.booleans(), st.integers(1, 10))
def test_a_fresh_seed_is_one_that_nothing_was_trained_with(used, sweeps, tuned, count):
    sweep = SweepSpec(seed=None if sweeps in used else sweeps)
    suite = replace(SUITE, seeds=tuple(used), sweep=sweep, tuned=tuned)
    fresh = fresh_seeds(suite, count)
    assert len(set(fresh)) == count
    assert not set(fresh) & {*used, sweep.seed, suite.selection_seed}
    # so that a run of the same commit finds them in its cache
    assert fresh == fresh_seeds(suite, count)
    assert fresh == fresh_seeds(suite, count + 1)[:count]


def verdict(kind, **more):
    return Verdict("nano-base-to-arc", "score", kind, Outcome.FAIL, "fail", "no drop shown", **more).as_dict()


def test_numbers_that_are_known_are_told_the_corrected_chance_before_the_bare_one():
    change = verdict(Kind.TRAINING, was=90.0, now=70.0, change=-20.0, interval=(-25.0, -15.0), p=0.01, adjusted=0.03)
    assert dict(properties([change])) == {
        "score.was": 90.0,
        "score.now": 70.0,
        "score.change": -20.0,
        "score.low": -25.0,
        "score.high": -15.0,
        "score.p": 0.03,
        "score.limit": "no drop shown",
        "score.outcome": "fail",
    }
    assert dict(properties([verdict(Kind.PEAK, p=0.5)])) == {
        "score.p": 0.5,
        "score.limit": "no drop shown",
        "score.outcome": "fail",
    }


def test_a_floor_beside_a_change_of_the_same_metric_keeps_its_numbers_apart():
    names = [name for name, _ in properties([verdict(Kind.LIMIT, now=70.0), verdict(Kind.TRAINING, now=70.0)])]
    assert len(set(names)) == len(names)
    assert {"score.bound.now", "score.now"} <= set(names)
    assert "score.now" in dict(properties([verdict(Kind.LIMIT, now=70.0)]))


@pytest.mark.parametrize(("off", "found"), [((), ["V16"]), (("V16",), [])])
def test_times_that_others_had_a_part_in_are_flagged_before_they_are_judged(off, found):
    latency = {"samples": [1.0], "n": 1, "cores_of_others": 1.9, "cores": 2, "threads": 1}
    record = CellRecord.of(Cell("nano", "base", "arc"), n=0, latency_s=latency)
    note_company([record], Thresholds(off=off))
    assert record.flags == found

"""Runs that nobody should have written: all of them are judged, and every verdict can be told."""

import json
import math

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from strategies_compare import foreign_records, runs, trivials
from strategies_gates import THEN, answered, gates, seeds
from strategies_hostile import hostile_records

from pytest_ftbench.analysis import Kind, Outcome, Verdict, judge, judge_again, message
from pytest_ftbench.grid import Gate

# shrinking whole runs takes minutes, and tells little
GENERATED = [phase for phase in Phase if phase is not Phase.shrink]


def test_a_verdict_travels_as_plain_json():
    for each in judge(seeds((74.0, 75.0, 73.0), first=10), seeds(THEN), Gate()):
        assert Verdict.from_dict(json.loads(json.dumps(each.as_dict()))) == each


def numbers_of(verdict):
    """All numbers of a verdict."""
    return [
        value
        for value in (verdict.was, verdict.now, verdict.change, verdict.p, verdict.adjusted, *(verdict.interval or ()))
        if value is not None
    ]


@settings(max_examples=60, phases=GENERATED)
@given(runs | hostile_records(4), st.none() | runs | hostile_records(4), gates, trivials)
def test_any_records_are_judged_and_every_verdict_can_be_told(now, then, gate, trivial):
    found = judge(now, then, gate, trivial)
    for each in found + judge(now, now, gate, trivial):
        assert all(math.isfinite(value) for value in numbers_of(each))
        assert Verdict.from_dict(json.loads(json.dumps(each.as_dict()))) == each
        assert "\n" not in message(each)
        assert each.action in ("fail", "warn", "skip", "pass")
        assert judge_again(each, now, then, gate, now, trivial).cell == each.cell
    if then is None:
        assert all(each.outcome is not Outcome.PASS or each.kind is Kind.LIMIT for each in found)


_points = st.floats(0, 100) | st.sampled_from([0.0, 100.0])


@st.composite
def any_way(draw):
    """Records of one way, foreign in one of their fields."""
    made = seeds(draw(st.lists(_points, min_size=1, max_size=3)), form=draw(_points), ms=draw(st.floats(1e-3, 1e3)))
    foreign = draw(foreign_records())
    for name in draw(
        st.lists(st.sampled_from(["n", "latency_s", "memory_gib", "output_tokens", "extra", "format_rate"]))
    ):
        setattr(made[draw(st.integers(0, len(made) - 1))], name, getattr(foreign, name))
    items = draw(st.sampled_from([None, answered(3, 2, 1, 100.0), [3], [{}], [{"item": "a", "score": "b"}]]))
    made[0].items = items or []
    return made


@settings(max_examples=150, phases=GENERATED)
@given(any_way(), any_way(), gates)
def test_records_that_are_nearly_right_are_judged_too(now, then, gate):
    for each in judge(now, then, gate):
        assert all(math.isfinite(value) for value in numbers_of(each))
        assert "\n" not in message(each)

"""The ``[gate]`` table: what it says becomes rules, what it can't mean is an error that says how to mend it."""

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_gates import gates

from pytest_ftbench.grid import GATE_METRICS, Gate, GateRule, GateTable, UserError

PLACE = Path("suites/mine.toml")
CELLS = [("nano-lora-squad-to-squad", "squad"), ("nano-lora-arc-to-squad", "arc"), ("nano-base-to-squad", None)]
"""A way's id and what it was trained on; all are tested on squad."""


def read(text):
    """The gate in a table of a suite."""
    return GateTable(PLACE).gate(tomllib.loads(text))


def test_an_empty_table_gates_the_usual_metrics_by_their_defaults():
    gate = read("")
    assert gate == Gate()
    assert {rule.metric: (rule.allowed, rule.effect) for rule in gate.rules} == {
        "score": (0, 5),
        "format_rate": (0, 5),
        "ms_per_token": (0, 25),
        "train_memory": (10, 10),
        "eval_memory": (10, 10),
    }
    assert (gate.alpha, gate.correction, gate.rerun, gate.seed_stddev, gate.timing_noise) == (0.05, "holm", 1, None, 5)
    assert (gate.on_inconclusive, gate.on_missing_baseline, gate.on_incomparable) == ("warn", "fail", "fail")


def test_the_table_of_the_docstring_is_one():
    from pytest_ftbench.grid import gate_table

    _, _, text = gate_table.__doc__.partition("::\n")
    gate = GateTable(PLACE).gate(tomllib.loads(text)["gate"])
    assert gate.baseline == Path("suites/baselines/mine.json")
    assert gate.seed_stddev == 3
    score, form, speed = gate.rules
    assert score == GateRule("score", ("in-domain",), limit=60, allowed=0, effect=5)
    assert speed == GateRule("ms_per_token", limit=12, allowed=0, effect=25, on={"on_incomparable": "warn"})
    assert form == GateRule("format_rate", limit=90, allowed=0, effect=5, compares=False)


def test_a_table_that_names_metrics_gates_these_alone_and_a_larger_drop_is_what_matters():
    (rule,) = read("[tokens]\nlargest_rise = 40").rules
    assert rule == GateRule("tokens", allowed=40, effect=40)


@pytest.mark.parametrize(
    ("text", "place", "problem", "fix"),
    [
        ("alpah = 0.1", "gate.alpah", "is an unknown key", "alpha"),
        ("alpha = 1", "gate.alpha", "is 1", "fraction between 0 and 1"),
        ("alpha = 0", "gate.alpha", "is 0", "fraction between 0 and 1"),
        ("alpha = 'a'", "gate.alpha", "is 'a'", "type float"),
        ("rerun = 11", "gate.rerun", "is 11", "whole number of 0 to 10"),
        ("rerun = true", "gate.rerun", "is True", "whole number of 0 to 10"),
        ("rerun = 1.0", "gate.rerun", "is 1.0", "whole number of 0 to 10"),
        ("correction = 'bonferroni'", "gate.correction", "is 'bonferroni'", "one of holm, none"),
        ("on_incomparable = 'ignore'", "gate.on_incomparable", "is 'ignore'", "one of fail, warn, skip, pass"),
        ("baseline = 3", "gate.baseline", "is 3", "type str"),
        ("seed_stddev = -1", "gate.seed_stddev", "is -1", "0 or more"),
        ("timing_noise = inf", "gate.timing_noise", "is inf", "finite number"),
        ("timing_noise = 1e10", "gate.timing_noise", "larger than any", "at most 1e+09"),
        (f"seed_stddev = {10**400}", "gate.seed_stddev", "larger than any", "at most 1e+09"),
        ("score = 3", "gate.score", "is 3", "write it as a table"),
        ("score = []", "gate.score", "is []", "write it as a table"),
        ("[score]\nceiling = 3", "gate.score.ceiling", "is an unknown key", "cells"),
        ("[tokens]\nlargest_drop = 3", "gate.tokens.largest_drop", "is an unknown key", "largest_rise"),
        ("[score]\nfloor = 101", "gate.score.floor", "is 101", "0 to 100"),
        ("[format_rate]\nfloor = 90.5\nlargest_drop = -1", "gate.format_rate.largest_drop", "is -1", "0 or more"),
        (
            "[score]\nlargest_drop = 3\nsmallest_effect = 2",
            "gate.score.smallest_effect",
            "less than largest_drop (3)",
            "3",
        ),
        ("[score]\ncompare = false", "gate.score.compare", "false and there is no floor", "give a floor"),
        ("[tokens]\ncompare = false", "gate.tokens.compare", "false and there is no ceiling", "give a ceiling"),
        ("[score]\ncompare = 1", "gate.score.compare", "is 1", "type bool"),
        ("[score]\ncells = []", "gate.score.cells", "is []", "all, base, tuned, in-domain"),
        ("[score]\ncells = ['all', '']", "gate.score.cells", "is ['all', '']", "patterns"),
        ("[score]\ncells = 3", "gate.score.cells", "is 3", "give one or a list"),
        ("[[score]]\nfloor = 3\n[[score]]\nfloor = 'a'", "gate.score[1].floor", "is 'a'", "type float"),
        ("[score]\non_inconclusive = 'no'", "gate.score.on_inconclusive", "is 'no'", "one of fail"),
        ("[score]\non_inconclusiv = 'fail'", "gate.score.on_inconclusiv", "unknown key", "on_inconclusive"),
    ],
)
def test_what_a_table_cannot_mean_is_an_error_with_its_place_and_a_fix(text, place, problem, fix):
    with pytest.raises(UserError) as error:
        read(text)
    said = str(error.value)
    assert said.startswith(f"{PLACE}: {place}: ")
    assert problem in said
    assert fix in said.partition(problem)[2]


def test_the_last_rule_of_a_metric_that_covers_a_cell_counts():
    first, second, third = "floor = 10", "cells = 'in-domain'\nfloor = 60", "cells = 'nano-base*'\nfloor = 1"
    gate = read(f"[[score]]\n{first}\n[[score]]\n{second}\n[[score]]\n{third}")
    assert [[rule.limit for rule in gate.rules_for(*cell, "squad")] for cell in CELLS] == [[60], [10], [1]]


@pytest.mark.parametrize(
    ("words", "covered"),
    [
        (("all",), [True] * 3),
        (("base",), [False, False, True]),
        (("tuned",), [True, True, False]),
        (("in-domain",), [True, False, False]),
        (("*-arc-to-*", "base"), [False, True, True]),
    ],
)
def test_words_and_patterns_choose_cells(words, covered):
    assert [GateRule("score", words).covers(*cell, "squad") for cell in CELLS] == covered


def test_an_action_of_a_rule_outweighs_the_gates():
    gate = read("on_incomparable = 'skip'\n[score]\non_inconclusive = 'fail'")
    (rule,) = gate.rules
    cases = ("inconclusive", "incomparable", "missing_baseline")
    assert [gate.action(rule, case) for case in cases] == ["fail", "skip", "fail"]


@given(gates)
def test_a_stored_gate_comes_back_as_it_was_but_for_measuring_again(gate):
    assert Gate.from_json(json.loads(json.dumps(gate.as_dict()))) == gate


_nonsense = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-3, 10**400) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=3,
)


@given(gates, st.data())
def test_a_gate_that_makes_no_sense_is_none(gate, data):
    value = gate.as_dict()
    place = data.draw(st.sampled_from([value, *value["rules"]]))
    key = data.draw(st.sampled_from(sorted(place)))
    place[key] = data.draw(_nonsense)
    found = Gate.from_json(value)
    # what is read all the same is what a suite's file might have said
    assert found is None or all(
        0 <= number <= 1e9
        for rule in found.rules
        for number in (
            rule.limit or 0,
            rule.allowed,
            rule.effect - rule.allowed,
            found.timing_noise,
            found.seed_stddev or 0,
        )
    )


@pytest.mark.parametrize(
    "change",
    [
        {"alpha": 0},
        {"alpha": "much"},
        {"correction": "bonferroni"},
        {"timing_noise": -1},
        {"seed_stddev": float("nan")},
        {"on_incomparable": "shrug"},
        {"rules": [{"metric": "score"}]},
        {"rules": [GateRule("beauty").as_dict()]},
        {"rules": [GateRule("score", on={"on_inconclusive": "shrug"}).as_dict()]},
        {"rules": [GateRule("score", allowed=5, effect=3).as_dict()]},
        {"rules": None},
    ],
)
def test_so_is_each_of_these(change):
    assert Gate.from_json(Gate().as_dict() | change) is None


@pytest.mark.parametrize("value", [None, [], "gate", {}, 3])
def test_and_so_is_what_is_no_gate_at_all(value):
    assert Gate.from_json(value) is None


def test_every_metric_has_a_usual_rule_whose_effect_is_at_least_what_it_allows():
    for name in GATE_METRICS:
        usual = GateRule.usual(name)
        assert usual.effect >= usual.allowed
        assert read(f"[{name}]").rules == (usual,)

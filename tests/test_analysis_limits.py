"""Limits of what may get worse: their grammar, and that each is broken by what is worse or can't be told."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_compare import TRIVIAL, record

from pytest_ftbench.analysis import Limit, Measure, broken, compare, parse_limit, table
from pytest_ftbench.grid import UserError

SCORE, SPEED, TOKENS, TRAINING, ANSWERING = Measure
ID = "nano-lora-r8-squad-to-squad"


def breaches(then, now, *limits, trivial=TRIVIAL):
    """The sentences of the breaches between two records."""
    return [str(breach) for breach in broken(compare([now], [then], trivial), [parse_limit(text) for text in limits])]


@pytest.mark.parametrize(
    ("text", "measure", "number", "percent"),
    [
        ("score:2", SCORE, 2, False),
        ("score:0", SCORE, 0, False),
        ("ms_per_token:10%", SPEED, 10, True),
        ("ms_per_token:2.5%", SPEED, 2.5, True),
        ("tokens:.5", TOKENS, 0.5, False),
        ("train_memory:1e-3", TRAINING, 0.001, False),
        ("eval_memory:1E+2%", ANSWERING, 100, True),
    ],
)
def test_a_limit_is_a_field_and_a_number(text, measure, number, percent):
    assert parse_limit(text) == Limit(measure, number, percent)


@given(st.builds(Limit, st.sampled_from(Measure), st.floats(0, allow_infinity=False), st.booleans()))
def test_a_limits_text_is_that_limit(limit):
    assert parse_limit(str(limit)) == limit


FORM = "write FIELD:NUMBER or FIELD:NUMBER%, such as score:2 or ms_per_token:10%."
FIELDS = "known are eval_memory, ms_per_token, score, tokens, train_memory"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", f"limit '': has no colon between field and number; {FORM}"),
        ("score", f"limit 'score': has no colon between field and number; {FORM}"),
        ("scoer:2", f"limit 'scoer:2': 'scoer' is no field; did you mean 'score'? {FIELDS}."),
        ("mean:5%", f"limit 'mean:5%': 'mean' is no field; {FIELDS}."),
        ("Score:2", f"limit 'Score:2': 'Score' is no field; did you mean 'score'? {FIELDS}."),
        *(
            (f"score:{number}", f"limit 'score:{number}': '{number}' is no number of 0 or more; {FORM}")
            for number in ("", "%", "-1", "+1", "1.", "2 %", " 2", "2%%", "1e999", "nan", "inf", "two", "1_0", "٣")
        ),
    ],
)
def test_a_text_that_is_no_limit_is_refused_in_a_sentence(text, sentence):
    with pytest.raises(UserError) as error:
        parse_limit(text)
    assert str(error.value) == sentence


@given(st.text())
def test_any_text_is_a_limit_or_a_users_mistake(text):
    with contextlib.suppress(UserError):
        assert parse_limit(text).number >= 0


@pytest.mark.parametrize(
    ("then", "now", "limit", "sentence"),
    [
        ({"score": 60.0}, {"score": 58.0}, "score:2", None),
        ({"score": 60.0}, {"score": 90.0}, "score:0", None),
        (
            {"score": 60.0},
            {"score": 57.0},
            "score:2",
            "score (F1) fell from 60.00 to 57.00, by 3 (5 %), which is more than score:2 allows",
        ),
        ({"score": 60.0}, {"score": 57.0}, "score:5%", None),
        (
            {"score": 60.0},
            {"score": 57.0},
            "score:4.9%",
            "score (F1) fell from 60.00 to 57.00, by 3 (5 %), which is more than score:4.9% allows",
        ),
        ({"tpot": 0.010}, {"tpot": 0.011}, "ms_per_token:10%", None),
        ({"tpot": 0.010}, {"tpot": 0.001}, "ms_per_token:0", None),
        (
            {"tpot": 0.010},
            {"tpot": 0.0125},
            "ms_per_token:2",
            "ms per token rose from 10 to 12.5, by 2.5 (25 %), which is more than ms_per_token:2 allows",
        ),
        (
            {"tokens": 20.0},
            {"tokens": 25.0},
            "tokens:20%",
            "tokens per answer rose from 20 to 25, by 5 (25 %), which is more than tokens:20% allows",
        ),
        (
            {"tokens": 0.0},
            {"tokens": 2.0},
            "tokens:20%",
            "tokens per answer rose from 0 to 2, by 2, which is more than tokens:20% allows",
        ),
        (
            {"memory": (3.0, 1.5)},
            {"memory": (3.5, 1.5)},
            "train_memory:0.25",
            "GiB of training memory rose from 3 to 3.5, by 0.5 (16.7 %), which is more than train_memory:0.25 allows",
        ),
        (
            {},
            {"memory": (3.0, 3.0)},
            "eval_memory:99%",
            "GiB of answering memory rose from 1.5 to 3, by 1.5 (100 %), which is more than eval_memory:99% allows",
        ),
        (
            {"timing": {"workers": 2}},
            {},
            "ms_per_token:5%",
            "ms per token was 10 and is 10, which can't be judged by ms_per_token:5%: measured with 2 workers then, "
            "with 1 now",
        ),
        (
            {},
            {"score": None},
            "score:2",
            "score (F1) was 60.00 and is unknown, which can't be judged by score:2: the change is not known",
        ),
        (
            {"score": 49.5},
            {"score": 49.0},
            "score:2",
            "score (F1) was 49.50 and is 49.00, <trivial now and not then, which breaks score:2",
        ),
        (
            {},
            {"format_rate": 0.4},
            "score:2",
            "score (F1) was 60.00 and is 60.00, INVALID now and not then, which breaks score:2",
        ),
        ({}, {"format_rate": 0.4}, "tokens:0", None),
        ({"format_rate": 0.4}, {"format_rate": 0.4}, "score:0", None),
    ],
)
def test_a_limit_is_broken_by_what_is_worse_and_by_what_nobody_can_tell(then, now, limit, sentence):
    expected = [] if sentence is None else [f"{ID}: {sentence}."]
    assert breaches(record(**then), record(**now), limit) == expected


def test_where_lower_is_better_a_score_may_not_rise(monkeypatch):
    known = table.eval_task

    def lower(name, records):
        task = known(name, records)
        return replace(task, headline=replace(task.headline, higher_is_better=False))

    monkeypatch.setattr(table, "eval_task", lower)
    assert breaches(record(score=10.0), record(score=5.0), "score:0", trivial={}) == []
    (sentence,) = breaches(record(score=5.0), record(score=10.0), "score:4", trivial={})
    assert "rose from 5.00 to 10.00, by 5 (100 %)" in sentence


@pytest.mark.parametrize(("then", "now", "limit"), [(0.9, 0.7, "score:0.2"), (0.7, 0.63, "score:10%")])
def test_what_rounding_adds_breaks_no_limit(then, now, limit):
    assert breaches(record("arc", then), record("arc", now), limit) == []


@pytest.mark.parametrize("limit", [f"{measure}:0" for measure in Measure])
def test_the_least_is_more_than_nothing(limit):
    least = 1 + 1e-15
    then, now = record(score=60 * least), record(tpot=0.01 * least, tokens=20 * least, memory=(3 * least, 1.5 * least))
    assert len(breaches(then, now, limit)) == 1


def test_where_nothing_can_be_judged_that_is_the_breach():
    elsewhere = record(rank=2)
    assert breaches(elsewhere, record(), "score:2", "tokens:5%") == [
        "no cell was measured in both runs, so nothing can be judged by score:2, tokens:5%."
    ]
    assert broken(compare([], [], {}), []) == []
    untuned = [record(train=None, memory=(None, 1.5)) for _ in range(2)]
    assert breaches(*untuned, "eval_memory:0") == []
    assert breaches(*untuned, "train_memory:5%") == [
        "no cell tells train_memory in either run, so nothing can be judged by train_memory:5%."
    ]
    # one cell that tells is enough
    both = [record(), *untuned[:1]]
    assert broken(compare(both, both, {}), [parse_limit("train_memory:0")]) == []


def test_absent_cells_break_no_limit():
    comparison = compare([record(), record(rank=2)], [record(), record(rank=3)], TRIVIAL)
    assert comparison.absent_then
    assert comparison.absent_now
    assert broken(comparison, [parse_limit("score:0")]) == []


def test_a_breach_says_whose_and_of_which_limit():
    limit = parse_limit("score:2")
    (breach,) = broken(compare([record(score=50.0)], [record()], TRIVIAL), [limit])
    assert (breach.cell, breach.limit) == (ID, limit)

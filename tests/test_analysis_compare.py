"""Two runs compared: like with like only, every refusal with its reason, and what only one of them has by its name."""

import contextlib
import math
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies_compare import TRIVIAL, record, runs, trivials

from pytest_ftbench.analysis import Limit, Measure, Standing, broken, compare, parse_limit, table
from pytest_ftbench.grid import UserError

SCORE, SPEED, TOKENS, TRAINING, ANSWERING = Measure
MEASURED = (SCORE, SPEED, TOKENS, ANSWERING)
"""What the test items, the prompts and the answers to them decide."""
ID = "nano-lora-r8-squad-to-squad"


def only(then, now, trivial=TRIVIAL):
    """The only cell that both runs measured."""
    (change,) = compare([now], [then], trivial).changes
    return change


def refused(then, now):
    """The words and differences that stand instead of changes, by measure."""
    deltas = only(then, now).deltas
    return {
        measure: (str(delta.refusal.reason), delta.refusal.difference)
        for measure, delta in deltas.items()
        # all is known of these records: without a refusal there is a change
        if delta.change is None
    }


def breaches(then, now, *limits, trivial=TRIVIAL):
    """The sentences of the breaches between two records."""
    return [str(breach) for breach in broken(compare([now], [then], trivial), [parse_limit(text) for text in limits])]


def test_a_cell_of_both_runs_has_every_number_then_and_now_and_what_changed():
    then = record(score=50.0, tpot=0.010, tokens=20.0, memory=(4.0, 2.0))
    change = only(then, record(score=60.0, tpot=0.012, tokens=15.0, memory=(3.0, 2.5)))
    assert {measure: (delta.then, delta.now) for measure, delta in change.deltas.items()} == {
        SCORE: (50, 60),
        SPEED: (10, 12),
        TOKENS: (20, 15),
        TRAINING: (4, 3),
        ANSWERING: (2, 2.5),
    }
    assert {measure: delta.change for measure, delta in change.deltas.items()} == pytest.approx(
        {SCORE: 10, SPEED: 2, TOKENS: -5, TRAINING: -1, ANSWERING: 0.5}
    )
    assert {measure: delta.percent for measure, delta in change.deltas.items()} == pytest.approx(
        {SCORE: 20, SPEED: 20, TOKENS: -25, TRAINING: -25, ANSWERING: 25}
    )
    assert [delta.worse_by for delta in change.deltas.values()] == pytest.approx([-10, 2, -5, -1, 0.5])
    assert (change.id, change.key.rank, change.task.label) == ("nano-lora-r8-squad-to-squad", 8, "SQuAD v2")


def test_cells_are_matched_by_id_in_the_order_of_now():
    now, then = [record(rank=rank) for rank in (4, 2, 8)], [record(rank=rank) for rank in (8, 4, 1)]
    comparison = compare(now, then, TRIVIAL)
    assert [change.key.rank for change in comparison.changes] == [4, 8]
    assert comparison.absent_then == ("nano-lora-r2-squad-to-squad",)
    assert comparison.absent_now == ("nano-lora-r1-squad-to-squad",)
    assert comparison.failed_now == ()


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        ("ok", "failed", ((), (), (ID,))),
        ("ok", "?", ((), (), (ID,))),
        ("ok", "skipped", ((), (ID,), ())),
        ("failed", "ok", ((ID,), (), ())),
        ("skipped", "ok", ((ID,), (), ())),
        ("failed", "failed", ((), (), ())),
    ],
)
def test_what_one_run_has_not_measured_is_absent_from_it(then, now, expected):
    comparison = compare([record(status=now)], [record(status=then)], TRIVIAL)
    assert comparison.changes == ()
    assert (comparison.absent_then, comparison.absent_now, comparison.failed_now) == expected


def test_a_number_that_one_run_does_not_know_has_no_change_and_no_refusal():
    unknown = record(score=None, tpot=None, tokens=None, memory=(None, None), timing={"mean": None}, n=7)
    for pair in ((unknown, record()), (record(), unknown)):
        deltas = only(*pair).deltas.values()
        assert {(delta.change, delta.percent, delta.worse_by, delta.refusal) for delta in deltas} == {(None,) * 4}


def test_a_change_from_nothing_is_in_no_percent():
    (then, now) = (record(score=0.0, tokens=tokens, tpot=0.01) for tokens in (0.0, 3.0))
    change = only(then, now)
    assert (change.deltas[TOKENS].change, change.deltas[TOKENS].percent) == (3, None)
    assert (change.deltas[SCORE].change, change.deltas[SCORE].percent) == (0, 0)


@pytest.mark.parametrize(
    ("then", "now", "measures", "expected"),
    [
        ({"n": 200}, {"n": 100}, MEASURED, ("items", "200 test items then, 100 now")),
        ({"n": 1}, {"n": 2}, MEASURED, ("items", "1 test item then, 2 now")),
        (
            {"said": {"items": "0123456789"}},
            {"said": {"items": "abcdefghij"}},
            MEASURED,
            ("items", "other test items now (abcdefgh) than then (01234567)"),
        ),
        (
            {"said": {"prompts": "0123456789"}},
            {"said": {"prompts": "abcdefghij"}},
            MEASURED,
            ("prompts", "other prompts now (abcdefgh) than then (01234567)"),
        ),
        (
            {"said": {"reasoning": "on"}},
            {},
            MEASURED,
            ("prompts", "reasoning on then, off now"),
        ),
        (
            {"said": {"template": "0123456789"}},
            {"said": {"template": "abcdefghij"}},
            MEASURED,
            ("prompts", "another chat template now (abcdefgh) than then (01234567)"),
        ),
        ({"timing": {"n": 1}}, {}, (SPEED, ANSWERING), ("prompts", "timed on 1 prompt then, on 8 now")),
        (
            {"said": {"max_new_tokens": 1000}},
            {},
            (SPEED, ANSWERING),
            ("prompts", "answers of at most 1000 tokens then, of at most 256 now"),
        ),
        (
            {"said": {"device_name": "Chip B"}},
            {},
            (SPEED, ANSWERING),
            ("device", "measured on Chip B then, on Chip A now"),
        ),
        ({}, {"timing": {"workers": 2}}, (SPEED,), ("workers", "measured with 1 worker then, with 2 now")),
        ({"timing": {"workers": 2}}, {}, (SPEED,), ("workers", "measured with 2 workers then, with 1 now")),
        (
            {"eval_dtype": "float32"},
            {},
            (SPEED, ANSWERING),
            ("dtype", "measured in float32 then, in bfloat16 now"),
        ),
        ({"said": {"threads": 1}}, {}, (SPEED,), ("threads", "measured with 1 thread then, with 4 now")),
        # a timing's own threads count before the machine's
        (
            {"timing": {"threads": 2}, "said": {"threads": 8}},
            {"timing": {"threads": 3}},
            (SPEED,),
            ("threads", "measured with 2 threads then, with 3 now"),
        ),
        (
            {"tpot": None},
            {},
            (SPEED,),
            ("clock", "time per token measured as latency over all tokens then, per token after the first now"),
        ),
        (
            {"tpot": None, "timing": {"tokens": [9, 11]}},
            {"tpot": None},
            (SPEED,),
            (
                "clock",
                "time per token measured as latency over the timed tokens then, as latency over all tokens now",
            ),
        ),
        (
            {"training": {"base_dtype": "float32"}},
            {},
            (TRAINING,),
            ("dtype", "trained in float32 then, in bfloat16 now"),
        ),
        (
            {"training": {"base_dtype": None, "dtype": "float32"}},
            {},
            (TRAINING,),
            ("dtype", "trained in float32 then, in bfloat16+float32 now"),
        ),
        (
            {"memory_gib": {"train_process": 3.0, "eval_allocated": 1.5}},
            {},
            (TRAINING,),
            ("kind", "what the process took then, what torch's allocator had allocated now"),
        ),
    ],
)
def test_what_was_measured_otherwise_is_not_compared(then, now, measures, expected):
    found = refused(record(**then), record(**now))
    # another device is one for a training of which nothing more is known
    if expected[0] == "device":
        assert found.pop(TRAINING) == ("device", "trained on Chip B then, on Chip A now")
    assert found == dict.fromkeys(measures, expected)


def test_a_checkpoint_trained_elsewhere_was_trained_on_one_device():
    there = {"training": {"device_name": "Chip T"}}
    assert TRAINING not in refused(record(**there, said={"device_name": "Chip B"}), record(**there))
    moved = refused(record(training={"device_name": "Chip U"}), record(**there))
    assert moved == {TRAINING: ("device", "trained on Chip U then, on Chip T now")}


@pytest.mark.parametrize(
    "unknown",
    [
        {"n": None},
        {"eval_dtype": None},
        {"eval_dtype": ["x"]},
        {"extra": {}},
        {"extra": {"provenance": "none"}},
        {"extra": {"provenance": dict.fromkeys(("items", "prompts", "device_name", "threads"), True)}},
        {"timing": {"workers": None, "n": None}},
        {"training": {"dtype": None, "base_dtype": None}},
    ],
)
def test_what_is_unknown_is_no_difference(unknown):
    assert refused(record(**unknown), record()) == refused(record(), record(**unknown)) == {}


def test_memory_of_the_first_kind_that_both_know_is_compared():
    then = record(memory_gib={"train_reserved": 4.0, "train_process": 6.0, "eval_process": 0.0})
    now = record(memory_gib={"train_allocated": 2.0, "train_reserved": 5.0, "train_process": 6.0, "eval_process": 0.0})
    training, answering = (only(then, now).deltas[measure] for measure in (TRAINING, ANSWERING))
    assert (training.kind, training.change, training.percent) == ("reserved", 1.0, 25.0)
    # a process may not have grown, and an allocator that took nothing was not asked
    assert (answering.kind, answering.change, answering.percent) == ("process", 0.0, 0.0)


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        (("A", "1"), ("A", "1"), None),
        (("A", "1"), ("copy-of-a", "1"), None),
        (("A", "1"), ("A", None), None),
        (("A", None), (None, "1"), None),
        ((None, None), ("A", "1"), None),
        (("bag-of-words", None), ("A", "12345678xyz"), "scored by bag-of-words then, by A (12345678) now"),
        (("A", "1"), ("A", "2"), "scored by A (1) then, by A (2) now"),
    ],
)
def test_scores_of_different_embedders_are_not_compared(then, now, expected):
    pair = [
        record("facts", 0.5, said={"embedder": name, "embedder_fingerprint": digest}) for name, digest in (then, now)
    ]
    assert refused(*pair) == ({SCORE: ("embedder", expected)} if expected else {})


def test_a_task_that_compares_no_texts_has_no_embedder():
    assert refused(*(record(said={"embedder": name}) for name in "AB")) == {}


def test_a_task_of_another_version_is_read_by_its_first_score():
    assert only(record("juggling", 3.0), record("juggling", 5.0)).deltas[SCORE].change == 2


def test_standings_are_of_each_run():
    change = only(record(score=60.0), record(score=40.0))
    assert (change.standing_then, change.standing_now) == (Standing.OK, Standing.TRIVIAL)
    change = only(record(score=40.0, format_rate=0.2), record(score=60.0))
    assert (change.standing_then, change.standing_now) == (Standing.INVALID, Standing.OK)
    # the trivial answerers of these items say nothing of others
    assert only(record(score=40.0, n=7), record(score=40.0)).standing_then is Standing.OK


@given(runs, runs, trivials)
def test_whatever_records_hold_they_are_compared_or_refused(now, then, trivial):
    comparison = compare(now, then, trivial)
    named = [change.id for change in comparison.changes]
    measured_now = {each.id: each.ok for each in now}
    measured_then = {each.id: each.ok for each in then}
    assert set(named) | set(comparison.absent_then) == {name for name, ok in measured_now.items() if ok}
    found = {*named, *comparison.absent_now, *comparison.failed_now}
    assert found == {name for name, ok in measured_then.items() if ok}
    for delta in (delta for change in comparison.changes for delta in change.deltas.values()):
        assert delta.change is None or math.isfinite(delta.change)
        assert delta.refusal is None or (delta.refusal.difference and delta.change is None)
    broken(comparison, [Limit(measure, 0.0) for measure in Measure])


def _told(comparison, limits):
    """The limits for which at least one cell has a number."""
    deltas = [change.deltas for change in comparison.changes]
    return [limit for limit in limits if any(each[limit.measure].then is not None for each in deltas)]


@given(
    runs,
    trivials,
    st.lists(st.builds(Limit, st.sampled_from(Measure), st.floats(0, allow_infinity=False), st.booleans())),
)
@example([record()], TRIVIAL, [Limit(measure, 0.0, percent) for measure in Measure for percent in (True, False)])
def test_a_run_has_not_changed_against_itself(run, trivial, limits):
    comparison = compare(run, run, trivial)
    assert comparison.absent_then == comparison.absent_now == comparison.failed_now == ()
    for change in comparison.changes:
        assert change.standing_then is change.standing_now
        for delta in change.deltas.values():
            assert delta.refusal is None
            assert (delta.change, delta.percent) == ((0, 0) if delta.then is not None else (None, None))
    assert broken(comparison, _told(comparison, limits)) == []


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

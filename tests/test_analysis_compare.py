"""Two runs compared: like with like only, every refusal with its reason, and what only one of them has by its name."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies_compare import TRIVIAL, record, runs, trivials

from pytest_ftbench.analysis import Limit, Measure, Standing, broken, compare

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
            {"said": {"timed_as": "generate() at batch 2"}},
            {"said": {"timed_as": "generate() at batch 1"}},
            (SPEED,),
            ("clock", "timed as generate() at batch 2 then, as generate() at batch 1 now"),
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
        {"said": {"timed_as": "generate() at batch 2"}},
        {"extra": {"provenance": "none"}},
        {"extra": {"provenance": dict.fromkeys(("items", "prompts", "device_name", "threads"), True)}},
        {"timing": {"workers": None, "n": None}},
        {"training": {"dtype": None, "base_dtype": None}},
    ],
)
def test_what_is_unknown_is_no_difference(unknown):
    assert refused(record(**unknown), record()) == refused(record(), record(**unknown)) == {}


def test_stored_records_that_say_nothing_of_their_origin_are_named():
    said = {2: {}, 4: {"provenance": None}, 6: {"provenance": {}}, 8: {"provenance": {"items": "a"}}}
    then = [record(rank=rank, extra=extra) for rank, extra in said.items()]
    comparison = compare([record(rank=rank) for rank in (8, 6, 4, 2, 1)], then, TRIVIAL)
    assert comparison.silent_then == tuple(f"nano-lora-r{rank}-squad-to-squad" for rank in (6, 4, 2))
    # what isn't compared goes without saying, and this run's own silence is no older version's
    assert compare([record(rank=1)], then, TRIVIAL).silent_then == ()
    assert compare([record(extra={})], [record()], TRIVIAL).silent_then == ()


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

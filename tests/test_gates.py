"""Verdicts against a baseline: what fails, what passes, what can't be told, and that none of it is silent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_gates import SCORE, THEN, WAY, answered, only, outcome_of, score, seeds
from strategies_items import suite_records

from pytest_ftbench.analysis import Kind, Outcome, judge, message
from pytest_ftbench.grid import Gate, GateRule


def test_identical_runs_pass_in_every_metric():
    records = suite_records() + seeds() + seeds(rank=16)
    found = judge(records, records, Gate())
    assert {verdict.outcome for verdict in found} == {Outcome.PASS}
    assert {verdict.metric for verdict in found} == {rule.metric for rule in Gate().rules}
    assert {verdict.action for verdict in found} == {"pass"}


def test_a_drop_larger_than_seeds_lie_apart_fails_and_says_all_of_it():
    found = score((74.0, 75.5, 73.5))
    assert (found.outcome, found.kind, found.action, found.cell) == (Outcome.FAIL, Kind.TRAINING, "fail", WAY)
    assert (found.was, found.now, found.unit) == (
        pytest.approx(91.1667, abs=1e-3),
        pytest.approx(74.3333, abs=1e-3),
        "points",
    )
    assert found.change == pytest.approx(-16.8333, abs=1e-3)
    assert found.interval[0] < found.change < found.interval[1] < 0
    assert found.seeds == (3, 3)
    assert found.p == found.adjusted < 0.05
    low, high = found.interval
    assert message(found) == (
        f"{WAY}: score 91.17 → 74.33 points, -16.8 [{low:+.3g}, {high:+.3g}], over 3 and 3 seeds, p {found.p:.2g}; "
        "allowed: no drop shown, 5 points matter."
    )


def test_a_drop_that_does_not_matter_passes_however_sure_it_is():
    found = score((87.0, 87.0, 87.0), then=(91.0, 91.0, 91.0))
    assert (found.outcome, found.change) == (Outcome.PASS, -4)
    assert found.p < 1e-6


def test_a_gain_passes():
    assert score((99.0, 98.5, 99.5)).outcome is Outcome.PASS


def test_what_seeds_far_apart_leave_open_is_inconclusive_and_a_warning_with_the_seeds_it_needs():
    found = score((80.0, 95.0, 88.0))
    assert (found.outcome, found.action) == (Outcome.INCONCLUSIVE, "warn")
    assert "it may be worse by" in found.why
    assert found.need.endswith("seeds on either side would see 5 points")
    assert int(found.need.split()[0]) > 3
    assert "inconclusive" in message(found)
    assert f"To decide it: {found.need}." in message(found)


@given(st.floats(0, 40), st.floats(0, 40), st.lists(st.floats(50, 90), min_size=2, max_size=4))
def test_a_larger_drop_is_never_a_milder_verdict(drop, more, now):
    order = [Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.FAIL]
    each = [score([value - d for value in now]).outcome for d in (drop, drop + more)]
    assert order.index(each[0]) <= order.index(each[1])


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=2, max_size=5), st.randoms())
def test_the_order_of_ways_does_not_matter(scores, random):
    now = [record for rank, (a, b) in enumerate(scores) for record in seeds((a, b), rank=rank, first=10)]
    then = [record for rank, (a, b) in enumerate(scores) for record in seeds((b, a, a), rank=rank)]
    first = judge(now, then, Gate())
    random.shuffle(now)
    random.shuffle(then)
    again = {(each.cell, each.metric): each for each in judge(now, then, Gate())}
    assert len(again) == len(first)
    for each in first:
        other = again[each.cell, each.metric]
        assert (other.outcome, other.action, other.seeds) == (each.outcome, each.action, each.seeds)
        for name in ("p", "adjusted", "change"):
            mine, its = getattr(each, name), getattr(other, name)
            assert mine is its is None or mine == pytest.approx(its, rel=1e-6, abs=1e-9)


def test_p_values_are_corrected_over_all_ways_and_metrics_of_the_run():
    def ways(drop, form, first):
        return [
            record
            for rank in (2, 4, 8, 16)
            for record in seeds((90 - drop * rank, 91.5, 89), rank=rank, first=first, form=100 - form * rank)
        ]

    gate = Gate(rules=(GateRule.usual("score"), GateRule.usual("format_rate")))
    found = judge(ways(0.5, 0.1, 10), ways(0, 0, 0), gate)
    p_values = sorted(each.p for each in found)
    assert len(p_values) == 8

    def holm(p):
        """By its definition: the largest of what every smaller p-value is multiplied to, at most 1."""
        return min(1, max((8 - index) * other for index, other in enumerate(p_values) if other <= p))

    assert [each.adjusted for each in found] == pytest.approx([holm(each.p) for each in found])
    alone = judge(ways(0.5, 0.1, 10), ways(0, 0, 0), Gate(rules=gate.rules, correction="none"))
    assert [each.adjusted for each in alone] == [each.p for each in found]


def test_one_seed_on_either_side_is_no_verdict_however_far_they_are_apart_and_says_how_to_get_one():
    found = score((40.0,), then=(90.0,))
    assert (found.outcome, found.action, found.p) == (Outcome.INCONCLUSIVE, "warn", None)
    assert "--ftbench-seeds 3" in found.need
    assert found.change == -50


def test_a_suite_may_say_how_far_seeds_lie_apart():
    assert score((70.0,), (90.0,), Gate(rules=SCORE.rules, seed_stddev=2.0)).outcome is Outcome.FAIL
    assert score((70.0,), (90.0,), Gate(rules=SCORE.rules, seed_stddev=20.0)).outcome is Outcome.INCONCLUSIVE
    assert score((90.0,), (90.0,), Gate(rules=SCORE.rules, seed_stddev=0.5)).outcome is Outcome.PASS


def test_one_seed_borrows_from_the_other_ways_of_its_block_but_from_no_other_block():
    then = seeds(THEN) + seeds((90.0,), rank=16)
    now = seeds((70.0,), rank=16, first=10)
    assert outcome_of(judge(now, then, SCORE)).outcome is Outcome.FAIL
    then = seeds(THEN, task="arc") + seeds((90.0,), rank=16)
    assert outcome_of(judge(now, then, SCORE)).outcome is Outcome.INCONCLUSIVE


def test_a_way_whose_seeds_are_unreadable_in_part_says_nothing_of_the_others():
    wild = seeds((90.0, 20.0), rank=16)
    wild[1].format_rate = 0.1
    calm = judge(seeds((80.0, 81.0), first=10), seeds((91.0, 90.5)) + wild, SCORE)
    assert outcome_of(calm).outcome is Outcome.FAIL


def test_answers_that_are_all_the_same_pass_whatever_seeds_there_are():
    items = [answered(100 + k, 100 - k, full=100.0) for k in range(3)]
    points = [50 + k / 2 for k in range(3)]
    gate = Gate(rules=(GateRule.usual("score"), GateRule("format_rate", effect=0.0)))
    then = seeds(points, items=items)
    for count in (1, 2, 3):
        found = judge(seeds(points[:count], items=items[:count]), then, gate)
        assert {each.outcome for each in found} == {Outcome.PASS}
        assert {each.why for each in found} == {"every answer is the same as then"}
        assert {each.seeds for each in found} == {(count, count)}
    # the same scores by other answers aren't
    other = [list(reversed(items[0]))]
    for index, item in enumerate(other[0]):
        item = dict(item, item=f"q{index}")
        other[0][index] = item
    (first, _) = judge(seeds(points[:1], items=other), seeds(points[:1], items=items[:1]), gate)
    assert first.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("change", "metrics", "said", "fixed"),
    [
        (
            {"said": {"prompts": "other"}},
            "score format_rate ms_per_token eval_memory",
            "other prompts",
            "baseline's prompts",
        ),
        (
            {"said": {"items": "other"}},
            "score format_rate ms_per_token eval_memory",
            "other test items",
            "the same items",
        ),
        ({"n": 100}, "score format_rate ms_per_token eval_memory", "200 test items then, 100 now", "the same items"),
        ({"said": {"device_name": "Chip B"}}, "ms_per_token train_memory eval_memory", "Chip A then", "the device"),
        ({"eval_dtype": "float32"}, "ms_per_token eval_memory", "in bfloat16 then", "dtype"),
        ({"said": {"threads": 9}}, "ms_per_token", "4 threads then, with 9 now", "threads"),
    ],
)
def test_what_was_measured_otherwise_is_incomparable_and_fails_unless_a_suite_says_otherwise(
    change, metrics, said, fixed
):
    found = {each.metric: each for each in judge(seeds(THEN, first=10, **change), seeds(THEN), Gate())}
    refused = {name: each for name, each in found.items() if each.outcome is Outcome.INCOMPARABLE}
    assert " ".join(refused) == metrics
    for each in refused.values():
        assert (each.action, each.p, each.change) == ("fail", None, None)
        assert said in each.why
        assert fixed in each.need
        assert "ftbench baseline accept" in each.need
        assert each.was is not None is not each.now
    assert {each.outcome for name, each in found.items() if name not in refused} == {Outcome.PASS}
    mild = Gate(on_incomparable="skip")
    assert {each.action for each in judge(seeds(THEN, first=10, **change), seeds(THEN), mild)} == {"skip", "pass"}


def test_a_single_seed_that_was_measured_otherwise_makes_the_mean_incomparable():
    now = seeds(THEN, first=10)
    now[2].extra["provenance"] = now[2].extra["provenance"] | {"prompts": "other"}
    assert only(now, seeds(THEN)).outcome is Outcome.INCOMPARABLE


def test_without_a_baseline_nothing_passes_in_silence():
    found = judge(seeds(THEN), None, Gate())
    assert {each.outcome for each in found} == {Outcome.MISSING}
    assert {each.action for each in found} == {"fail"}
    assert {each.why for each in found} == {"there is no baseline"}
    assert found[0].now == pytest.approx(91.1667, abs=1e-3)
    assert "ftbench baseline accept" in message(found[0])


@pytest.mark.parametrize("status", ["ok", "failed"])
def test_a_cell_that_the_baseline_lacks_or_did_not_measure_is_missing_there(status):
    then = seeds(THEN, rank=16) + ([] if status == "ok" else seeds(THEN, status=status))
    found = outcome_of(judge(seeds(THEN, first=10), then, SCORE))
    assert (found.outcome, found.action, found.why) == (
        Outcome.MISSING,
        "fail",
        "the baseline does not have this cell",
    )


def test_a_metric_that_only_one_run_knows_is_never_a_pass():
    untimed = seeds(THEN, latency_s={})
    assert only(seeds(THEN, first=10), untimed, "ms_per_token").outcome is Outcome.MISSING
    found = only(untimed, seeds(THEN), "ms_per_token")
    assert (found.outcome, found.why) == (Outcome.INCONCLUSIVE, "this run does not know it")


def test_what_neither_run_knows_is_no_verdict_unless_it_was_asked_for():
    untimed = seeds(THEN, latency_s={})
    assert judge(untimed, untimed, Gate(rules=(GateRule.usual("ms_per_token"),))) == []
    (found,) = judge(untimed, untimed, Gate(rules=(GateRule("ms_per_token", effect=10.0),)))
    assert (found.outcome, found.why) == (Outcome.INCONCLUSIVE, "neither run knows it")
    # an untuned model was never trained, whatever is asked for
    base = seeds((90.0,), train=None)
    assert judge(base, base, Gate(rules=(GateRule("train_memory", limit=5, allowed=5, effect=5),))) == []


def test_a_cell_that_was_not_measured_now_is_inconclusive_in_every_metric():
    found = judge(seeds(THEN, status="failed"), seeds(THEN), Gate())
    assert {each.outcome for each in found} == {Outcome.INCONCLUSIVE}
    assert len(found) == 5
    assert "seed 0 failed, seed 1 failed, seed 2 failed" in found[0].why


def test_a_seed_that_failed_is_named_where_the_others_do_not_pass():
    now = seeds((70.0, 71.0, 70.5), first=10)
    now[1].status = "failed"
    found = only(now, seeds(THEN))
    assert (found.outcome, found.seeds, found.why) == (Outcome.FAIL, (3, 2), "seed 11 failed")


def test_a_score_that_fell_to_what_a_trivial_answerer_has_says_so():
    trivial = {"squad": {"always_abstain": {"f1": 49.0}}}
    found = outcome_of(judge(seeds((45.0, 44.0, 46.0), first=10), seeds(THEN), SCORE, trivial))
    assert found.why == "now no better than a trivial answerer"
    unreadable = seeds((45.0, 44.0, 46.0), first=10, form=30)
    assert "now INVALID" in outcome_of(judge(unreadable, seeds(THEN), SCORE, trivial)).why

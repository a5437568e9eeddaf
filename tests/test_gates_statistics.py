"""The numbers of verdicts against independent ones: SciPy's tests, permutations by hand, Student's quantiles."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from strategies_gates import answered, outcome_of, seeds

from pytest_ftbench.analysis import Kind, Outcome, judge
from pytest_ftbench.grid import Gate, GateRule

SAME = {"checkpoint": "aaaa"}


def gate_of(metric="score", **given):
    """A gate of one metric alone."""
    rule = GateRule.usual(metric)
    of_rule = {"allowed": rule.allowed, "effect": rule.effect} | {
        key: given.pop(key) for key in ("allowed", "effect") if key in given
    }
    return Gate(rules=(GateRule(metric, **of_rule),), **given)


def verdict_on(then, now, task="openmath", metric="score", gate=None, train="squad", said=SAME):
    """The verdict on the same weights, whose answers were ``then`` and are ``now``."""
    full = {"squad": 100.0}.get(task, 1.0)

    def run(items):
        points = 100 / full * float(np.mean([item["score"] for item in items]))
        form = 100 * float(np.mean([item["parsed"] is not None for item in items]))
        return seeds((points,), task, train, items=[items], form=form, n=len(items), said=said)

    return outcome_of(judge(run(now), run(then), gate or gate_of(metric)), metric)


def flipped(items, lost, won, full=1.0):
    """The items with the first so many right ones wrong, and the first so many wrong ones right."""
    rest, changed = [lost, won], []
    for item in items:
        side = 0 if item["score"] else 1
        rest[side] -= 1
        turned = {"score": 0.0, "parsed": "B"} if side == 0 else {"score": full, "parsed": "A"}
        changed.append(item | (turned | {"output": "other"} if rest[side] >= 0 else {}))
    return changed


@given(st.integers(0, 40), st.integers(0, 40))
@settings(max_examples=40)
def test_right_and_wrong_answers_of_the_same_weights_are_tested_by_mcnemars_exact_test_one_sided(lost, won):
    then = answered(100, 100)
    found = verdict_on(then, flipped(then, lost, won))
    if lost == won == 0:
        assert (found.outcome, found.why) == (Outcome.PASS, "every answer is the same as then")
        return
    assert found.kind is Kind.EVALUATION
    assert found.change == pytest.approx((won - lost) / 2)
    if lost > won:
        assert found.p == pytest.approx(
            max(1e-9, stats.binomtest(lost, lost + won, alternative="greater").pvalue), rel=1e-6
        )
        assert (found.outcome is Outcome.FAIL) is (found.p <= 0.05 and lost - won >= 10)
    else:
        assert found.p >= 0.5
        assert found.outcome is not Outcome.FAIL


@pytest.mark.parametrize("off", [(40, 10, 60, -20, 30, 80, 15, 5), (-50, 20, 30, 1)])
def test_other_scores_are_tested_by_sign_flips_as_all_of_them_by_hand(off):
    then = [item | {"score": 90.0} for item in answered(40, full=100.0)]
    now = [item | {"score": 90.0 - d, "output": "other"} for item, d in itertools.zip_longest(then, off, fillvalue=0)]
    found = verdict_on(then, now, task="squad", gate=gate_of(effect=0.1))
    sums = [
        sum(sign * d for sign, d in zip(signs, off, strict=True))
        for signs in itertools.product((1, -1), repeat=len(off))
    ]
    by_hand = np.mean(np.array(sums) >= sum(off) - 1e-9)
    # half of the two-sided one: sums are symmetric, and where none is zero both halves are as large
    assert found.p == pytest.approx(by_hand if sum(off) > 0 else 1 - np.mean(np.array(sums) <= sum(off)), abs=0.005)


def test_items_out_of_form_are_those_without_a_parsed_answer():
    then, now = answered(100, 90, 10), answered(100, 70, 30)
    for item in now:
        item["output"] += "x"
    found = verdict_on(then, now, metric="format_rate")
    assert (found.was, found.now, found.kind) == (95, 85, Kind.EVALUATION)
    assert found.p == pytest.approx(stats.binomtest(20, 20, alternative="greater").pvalue)
    assert found.outcome is Outcome.FAIL
    # where the record says otherwise, its items aren't relied on
    lying = seeds((50.0,), "openmath", items=[now], form=99.0, said=SAME)
    honest = seeds((50.0,), "openmath", items=[then], form=95.0, said=SAME)
    other = outcome_of(judge(lying, honest, gate_of("format_rate")), "format_rate")
    assert (other.now, other.change) == (99, pytest.approx(4))


def test_tokens_are_compared_in_percent_of_what_they_were():
    then = answered(50, 50)
    now = [item | {"tokens": 12 if index % 2 else 9, "output": "x"} for index, item in enumerate(then)]
    made = [
        seeds((50.0,), "openmath", items=[items], tokens=mean, said=SAME, n=100)
        for items, mean in ((then, 6), (now, 10.5))
    ]
    found = outcome_of(judge(made[1], made[0], gate_of("tokens")), "tokens")
    assert (found.was, found.now, found.change, found.outcome) == (6, 10.5, pytest.approx(75), Outcome.FAIL)
    assert found.p < 1e-3
    # every item has more: the mean rise lies between the smallest and the largest
    assert 50 < found.interval[0] < 75 < found.interval[1] < 100


def test_macro_f1_of_the_same_weights_fails_only_where_both_answers_and_f1_are_worse():
    rng = np.random.default_rng(5)
    golds = rng.choice(list("ABCD"), 200)
    from pytest_ftbench.tasks.arc import macro_f1

    def run(wrong):
        parsed = [("A" if gold != "A" else "B") if index < wrong else gold for index, gold in enumerate(golds)]
        items = [
            {"item": f"q{i}", "gold": str(g), "parsed": str(p), "score": float(g == p), "output": str(p)}
            for i, (g, p) in enumerate(zip(golds, parsed, strict=True))
        ]
        points = 100 * macro_f1([(item["gold"], item["parsed"]) for item in items])
        return seeds((points,), "arc", items=[items], said=SAME)

    found = outcome_of(judge(run(60), run(20), gate_of()))
    exact = stats.binomtest(40, 40, alternative="greater").pvalue
    assert found.p >= exact
    assert found.outcome is Outcome.FAIL
    assert found.interval[0] < found.change < found.interval[1] < 0


def test_a_drop_that_is_allowed_is_tested_against_what_is_allowed():
    then = answered(160, 40)
    now = flipped(then, 30, 0)  # 15 points
    assert verdict_on(then, now, gate=gate_of(allowed=2.0, effect=5.0)).outcome is Outcome.FAIL
    assert verdict_on(then, now, gate=gate_of(allowed=20.0, effect=20.0)).outcome is Outcome.PASS
    close = verdict_on(then, now, gate=gate_of(allowed=14.0, effect=14.0))
    assert (close.outcome, close.p > 0.05) == (Outcome.INCONCLUSIVE, True)
    assert "test items would see 14 points" in close.need


def test_untuned_models_and_equal_digests_are_evaluations_and_a_new_training_is_not():
    then = answered(100, 100)
    now = flipped(then, 30, 0)
    kinds = {
        "untuned": verdict_on(then, now, train=None, said=None).kind,
        "same key": verdict_on(then, now).kind,
        "no key": verdict_on(then, now, said=None).kind,
    }
    assert kinds == {"untuned": "evaluation", "same key": "evaluation", "no key": "training"}

    def kind(was, is_now):
        return outcome_of(judge(seeds((50.0,), said=is_now), seeds((50.0,), said=was), gate_of())).kind

    weights = {"checkpoint": "a", "weights": "w"}
    assert kind(weights, weights | {"weights": "v"}) == "training"
    assert kind(weights, weights | {"checkpoint": "b"}) == "evaluation"
    assert kind(weights, {"checkpoint": "a"}) == "evaluation"
    assert kind({"checkpoint": "a"}, {"checkpoint": "b"}) == "training"


def test_the_same_weights_without_items_are_compared_as_shares_of_other_items():
    def found(was, is_now, n=200, **rest):
        made = [seeds((points,), "openmath", said=SAME, n=n, **rest) for points in (is_now, was)]
        return outcome_of(judge(*made, gate_of()))

    drop = found(80.0, 60.0)
    # Newcombe's method 10 from Wilson's intervals, by SciPy
    (a, b), (c, d) = (
        (100 * end for end in stats.binomtest(round(2 * points), 200).proportion_ci(method="wilson"))
        for points in (80, 60)
    )
    assert drop.interval == (
        pytest.approx(-20 - math.hypot(60 - c, b - 80), abs=1e-6),
        pytest.approx(-20 + math.hypot(d - 60, 80 - a), abs=1e-6),
    )
    assert drop.outcome is Outcome.FAIL
    assert found(80.0, 79.0).outcome is Outcome.INCONCLUSIVE
    assert found(80.0, 79.0, n=None).need == "a baseline that keeps its items would be compared in pairs"
    same = found(80.0, 80.0)
    assert (same.outcome, same.why) == (Outcome.PASS, "every score is the same as then")


def howe(worse, parts, alpha):
    """One end of Howe's interval, from its definition."""
    return worse - math.sqrt(sum((stats.t.ppf(1 - alpha, df)) ** 2 * part for part, df in parts))


@given(
    st.lists(st.floats(60, 95), min_size=2, max_size=4),
    st.lists(st.floats(60, 95), min_size=2, max_size=4),
    st.floats(0, 3),
)
@settings(max_examples=60)
def test_trainings_have_howes_interval_from_the_seeds_of_both_runs(then, now, allowed):
    found = outcome_of(judge(seeds(now, first=10), seeds(then), gate_of(allowed=allowed)))
    df = len(then) + len(now) - 2
    pooled = ((len(then) - 1) * np.var(then, ddof=1) + (len(now) - 1) * np.var(now, ddof=1)) / df
    parts = [(max(np.var(each, ddof=1), 1.5 * pooled) / len(each), df) for each in (then, now)]
    worse = np.mean(then) - np.mean(now)
    assert found.interval[1] == pytest.approx(-howe(worse, parts, 0.025), abs=1e-6)
    # the p-value is the level whose one-sided interval just reaches what is allowed
    if 1e-6 < found.p < 0.499:
        assert howe(worse, parts, found.p) == pytest.approx(allowed, abs=0.01 * max(1.0, worse))
    bound = -howe(-worse, parts, 0.05)
    if found.outcome is Outcome.PASS:
        assert bound <= 5 + 1e-9
    if found.outcome is Outcome.FAIL:
        assert worse >= 5 - 1e-9
        assert found.p <= 0.05


def test_the_seeds_that_are_needed_are_the_fewest_that_would_see_what_matters():
    then, now = (90.0, 96.0, 84.0), (85.0, 93.0, 88.0)
    found = outcome_of(judge(seeds(now, first=10), seeds(then), gate_of()))
    needed = int(found.need.split()[0])
    df = 4
    pooled = (np.var(then, ddof=1) + np.var(now, ddof=1)) / 2
    variance = max(np.var(then, ddof=1), np.var(now, ddof=1), 1.5 * pooled)

    def seen(k):
        """What k seeds on either side see in four of five runs, at the one-sided 5 %."""
        half = math.sqrt(2 * variance / k)
        return half * (stats.t.ppf(0.95, df / 2 * (k - 1)) + stats.t.ppf(0.8, df / 2 * (k - 1)))

    assert seen(needed) <= 5 < seen(needed - 1)


def test_hopeless_is_said_so():
    found = outcome_of(judge(seeds((20.0, 95.0), first=10), seeds((90.0, 10.0)), gate_of()))
    assert found.need == "more than 50 seeds on either side would be needed to see 5 points"


def test_times_are_compared_prompt_by_prompt_with_the_machines_own_noise():
    noise = np.array([0.9, 1.0, 1.2, 1.05, 0.97, 1.1])
    slower = noise * np.array([1.4, 1.5, 1.3, 1.45, 1.42, 1.38])
    now, then = (seeds((90.0,), noise=tuple(each), ms=10) for each in (slower, noise))
    for record, each in ((now[0], slower), (then[0], noise)):
        record.latency_s["tpot_median"] = float(np.median(each)) / 100
    found = outcome_of(judge(now, then, gate_of("ms_per_token")), "ms_per_token")
    off = 100 * np.log(slower / noise)
    worse = 100 * math.log(np.median(slower) / np.median(noise))
    parts = [(25.0, math.inf), (math.pi / 2 * np.var(off, ddof=1) / 6, 5)]
    ends = [100 * math.expm1(howe(sign * worse, parts, 0.025) * sign / 100) for sign in (1, -1)]
    assert found.interval == (pytest.approx(ends[0]), pytest.approx(ends[1]))
    assert howe(worse, parts, found.p) == pytest.approx(0, abs=0.05)
    assert (found.outcome, found.n, found.unit) == (Outcome.FAIL, 6, "ms")
    # on a machine that is known to be noisy the same is no finding
    calm = outcome_of(judge(now, then, gate_of("ms_per_token", timing_noise=40.0)), "ms_per_token")
    assert calm.outcome is Outcome.INCONCLUSIVE
    assert calm.need == "a machine whose times of two runs lie closer together than 40 % (gate.timing_noise)"


def test_a_time_measured_beside_other_work_condemns_nothing():
    now = seeds((90.0,), ms=20.0, flags=["V16"])
    found = outcome_of(judge(now, seeds((90.0,)), gate_of("ms_per_token")), "ms_per_token")
    assert (found.outcome, found.action) == (Outcome.INCONCLUSIVE, "warn")
    assert "V16" in found.why
    assert found.need == "time both on a machine that does nothing else"
    quick = seeds((90.0,), ms=10.0, flags=["V16"])
    assert outcome_of(judge(quick, seeds((90.0,)), gate_of("ms_per_token")), "ms_per_token").outcome is Outcome.PASS


def test_times_whose_prompts_are_not_listed_have_the_machines_noise_alone():
    bare = {"latency_s": {"tpot_median": 0.013, "workers": 1}}
    found = outcome_of(judge(seeds((90.0,), **bare), seeds((90.0,)), gate_of("ms_per_token")), "ms_per_token")
    assert (found.n, found.change) == (None, pytest.approx(30))
    assert found.p == pytest.approx(stats.norm.sf(100 * math.log(1.3) / 5), rel=1e-3)

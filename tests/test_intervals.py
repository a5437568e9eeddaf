"""Intervals: against scipy and scikit-learn, and what is said where there is nothing to resample."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score
from strategies_items import MAKERS, arc_items, measured, scores_of, span_items

from pytest_ftbench.analysis import Evidence, difference_quartiles, eval_task, pooled, score_interval
from pytest_ftbench.analysis.differences import difference_interval, difference_test
from pytest_ftbench.analysis.intervals import newcombe, seeds_interval, wilson
from pytest_ftbench.analysis.items import item_table
from pytest_ftbench.analysis.resampling import macro_f1_sample, mean_sample, resampled
from pytest_ftbench.analysis.seeds import half_width, p_value


def interval(record):
    return score_interval(record, eval_task(record.eval_task, [record]), Evidence.of([record]))


@given(st.integers(0, 300), st.integers(1, 300), st.sampled_from([0.9, 0.95, 0.99]))
def test_wilson_is_scipys(hits, n, level):
    hits = min(hits, n)
    theirs = stats.binomtest(hits, n).proportion_ci(level, method="wilson")
    ours = wilson(hits / n, n, level)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    percent = wilson(100 * hits / n, n, level, unit=100.0)
    assert (percent.low, percent.high) == pytest.approx((100 * ours.low, 100 * ours.high))


def test_what_is_no_share_has_no_wilson_interval():
    for share, n in ((0.5, 0), (1.1, 10), (-0.1, 10)):
        with pytest.raises(ValueError, match="no share"):
            wilson(share, n)


def test_newcombes_interval_is_the_published_one():
    # Newcombe (1998), table II, contrast (a): 56/70 less 48/80, method 10
    found = newcombe(wilson(56 / 70, 70), 56 / 70, wilson(48 / 80, 80), 48 / 80)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_macro_f1_is_scikit_learns_and_its_interval_scipys():
    record = measured("arc", arc_items(0.55, np.random.default_rng(0)))
    mine = item_table(record)
    golds, parsed = mine.golds, mine.parsed

    def f1(indices):
        chosen = indices.astype(int)
        return f1_score(golds[chosen], parsed[chosen], labels=range(4), average="macro", zero_division=0)

    assert resampled([macro_f1_sample(mine)])[0].value == pytest.approx(f1(np.arange(200)))
    theirs = stats.bootstrap(
        (np.arange(200),), f1, n_resamples=999, vectorized=False, method="BCa", rng=0
    ).confidence_interval
    ours = interval(record)
    assert ours.method == "BCa"
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.012)


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_of_a_skewed_mean_is_scipys(seed):
    rng = np.random.default_rng(seed)
    record = measured("squad", span_items(0.1, rng))
    theirs = stats.bootstrap((item_table(record).scores,), np.mean, method="BCa", rng=seed).confidence_interval
    ours = interval(record)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.5)


def test_whole_passages_are_resampled():
    rng = np.random.default_rng(0)
    # ten passages of twenty items that are right together or wrong together
    right = rng.random(10) < 0.5
    items = [
        {"item": str(i), "gold": "", "parsed": "", "score": 100.0 * right[i % 10], "cluster": f"p{i % 10}"}
        for i in range(200)
    ]
    apart = [{key: value for key, value in item.items() if key != "cluster"} for item in items]
    clustered, alone = (interval(measured("squad", each)) for each in (items, apart))
    assert (clustered.method, alone.method) == ("cluster BCa", "BCa")
    assert clustered.high - clustered.low > 3 * (alone.high - alone.low)
    # ten passages are ten items
    ten = stats.bootstrap((100.0 * right,), np.mean, method="BCa", rng=0).confidence_interval
    assert (clustered.low, clustered.high) == pytest.approx((ten.low, ten.high), abs=10.0)


@pytest.mark.parametrize(("task", "skill", "full"), [("arc", 1, 1.0), ("arc", 0, 1.0), ("squad", 1, 100.0)])
def test_where_all_items_score_alike_the_share_bounds_it(task, skill, full):
    items = MAKERS[task](skill, np.random.default_rng(0), 50)
    for item in items:
        item["parsed"], item["score"] = (item["gold"], full) if skill else (None, 0.0)
    found = interval(measured(task, items))
    expected = wilson(full * skill, 50, unit=full)
    # with none of the answers right, macro F1 may be twice their share
    times = 2 if task == "arc" and not skill else 1
    assert (found.low, found.high, found.method) == (expected.low, times * expected.high, "Wilson")
    assert found.high - found.low > 0.05 * full


def test_what_is_alike_and_neither_all_nor_nothing_says_that_it_knows_no_better():
    items = [{"item": str(i), "gold": "a", "parsed": "b", "score": 0.4} for i in range(30)]
    found = interval(measured("facts", items, scores={"cosine": 0.4}))
    assert (found.low, found.high) == pytest.approx((0.4, 0.4))
    assert found.method == "degenerate"


def wilson_ends(share, n):
    found = wilson(share, n)
    return found.low, found.high


def test_a_rate_needs_no_items_and_another_score_is_taken_to_vary_as_much_as_it_can():
    found = interval(measured("openmath", [], scores={"solve_rate": 0.25}, n=200))
    assert (found.method, found.n) == ("Wilson", 200)
    widest = interval(measured("squad", [], scores={"f1": 50.0}, n=200))
    assert (widest.method, widest.low, widest.high) == ("at most", *(100 * end for end in wilson_ends(0.5, 200)))
    assert interval(measured("squad", [], scores={"f1": 120.0}, n=200)) is None
    cosine = interval(measured("facts", [], scores={"cosine": 0.0}, n=200))
    assert (cosine.low, cosine.high) == pytest.approx([2 * end - 1 for end in wilson_ends(0.5, 200)])


def test_items_that_yield_another_score_are_not_resampled():
    items = span_items(0.5, np.random.default_rng(0))
    assert interval(measured("squad", items)) is not None
    other = interval(measured("squad", items, scores={"f1": scores_of("squad", items)["f1"] + 3}))
    assert other.method == "at most"


def test_quartiles_are_of_what_was_parsed():
    items = [{"item": str(i), "gold": "10", "parsed": p, "score": 0.0} for i, p in enumerate(["10", "11", "14", None])]
    record = measured("openmath", items, scores={"solve_rate": 0.25})
    found = difference_quartiles(record, Evidence.of([record]))
    assert (found.median, found.low, found.high, found.n) == (1.0, 0.5, 2.5, 3)


def test_the_largest_differences_do_not_overflow():
    items = [{"item": str(i), "gold": "-1e308", "parsed": "1.7e308", "score": 0.0} for i in range(4)]
    record = measured("openmath", items, scores={"solve_rate": 0.0})
    assert math.isfinite(difference_quartiles(record, Evidence.of([record])).median)


def test_with_one_seed_only_the_items_are_left():
    one = seeds_interval(0.5, [0.5], 0.03**2, 200)
    assert one.method == "items"
    assert one.high - 0.5 == pytest.approx(stats.t.ppf(0.975, 199) * 0.03)


def test_a_variance_of_one_part_is_students_t_and_more_parts_are_wider():
    sample = np.random.default_rng(0).normal(0.5, 1, size=6)
    part = (np.var(sample, ddof=1) / 6, 5.0)
    assert p_value(sample.mean(), [part]) == pytest.approx(stats.ttest_1samp(sample, 0).pvalue, rel=1e-3)
    assert half_width([part], 0.05) == pytest.approx(stats.t.ppf(0.975, 5) * part[0] ** 0.5)
    assert half_width([part, (part[0], 100.0)], 0.05) > half_width([part], 0.05)
    assert p_value(0.0, [(0.0, 3.0)]) == 1.0
    assert p_value(1.0, [(0.0, 3.0)]) == pytest.approx(1e-9, rel=1e-3)


@given(st.floats(0.01, 3), st.floats(0, 2), st.floats(0.001, 2), st.integers(1, 9))
def test_p_is_below_a_level_exactly_where_the_interval_leaves_zero_out(difference, first, second, freedom):
    parts = [(first, float(freedom)), (second, 199.0)]
    excluded = difference > half_width(parts, 0.05)
    p = p_value(difference, parts)
    assert (p < 0.05) == excluded or p == pytest.approx(0.05, rel=1e-3)


def mean_over_seeds(shifts, items):
    """A record that is the mean of seeds whose items all score so much more."""
    seeds = [
        measured("squad", [item | {"score": item["score"] + shift} for item in items], "squad", "lora", 8, seed=seed)
        for seed, shift in enumerate(shifts)
    ]
    (record,) = pooled(seeds)
    return record


def test_seeds_that_differ_widen_the_interval_and_take_away_a_difference():
    items = [{"item": str(i), "gold": "", "parsed": "", "score": 100.0 * (i % 2)} for i in range(200)]
    better = [item | {"score": min(100.0, item["score"] + 10)} for item in items]
    base = measured("squad", items)
    task = eval_task("squad", [base])
    alike, apart = mean_over_seeds([0, 0, 0], better), mean_over_seeds([-15, 0, 15], better)
    known = [Evidence.of([base, record]) for record in (alike, apart)]
    pairs = list(zip((alike, apart), known, strict=True))
    widths = [i.high - i.low for i in (score_interval(record, task, evidence) for record, evidence in pairs)]
    assert widths[1] > 3 * widths[0]
    differences = [difference_interval(record, base, task, evidence) for record, evidence in pairs]
    assert [found.includes_zero for found in differences] == [False, True]
    p = [difference_test(record, base, task, evidence) for record, evidence in pairs]
    assert [test for _, test in p] == ["seeds + items"] * 2
    assert p[0][0] < 0.001 < 0.05 < p[1][0]


def test_a_paired_interval_is_narrower_than_one_of_other_items():
    rng = np.random.default_rng(0)
    items = arc_items(0.5, rng)
    changed = [item | {"parsed": item["gold"], "score": 1.0} if i % 4 == 0 else item for i, item in enumerate(items)]
    base, tuned = measured("arc", items), measured("arc", changed, "arc", "nopeft")
    others = measured("arc", [item | {"item": f"other{item['item']}"} for item in changed], "arc", "lora", 8)
    task, evidence = eval_task("arc", [base]), Evidence.of([base, tuned, others])
    paired, unpaired = (difference_interval(record, base, task, evidence) for record in (tuned, others))
    assert (paired.method, unpaired.method) == ("paired BCa", "unpaired")
    assert paired.high - paired.low < 0.7 * (unpaired.high - unpaired.low)
    assert difference_test(others, base, task, evidence) is None


def test_the_order_of_items_does_not_matter():
    items = arc_items(0.5, np.random.default_rng(0))
    base, tuned = measured("arc", items), measured("arc", items[::-1], "arc", "nopeft")
    found = difference_interval(tuned, base, eval_task("arc", [base]), Evidence.of([base]))
    assert found.low < 0 < found.high
    assert found.method == "paired Wilson"  # not one item differs, which is all that is known


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=40))
def test_an_interval_holds_its_score_or_says_that_it_resampled_nothing(scores):
    items = [{"item": str(i), "gold": "", "parsed": "", "score": score} for i, score in enumerate(scores)]
    found = interval(measured("facts", items, scores={"cosine": float(np.mean(scores))}))
    assert min(scores) - 1e-6 <= found.low <= found.high <= max(scores) + 1e-6 or found.method == "Wilson"
    assert found.level == 0.95
    assert found.n == len(scores)


def test_the_same_items_have_the_same_interval_every_time():
    items = arc_items(0.5, np.random.default_rng(0))
    assert interval(measured("arc", items)) == interval(measured("arc", items))


def test_the_macro_f1_bootstrap_is_fast():
    record = measured("arc", arc_items(0.5, np.random.default_rng(0)))
    resampled([mean_sample(item_table(record))])  # imports, and the weights
    took = []
    for _ in range(5):
        start = time.perf_counter()
        interval(record)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.3


def test_an_interval_over_seeds_ends_where_its_scale_does():
    seeds = [
        measured("squad", [{"item": str(i), "score": score} for i in range(200)], "squad", "lora", 8, seed=seed)
        for seed, score in enumerate([99.0, 93.0])
    ]
    (mean,) = pooled(seeds)
    found = score_interval(mean, eval_task("squad", [mean]), Evidence.of([mean]))
    assert (found.high, found.method) == (100.0, "seeds + items")
    assert 0 <= found.low < 96


def test_seeds_of_other_ways_tell_how_far_one_seed_may_be_off():
    items = [{"item": str(i), "gold": "", "parsed": "", "score": 100.0 * (i % 2)} for i in range(200)]
    several = [
        measured("squad", [item | {"score": item["score"] * 0.9 + shift} for item in items], "squad", "lora", r, seed=s)
        for r in (8, 16, 32)
        for s, shift in enumerate([-8, 0, 8])
    ]
    one = measured("squad", items, "squad", "nopeft")
    task, alone = eval_task("squad", [one]), score_interval(one, eval_task("squad", [one]), Evidence.of([one]))
    records = pooled([one, *several])
    evidence = Evidence.of(records)
    beside = score_interval(records[0], task, evidence)
    assert (alone.method, beside.method) == ("BCa", "seeds + items")
    assert beside.high - beside.low > 1.5 * (alone.high - alone.low)
    # nine trainings say more of their spread than three
    narrow = score_interval(records[1], task, evidence)
    wide = score_interval(records[1], task, Evidence.of([records[1]]))
    assert narrow.high - narrow.low < 0.8 * (wide.high - wide.low)


def answers(wins, losses, n=200):
    """Two cells of which one alone is right on so many items, and the other on so many."""
    made = []
    for right in (range(wins), range(wins, wins + losses)):
        items = [{"item": str(i), "gold": "1", "parsed": None, "score": float(i in right)} for i in range(n)]
        made.append(measured("openmath", items, scores={"solve_rate": len(right) / n}))
    return made


@pytest.mark.parametrize(
    ("wins", "losses"), [(4, 0), (5, 0), (6, 0), (9, 2), (11, 3), (12, 3), (13, 4), (14, 5), (3, 3)]
)
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_the_interval_of_rates_leaves_zero_out_where_mcnemars_test_does(wins, losses, level):
    pair = answers(wins, losses)
    task, evidence = eval_task("openmath", pair), Evidence.of(pair)
    found, (p, _) = difference_interval(*pair, task, evidence, level), difference_test(*pair, task, evidence)
    assert found.includes_zero == (p > 1 - level)
    assert found.low < (wins - losses) / 200 < found.high or wins == losses


@pytest.mark.parametrize(("rare", "excluded"), [(4, False), (8, True)])
def test_a_rare_class_won_is_no_more_certain_for_weighing_much(rare, excluded):
    golds = np.array(["D"] * rare + list("ABC") * 66)
    items = [
        [
            {"item": str(i), "gold": str(g), "parsed": (a := g if g != "D" or knows else "A"), "score": float(a == g)}
            for i, g in enumerate(golds)
        ]
        for knows in (True, False)
    ]
    first, second = (measured("arc", each) for each in items)
    task, evidence = eval_task("arc", [first]), Evidence.of([first, second])
    found = difference_interval(first, second, task, evidence)
    assert (not found.includes_zero) is excluded
    assert found.high > first.scores["macro_f1"] - second.scores["macro_f1"] + 0.1


def test_a_difference_ends_where_its_scale_does():
    seeds = [
        measured(
            "openmath",
            [{"item": str(i), "gold": "1", "parsed": "0", "score": s} for i in range(200)],
            "openmath",
            "lora",
            8,
            seed=k,
        )
        for k, s in enumerate([0.9, 0.4])
    ]
    base = measured("openmath", [{"item": str(i), "gold": "1", "parsed": "0", "score": 0.0} for i in range(200)])
    records = pooled([base, *(each for each in seeds)])
    found = difference_interval(records[1], base, eval_task("openmath", records), Evidence.of(records))
    assert (found.low, found.high) == (-1.0, 1.0)

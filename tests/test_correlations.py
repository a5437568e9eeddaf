"""Rank correlations: against scipy and brute force, and as the studies' third table has them."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from strategies_items import measured

from pytest_ftbench.analysis import correlate, rank_correlations
from pytest_ftbench.grid import Results, read_results
from pytest_ftbench.report import render

PUBLISHED = Path(__file__).parents[2] / "shared" / "data" / "published" / "study1-results.json"
POINTS = st.integers(3, 6).flatmap(lambda n: st.tuples(*[st.lists(st.integers(-5, 5), min_size=n, max_size=n)] * 2))


def brute_force(x, y, statistic):
    """The share of all orders with a coefficient as large, two-sided."""
    observed = abs(statistic(x, y))
    orders = [abs(statistic(x, order)) for order in itertools.permutations(y)]
    return np.mean([value >= observed - 1e-9 for value in orders])


@given(POINTS)
def test_coefficients_are_scipys(points):
    x, y = (list(map(float, side)) for side in points)
    found = correlate(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert found is None
        return
    theirs = [stats.pearsonr(x, y), stats.spearmanr(x, y), stats.kendalltau(x, y)]
    assert [each.value for each in found] == pytest.approx([each.statistic for each in theirs], abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_p_is_over_all_orders(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 4, 5).astype(float), rng.normal(size=5)
    found = correlate(x, y)
    for each, theirs in zip(found, (stats.pearsonr, stats.spearmanr, stats.kendalltau), strict=True):
        assert each.p == pytest.approx(brute_force(x, y, lambda a, b, f=theirs: f(a, b).statistic))


@pytest.mark.parametrize("n", [12, 80])
def test_of_many_points_p_is_over_random_orders(n):
    rng = np.random.default_rng(n)
    x = rng.normal(size=n)
    y = 0.3 * x + rng.normal(size=n)
    theirs = [stats.pearsonr(x, y), stats.spearmanr(x, y), stats.kendalltau(x, y)]
    found = correlate(x, y)
    assert [each.value for each in found] == pytest.approx([each.statistic for each in theirs])
    assert [each.p for each in found] == pytest.approx([each.pvalue for each in theirs], abs=0.02)


def test_the_interval_is_fishers_and_few_points_have_none():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=20), rng.normal(size=20)
    theirs = stats.pearsonr(x, y).confidence_interval(0.95)
    ours = correlate(x, y)[0]
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert correlate([1, 2, 3], [1, 3, 2])[0].low is None
    # points on a line: no interval, rather than one of no width
    assert correlate([1, 2, 3, 4], [2, 4, 6, 8])[0].low is None


def test_five_points_look_like_five_points():
    pearson, spearman, _ = correlate([32, 64, 256, 512, 1024], [1, 2, 3, 4, 5.5])
    assert pearson.value > 0.9
    assert pearson.high - pearson.low > 0.3
    # in perfect order, and still one order in sixty
    assert (spearman.value, spearman.p) == pytest.approx((1.0, 2 / 120))


def test_figures_near_the_largest_float_are_correlated():
    found = correlate([1, 2, 3, 4], [1e308, -1e308, 1.5e308, 1e300])[0]
    assert -1 <= found.value <= 1


def records(scores, **rest):
    """LoRA at one rank per score, trained and tested on SQuAD."""
    return [
        measured("squad", [], "squad", "lora", 2**index, scores={"f1": score}, **{"n": 200} | rest)
        for index, score in enumerate(scores)
    ]


def test_constant_scores_say_so_and_two_ranks_are_nothing():
    (f1, *_) = rank_correlations(records([9.59] * 3), {})
    assert (f1.constant, f1.pearson, f1.n) == (True, None, 3)
    assert any("N/A (constant)" in line for line in render(Results("x", records([9.59] * 3))))
    assert rank_correlations(records([9.59, 10.0]), {}) == []


def test_cells_that_may_not_be_ranked_keep_their_figure_and_leave_the_conclusion():
    trivial = {"squad": {"always_abstain": {"f1": 49.0}}}
    (f1, *_) = rank_correlations(records([50, 60, 48, 70]), trivial)
    assert (f1.n, f1.ranked) == (4, 3)
    lines = render(Results("x", records([50, 60, 48, 70]), trivial=trivial), 160)
    assert any(f"({f1.pearson.value:.3f})" in line for line in lines)
    assert any(line.startswith("Ranked: of these points") for line in lines)


def test_other_tasks_are_shown_in_detail_only():
    given = [measured("arc", [], "squad", "lora", r, scores={"macro_f1": r / 99}, n=200) for r in (1, 2, 3, 4)]
    assert not any("Correlation" in line for line in render(Results("x", given)))
    assert any("Correlation" in line for line in render(Results("x", given), detail=True))


if PUBLISHED.exists():  # beside a checkout of the project, not in every clone

    @pytest.mark.parametrize(
        ("task", "measure", "score", "latency"),
        [("arc", "F1°", 0.021, -0.646), ("openmath", "AbsDiff", 0.301, -0.233), ("squad", "F1", None, 0.321)],
    )
    def test_the_studies_third_table_comes_out(task, measure, score, latency):
        results = read_results(PUBLISHED)
        found = rank_correlations(results.cells, results.trivial)
        mine = {each.measure: each for each in found if each.in_domain and each.task.name == task}
        assert mine["Lat s"].pearson.value == pytest.approx(latency, abs=0.001)
        if score is None:
            assert mine[measure].constant
        else:
            assert mine[measure].pearson.value == pytest.approx(score, abs=0.001)
            assert mine[measure].pearson.p > 0.2
        assert mine["Lat s"].pearson.p > 0.2
        assert mine["Lat s"].n == (5 if task == "arc" else 3)

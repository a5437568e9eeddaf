"""Tests between cells: against scipy and brute force."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from pytest_ftbench.analysis.paired import (
    WinsTiesLosses,
    holm,
    mann_whitney,
    mcnemar,
    sign_flips,
    sign_flips_of,
    wilcoxon,
    wins_ties_losses,
)
from pytest_ftbench.analysis.power import independent_variance, mcnemar_detectable, mcnemar_power, mean_detectable

SMALL = st.integers(-4, 4).map(float)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_test_of_the_discordant_items(wins, losses):
    theirs = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert float(mcnemar(wins, losses)) == pytest.approx(theirs)


@given(st.lists(SMALL, min_size=1, max_size=9))
def test_few_differences_are_flipped_in_every_way(differences):
    patterns = [sum(s * d for s, d in zip(signs, differences, strict=True)) for signs in
                itertools.product((1, -1), repeat=len(differences))]  # fmt: skip
    expected = np.mean([abs(total) >= abs(sum(differences)) for total in patterns])
    assert sign_flips(differences)[0] == pytest.approx(expected)


def test_many_differences_are_flipped_at_random_as_scipy_does():
    rng = np.random.default_rng(0)
    for shift in (0.0, 0.15, 0.3):
        differences = rng.normal(shift, 1, 120)
        theirs = stats.permutation_test(
            (differences, np.zeros(120)),
            lambda x, y, axis: np.mean(x - y, axis=axis),
            permutation_type="samples",
            rng=1,
        ).pvalue
        assert sign_flips(differences)[0] == pytest.approx(theirs, abs=0.02)


def test_flips_that_only_round_differently_count():
    # 0.1 + 0.2 is not 0.3 in floats: both patterns are as far off
    assert sign_flips([0.3, -0.1, -0.2])[0] == 1.0
    assert sign_flips(np.zeros(5))[0] == 1.0


def test_signs_flipped_together_are_those_flipped_one_by_one():
    rng = np.random.default_rng(9)
    each = [np.round(rng.normal(0.1, 1, size), 1) for size in (0, 1, 5, 13, 14, 60, 200, 200, 257, *[40] * 70)]
    for row in each:
        row[rng.random(len(row)) < 0.3] = 0.0
    assert sign_flips_of(each) == [float(sign_flips(row)[0]) for row in each]
    assert sign_flips_of([]) == []


@given(arrays(float, st.integers(2, 60), elements=SMALL))
def test_wilcoxon_is_scipys(differences):
    ours = wilcoxon(differences)[0]
    if not differences.any():
        assert ours == 1.0
        return
    if np.count_nonzero(differences) <= 10:
        assert ours == pytest.approx(all_signs(differences[differences != 0]))
        return
    theirs = stats.wilcoxon(differences, correction=True, method="asymptotic").pvalue
    # scipy corrects by half a rank also where there is nothing to be corrected
    assert ours == pytest.approx(theirs, abs=1e-9)


def all_signs(differences):
    """Wilcoxon's p-value from the definition: the share of sign patterns whose sum of ranks is as far off."""
    ranks = stats.rankdata(np.abs(differences))
    sums = [abs(np.dot(signs, ranks)) for signs in itertools.product((1, -1), repeat=len(ranks))]
    return np.mean(np.array(sums) >= abs(np.dot(np.sign(differences), ranks)) - 1e-9)


@pytest.mark.parametrize("n", [3, 4, 5, 6, 8, 10])
def test_few_ranks_are_exact(n):
    steps = np.arange(1.0, n + 1)
    assert wilcoxon(steps)[0] == pytest.approx(stats.wilcoxon(steps, method="exact").pvalue)
    assert mann_whitney(steps, steps + n)[0] == pytest.approx(
        stats.mannwhitneyu(steps, steps + n, method="exact").pvalue
    )


@given(arrays(float, st.integers(11, 40), elements=SMALL), arrays(float, st.integers(11, 40), elements=SMALL))
def test_mann_whitney_is_scipys(first, second):
    theirs = stats.mannwhitneyu(first, second, method="asymptotic").pvalue
    assert mann_whitney(first, second)[0] == pytest.approx(1.0 if np.isnan(theirs) else theirs, abs=1e-9)


@given(arrays(float, st.integers(1, 4), elements=SMALL), arrays(float, st.integers(1, 5), elements=SMALL))
def test_few_times_are_parted_in_every_way(first, second):
    ranks = stats.rankdata(np.concatenate([first, second]))
    mean = len(first) * (len(ranks) + 1) / 2
    off = [abs(sum(chosen) - mean) for chosen in itertools.combinations(ranks, len(first))]
    expected = np.mean(np.array(off) >= abs(ranks[: len(first)].sum() - mean) - 1e-9)
    assert mann_whitney(first, second)[0] == pytest.approx(expected)


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=8))
def test_holm_steps_down_and_never_up(p_values):
    adjusted = holm(p_values)
    known = sorted(p for p in p_values if p is not None)
    for p, q in zip(p_values, adjusted, strict=True):
        assert (p is None) == (q is None)
        if p is not None and q is not None:
            below = [min(1.0, (len(known) - i) * each) for i, each in enumerate(known) if each <= p]
            assert q == pytest.approx(max(below))


def test_holms_example_is_rejected_as_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_rounding_is_no_win():
    assert wins_ties_losses(np.array([0.1 + 0.2 - 0.3, 1, -1, 2, 0])) == WinsTiesLosses(2, 2, 1)


def test_the_exact_power_is_that_of_all_outcomes():
    # n = 6 items, every outcome of wins, losses and ties by its probability
    n, discordance, difference, alpha = 6, 0.8, 0.5, 0.10
    win, loss = (discordance + difference) / 2, (discordance - difference) / 2
    expected = sum(
        stats.multinomial.pmf([w, lost, n - w - lost], n, [win, loss, 1 - win - loss])
        for w in range(n + 1)
        for lost in range(n + 1 - w)
        if mcnemar(w, lost) <= alpha
    )
    assert mcnemar_power(n, discordance, difference, alpha) == pytest.approx(expected)


@given(st.integers(10, 400), st.floats(0.01, 0.9), st.sampled_from([0.05, 0.01, 0.004]))
def test_the_detectable_difference_is_found_with_that_power_and_a_smaller_one_is_not(n, discordance, alpha):
    found = mcnemar_detectable(n, discordance, alpha)
    if found is None:
        assert mcnemar_power(n, 1.0, 1.0, alpha) < 0.8
    else:
        assert mcnemar_power(n, max(discordance, found), found, alpha) >= 0.8
        smaller = found - 0.01
        assert smaller <= 0 or mcnemar_power(n, max(discordance, smaller), smaller, alpha) < 0.8


def test_few_seeds_see_less_than_many():
    many = mean_detectable([(1.0, math.inf)], 0.05)
    assert many == pytest.approx(1.96 + 0.8416, abs=1e-3)
    assert mean_detectable([(1.0, 2.0)], 0.05) > 1.8 * many
    assert independent_variance(50.0, 200, 100.0) == pytest.approx(25.0)

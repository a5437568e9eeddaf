"""A sweep's choices against made-up trainings: it finds the best, goes on at an edge, and treats all ways alike."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ftbench.grid import METHODS, Method, SweepSpec, Trial, UserError

specs = st.builds(
    SweepSpec,
    trials=st.integers(2, 9),
    factor=st.floats(1.1, 20),
    extensions=st.integers(0, 4),
)
centres = st.floats(1e-7, 1.0)
scores = st.none() | st.floats(0, 1) | st.sampled_from((0.0, 0.5))
losses = st.none() | st.floats(0, 10)


@st.composite
def outcomes(draw):
    """What a training comes to at any rate, the same each time it is asked: a failure now and then."""
    drawn = draw(st.lists(st.tuples(scores, losses, st.booleans()), min_size=1, max_size=20))

    def trial(rate):
        score, loss, fails = drawn[hash(rate) % len(drawn)]
        return Trial(rate, None, None, failed="it diverged") if fails else Trial(rate, score, loss)

    return trial


def swept(spec, centre, trial, higher=True):
    """The sweep and every rate that was tried, in order."""
    tried = []

    def run(rates):
        tried.extend(rates)
        return [trial(rate) for rate in rates]

    return spec.search(centre, run, higher), tried


def peak(best, steepness=1.0):
    """A training whose score falls off with the distance from the best rate, in decades."""
    return lambda rate: Trial(rate, -steepness * abs(math.log10(rate / best)), 1.0)


@given(specs, centres)
def test_the_rates_planned_lie_around_the_centre_a_factor_apart(spec, centre):
    rates = spec.wanted(centre, [])
    assert len(set(rates)) == spec.trials
    assert rates == sorted(rates)
    # to three digits
    for low, high in pairwise(rates):
        assert high / low == pytest.approx(spec.factor, rel=1.1e-2)
    assert math.sqrt(rates[0] * rates[-1]) == pytest.approx(centre, rel=1e-2)


def test_an_odd_number_of_rates_has_the_centre_in_its_middle():
    assert SweepSpec(trials=5).wanted(2e-4, []) == [2e-5, 6.32e-5, 2e-4, 6.32e-4, 2e-3]
    assert SweepSpec(trials=2, factor=100.0).wanted(1e-3, []) == [1e-4, 1e-2]


@given(specs, centres, st.integers(-30, 30))
def test_the_rate_nearest_to_the_best_is_chosen_of_those_within_reach(spec, centre, place):
    best = centre * spec.factor ** (place / 2)
    sweep, tried = swept(spec, centre, peak(best))
    reach = [
        centre * spec.factor ** (step - (spec.trials - 1) / 2)
        for step in range(-spec.extensions, spec.trials + spec.extensions)
    ]
    nearest = min(abs(math.log(rate / best)) for rate in reach)
    assert abs(math.log(sweep.chosen / best)) <= nearest + 0.02
    assert sweep.chosen in tried


@given(specs, centres, outcomes(), st.booleans())
def test_no_rate_is_tried_twice_and_no_more_are_than_allowed(spec, centre, trial, higher):
    sweep, tried = swept(spec, centre, trial, higher)
    assert len(tried) == len(set(tried))
    assert spec.trials <= len(tried) <= spec.trials + spec.extensions
    assert tried[: spec.trials] == spec.wanted(centre, [])
    assert swept(spec, centre, trial, higher) == (sweep, tried)
    if sweep is not None:
        assert [one.rate for one in sweep.trials] == sorted(tried)
        assert sweep.extended == len(tried) - spec.trials


@given(specs, centres, outcomes(), st.booleans())
def test_what_is_chosen_is_beaten_by_nothing(spec, centre, trial, higher):
    sweep, tried = swept(spec, centre, trial, higher)
    sound = [one for rate in tried if (one := trial(rate)).failed is None]
    if not sound:
        assert sweep is None
        return
    known = [one for one in sound if one.score is not None]
    best = (max if higher else min)((one.score for one in known), default=None)
    like = [one for one in sound if one.score == best]
    finite = [one for one in like if one.loss is not None]
    if finite:
        like = [one for one in finite if one.loss == min(each.loss for each in finite)]
    assert sweep.chosen == min(one.rate for one in like)


@given(specs, centres, outcomes())
def test_it_ends_at_an_edge_only_where_it_may_go_no_further(spec, centre, trial):
    sweep, tried = swept(spec, centre, trial)
    if sweep is None:
        assert len(tried) == spec.trials + spec.extensions
        return
    assert sweep.at_edge == (sweep.chosen in (min(tried), max(tried)))
    if sweep.at_edge:
        assert sweep.extended == spec.extensions


def test_beyond_the_highest_rate_it_goes_up_one_at_a_time_until_the_score_falls():
    sweep, tried = swept(SweepSpec(trials=3, factor=10.0, extensions=4), 1e-4, peak(1e-2))
    assert tried == [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    assert (sweep.chosen, sweep.at_edge, sweep.extended) == (1e-2, False, 2)


def test_below_the_lowest_it_goes_down_and_says_where_it_had_to_stop():
    sweep, tried = swept(SweepSpec(trials=3, factor=10.0, extensions=2), 1e-4, peak(1e-9))
    assert tried == [1e-5, 1e-4, 1e-3, 1e-6, 1e-7]
    assert (sweep.chosen, sweep.at_edge, sweep.extended) == (1e-7, True, 2)


def test_a_rate_that_diverges_bounds_the_search_from_above():
    def trial(rate):
        return Trial(rate, None, None, failed="diverged") if rate > 1e-4 else Trial(rate, rate, 1.0)

    sweep, tried = swept(SweepSpec(trials=3, factor=10.0), 1e-4, trial)
    assert (sweep.chosen, sweep.at_edge, len(tried)) == (1e-4, False, 3)


def test_where_all_diverge_lower_rates_are_tried_and_then_none_is_chosen():
    sweep, tried = swept(SweepSpec(trials=3, factor=10.0), 1.0, lambda rate: Trial(rate, None, None, failed="x"))
    assert (sweep, tried) == (None, [0.1, 1.0, 10.0, 0.01, 0.001])


@pytest.mark.parametrize("nothing", [0.0, None])
def test_where_nothing_is_learned_anywhere_the_lower_loss_decides(nothing):
    losses = {1e-5: 3.0, 1e-4: 2.0, 1e-3: 2.5}
    sweep, _ = swept(SweepSpec(trials=3, factor=10.0), 1e-4, lambda rate: Trial(rate, nothing, losses[rate]))
    assert sweep.chosen == 1e-4


@given(st.lists(st.integers(0, 2000), min_size=1, max_size=20, unique=True))
def test_the_seed_to_choose_with_is_none_that_is_tested_with(seeds):
    assert SweepSpec().seed_beside(seeds, "x.toml") not in seeds
    assert SweepSpec(seed=3000).seed_beside(seeds, "x.toml") == 3000
    with pytest.raises(UserError, match=r"^x.toml: sweep.seed: is \d+, a seed that is tested with; "):
        SweepSpec(seed=seeds[0]).seed_beside(seeds, "x.toml")


def test_it_stays_the_same_whatever_further_seeds_are_tested_with():
    assert {SweepSpec().seed_beside(range(count), "x.toml") for count in range(1, 100)} == {1000}


@pytest.mark.parametrize(
    ("spec", "centre"),
    [
        (SweepSpec(), 0.0),
        (SweepSpec(trials=10**9), 1e-4),
        (SweepSpec(extensions=10**9), 1e-4),
        (SweepSpec(factor=1e308), 1e-4),
        (SweepSpec(), 1e38),
    ],
)
def test_a_sweep_that_leaves_the_numbers_is_refused(spec, centre):
    with pytest.raises(
        UserError, match=r"a sweep around the rate .* goes from .*; give sweep.centre or a learning_rate above 0, or"
    ):
        spec.check(centre, "x.toml: methods.lora")


def test_adapters_are_expected_to_need_higher_rates_than_full_fine_tuning():
    factors = {name: method.rate_factor for name, method in METHODS.items() if method.trains}
    assert factors["nopeft"] == 1
    assert {factors[name] for name in ("lora", "dora", "qlora", "adalora")} == {10}
    assert min(factors["vera"], factors["ia3"]) > 10
    # any other of PEFT's, by its type
    assert Method("loha", "loha", peft_type="LOHA").rate_factor == 10
    assert Method("prompt", "prompt", peft_type="PROMPT_TUNING").rate_factor > 100

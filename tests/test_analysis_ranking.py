"""Rankings that know how sure they are, and what another run orders otherwise."""

import random

import numpy as np
import pytest
from strategies_items import measured

from pytest_ftbench.analysis import Evidence, pooled, rankings, reorderings, unlike_items
from pytest_ftbench.grid import Cell, CellRecord, Results
from pytest_ftbench.report import render

WAYS = {"nopeft": None, "lora": 8, "dora": 8}


def records(seed=0, seeds=3, n=200, recipe="published", **shares):
    """Cells of OpenMath whose answers are right in these shares; the same items throughout."""
    chance = random.Random(seed)
    made = []
    for method, share in shares.items():
        for number in range(seeds):
            right = [float(chance.random() < share) for _ in range(n)]
            items = [
                {"item": str(i), "gold": "1", "parsed": "1" if r else "0", "score": r} for i, r in enumerate(right)
            ]
            made.append(
                CellRecord.of(
                    Cell("nano", method, "openmath", "openmath", WAYS[method], None, number, True),
                    n=n,
                    scores={"solve_rate": sum(right) / n},
                    format_rate=1.0,
                    empty_rate=0.0,
                    items=items,
                    train={"learning_rate": 1e-3},
                    extra={"provenance": {"items": "digest", "recipe": {"name": recipe}}},
                )
            )
    return made


def ranked(cells):
    cells = pooled(cells)
    (ranking,) = rankings(cells, {}, Evidence.of(cells))
    return {key.method: place for key, place in ranking.places.items()}


def test_far_scores_have_places_of_their_own_and_near_ones_share_theirs():
    places = ranked(records(nopeft=0.95, lora=0.5, dora=0.5))
    assert (places["nopeft"].rank, places["nopeft"].best, places["nopeft"].worst) == (1, 1, 1)
    assert {places[way].rank for way in ("lora", "dora")} == {2, 3}
    assert [(places[way].best, places[way].worst) for way in ("lora", "dora")] == [(2, 3), (2, 3)]


def test_of_one_seed_items_alone_decide():
    places = ranked(records(seeds=1, nopeft=0.9, lora=0.2))
    assert (places["nopeft"].worst, places["lora"].best) == (1, 2)


def test_what_cannot_be_read_has_no_place():
    cells = records(nopeft=0.9, lora=0.8, dora=0.7)
    for cell in cells[:3]:
        cell.format_rate = 0.1
    places = ranked(cells)
    assert places["nopeft"].rank is None
    assert [places[way].rank for way in ("lora", "dora")] == [1, 2]


def test_one_way_is_no_ranking_to_show():
    assert "Ranking" not in "\n".join(render(Results("s", records(nopeft=0.9))))


def test_ways_that_only_one_run_can_rank_are_named():
    now, then = records(nopeft=0.9, lora=0.8), records(nopeft=0.9, lora=0.8)
    for cell in then[3:]:
        cell.format_rate = 0.1
    text = " ".join(" ".join(render(Results("s", now), baseline=("old.json", Results("s", then)))).split())
    assert "Trained on OpenMath: ranked here alone: LoRA r8." in text
    assert "INVALID" in text
    text = " ".join(" ".join(render(Results("s", then), baseline=("old.json", Results("s", now)))).split())
    assert "Trained on OpenMath: ranked there alone: LoRA r8." in text


def test_an_order_that_another_run_does_not_show_is_told():
    now, then = pooled(records(nopeft=0.5, lora=0.9)), pooled(records(nopeft=0.9, lora=0.5))
    (found,), count = reorderings(rankings(now, {}, Evidence.of(now)), rankings(then, {}, Evidence.of(then)))
    assert (found.first.method, found.second.method, found.now.order, found.then.order) == ("nopeft", "lora", -1, 1)
    assert (found.opposite, count) == (True, 1)


def test_the_same_run_orders_nothing_otherwise():
    cells = pooled(records(nopeft=0.5, lora=0.9))
    mine = rankings(cells, {}, Evidence.of(cells))
    assert reorderings(mine, mine) == ([], 1)


def test_runs_on_other_items_are_not_held_against_each_other():
    now, then = records(nopeft=0.5, lora=0.9), records(nopeft=0.5, lora=0.9)
    assert unlike_items(now, then) is None
    then[0].extra = {"provenance": {"items": "other"}}
    assert "other test items" in unlike_items(now, then).difference
    lines = "\n".join(render(Results("s", now), baseline=("old.json", Results("s", then))))
    assert "not held against old.json" in lines


def test_the_report_sets_two_runs_side_by_side_and_says_what_differs():
    now, then = records(nopeft=0.9, lora=0.9, recipe="tuned"), records(nopeft=0.9, lora=0.4)
    lines = render(Results("s", now), baseline=("old.json", Results("s", then)))
    text = " ".join(" ".join(lines).split())
    assert "this run (tuned) ---" in text
    assert "old.json (published) ---" in text
    assert "better here neither, there NoPeft over LoRA r8 (NoPeft less LoRA r8 here" in text
    alike = " ".join(" ".join(render(Results("s", now), baseline=("old.json", Results("s", now)))).split())
    assert "No pair of ways is shown to be ordered otherwise, of the 1 that both runs rank." in alike


def test_an_order_that_only_one_of_two_runs_shows_is_none_of_its_own():
    # of one truth, .5 against .6, one run shows it and the other doesn't
    now, then = records(seed=1, seeds=1, nopeft=0.5, lora=0.56), records(seed=2, seeds=1, nopeft=0.5, lora=0.68)
    mine, other = (rankings(cells, {}, Evidence.of(cells)) for cells in (now, then))
    assert [next(iter(ranking.gaps.values())).order for (ranking,) in (mine, other)] == [0, -1]
    assert reorderings(mine, other) == ([], 1)
    text = " ".join(" ".join(render(Results("s", now), baseline=("old.json", Results("s", then)))).split())
    assert "One seed alone stands behind every place of this run" in text


def test_runs_without_a_pair_in_common_claim_nothing():
    now, then = records(nopeft=0.9, lora=0.5), records(nopeft=0.9, dora=0.5)
    text = " ".join(" ".join(render(Results("s", now), baseline=("old.json", Results("s", then)))).split())
    assert "The two runs share no pair of ways that both can rank." in text
    assert "ranked here alone: LoRA r8." in text
    assert "ranked there alone: DoRA r8." in text


def test_eight_ways_alike_are_hardly_ever_ordered():
    rng = np.random.default_rng(0)
    false = []
    for _ in range(60):
        easy = rng.beta(1, 1, 100)
        cells = []
        for rank in range(8):
            right = (rng.random(100) < easy).astype(float)
            items = [{"item": str(i), "gold": "1", "parsed": None, "score": each} for i, each in enumerate(right)]
            cells.append(measured("openmath", items, "openmath", "lora", rank, scores={"solve_rate": right.mean()}))
        (ranking,) = rankings(cells, {}, Evidence(cells, resamples=99))
        false.append(any(gap.order for gap in ranking.gaps.values()))
    assert np.mean(false) <= 0.05 + 3 * (0.05 * 0.95 / 60) ** 0.5


@pytest.mark.parametrize("seeds", [1, 3])
def test_without_another_run_a_ranking_is_there_where_seeds_are(seeds):
    text = "\n".join(render(Results("s", records(seeds=seeds, nopeft=0.9, lora=0.4))))
    assert ("Ranking of the ways" in text) == (seeds == 3)


def test_a_run_of_one_seed_is_as_unsure_as_the_seeds_of_the_other():
    rng = np.random.default_rng(1)

    def run(*shares):
        made = []
        for rank, of_way in zip((8, 16), shares, strict=True):
            for seed, share in enumerate(of_way):
                right = (rng.random(200) < share).astype(float)
                items = [{"item": str(i), "gold": "1", "parsed": None, "score": each} for i, each in enumerate(right)]
                scores = {"solve_rate": right.mean()}
                made.append(measured("openmath", items, "openmath", "lora", rank, seed=seed, scores=scores))
        cells = pooled(made)
        return rankings(cells, {}, Evidence.of(cells))

    one, alike, apart = run([0.45], [0.75]), run([0.5], [0.5]), run([0.35, 0.5, 0.65], [0.65, 0.5, 0.35])
    assert [one[0].gaps[ways].order for ways in one[0].gaps] == [-1]
    assert len(reorderings(one, alike)[0]) == 1
    assert reorderings(one, apart) == reorderings(apart, one) == ([], 1)


def test_what_two_runs_of_one_seed_order_otherwise_are_trainings():
    now, then = records(seeds=1, nopeft=0.9, lora=0.4), records(seeds=1, nopeft=0.4, lora=0.9)
    text = " ".join(" ".join(render(Results("s", now), baseline=("old.json", Results("s", then)))).split())
    assert "better here NoPeft over LoRA r8, there LoRA r8 over NoPeft" in text
    assert "what they order otherwise are these trainings" in text

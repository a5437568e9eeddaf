"""Several seeds as one cell: means of what was measured, nothing of it lost, no unreadable one hidden in a mean."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ftbench.analysis import PooledRecord, Standing, pooled, seed_table, seeds_of, standing
from pytest_ftbench.grid import Cell, CellRecord, Results
from pytest_ftbench.report import render

SCORES = st.floats(0, 100)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3) | st.integers(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["mean", "samples", "n"]), inner),
    max_leaves=5,
)


def record(seed, score=60.0, task="squad", **measured):
    cell = Cell("nano", "lora", task, "squad", 8, None, seed, True)
    given = {"scores": {"f1": score}, "format_rate": 1.0, "empty_rate": 0.0, "n": 2} | measured
    return CellRecord.of(cell, **given)


def pool(*records):
    (only,) = pooled(records)
    return only


@given(st.lists(SCORES, min_size=2, max_size=5))
def test_scores_are_means_over_the_seeds_which_stay_beside_them(scores):
    records = [record(seed, score) for seed, score in enumerate(scores)]
    one = pool(*records)
    assert one.scores["f1"] == pytest.approx(statistics.fmean(scores))
    assert [each.scores["f1"] for each in seeds_of(one)] == scores
    assert (one.id, one.seed, one.n) == ("nano-lora-r8-squad-to-squad", 0, 2)


def test_a_run_of_one_seed_is_left_as_it_is():
    records = [record(3), record(3, task="arc"), CellRecord.of(Cell("nano", "base", "arc"))]
    assert pooled(records) == records
    assert [type(each) for each in pooled(records)] == [CellRecord] * 3
    assert seeds_of(records[0]) == (records[0],)


def test_times_of_all_seeds_are_together_and_peaks_are_the_largest():
    records = [
        record(
            seed,
            latency_s={"mean": seconds, "n": 2, "samples": [seconds, seconds], "exclusive": True, "fixed": {"n": 2}},
            memory_gib={"train_allocated": seconds, "eval_allocated": None},
            train={"seconds": seconds, "losses": [seconds], "dtype": "float32", "learning_rate": 1e-3},
            extra={"provenance": {"checkpoint": str(seed), "data": "embedded"}},
            flags=["V01", f"V0{seed + 3}"],
        )
        for seed, seconds in ((0, 1.0), (1, 3.0))
    ]
    one = pool(*records)
    assert one.latency_s["mean"] == 2.0
    assert (one.latency_s["n"], one.latency_s["samples"]) == (4, [1.0, 1.0, 3.0, 3.0])
    assert one.latency_s["exclusive"] is True
    assert one.memory_gib == {"train_allocated": 3.0, "eval_allocated": None}
    assert one.train == {"seconds": 2.0, "losses": None, "dtype": "float32", "learning_rate": 1e-3}
    assert one.extra == {"provenance": {"checkpoint": None, "data": "embedded"}}
    assert one.flags == ["V01", "V03", "V04"]


def test_items_have_the_mean_of_their_scores_and_what_all_seeds_say():
    answers = [[("a", 1.0, "x"), ("b", 0.0, "y")], [("b", 1.0, "y"), ("a", 0.0, "z")]]
    records = [
        record(seed, items=[{"item": name, "score": score, "parsed": said} for name, score, said in items])
        for seed, items in enumerate(answers)
    ]
    assert pool(*records).items == [
        {"item": "a", "score": 0.5, "parsed": None},
        {"item": "b", "score": 0.5, "parsed": "y"},
    ]


def test_seeds_tested_on_other_items_have_none_in_common():
    assert (
        pool(record(0, items=[{"item": "a", "score": 1.0}]), record(1, items=[{"item": "b", "score": 1.0}])).items == []
    )


def test_a_seed_that_failed_is_named_and_is_no_part_of_the_mean():
    one = pool(
        record(0, 50.0),
        record(1, 70.0),
        CellRecord.of(Cell("nano", "lora", "squad", "squad", 8, None, 2, True), status="failed", error="out of memory"),
    )
    assert one.scores["f1"] == 60.0
    assert one.error == "seed 2: out of memory"
    assert len(seeds_of(one)) == 2


def test_where_every_seed_failed_so_did_the_cell():
    one = pool(record(0, status="failed", error="no"), record(1, status="failed"))
    assert (one.status, one.error, one.id) == ("failed", "seed 0: no; seed 1 failed", "nano-lora-r8-squad-to-squad")


def test_one_unreadable_seed_makes_the_mean_invalid():
    one = pool(record(0, 90.0), record(1, 90.0), record(2, 0.0, format_rate=0.1))
    assert one.format_rate == pytest.approx(0.7)
    assert standing(one, {}) is Standing.INVALID


def test_a_score_that_one_seed_lacks_is_unknown():
    assert pool(record(0, 50.0), record(1, None)).scores == {"f1": None}


def test_the_spread_of_the_seeds_is_their_standard_deviation():
    table = seed_table(pooled([record(seed, score) for seed, score in enumerate([50.0, 60.0, 64.0])]), {})
    (block,) = table.blocks
    (cells,) = block.rows.values()
    assert cells["squad"].stddev == pytest.approx(statistics.stdev([50.0, 60.0, 64.0]))
    assert table.seeds == (0, 1, 2)
    assert seed_table([record(0)], {}) is None


@given(
    st.lists(
        st.fixed_dictionaries({"scores": ANYTHING, "latency_s": ANYTHING, "items": ANYTHING, "train": ANYTHING}),
        min_size=2,
        max_size=3,
    )
)
def test_whatever_records_hold_they_are_pooled_and_rendered(given):
    records = []
    for seed, values in enumerate(given):
        typed = {key: value for key, value in values.items() if isinstance(value, list if key == "items" else dict)}
        records.append(record(seed, **typed))
    assert isinstance(pool(*records), PooledRecord)
    assert render(Results("s", records), detail=True)


def test_the_report_shows_means_and_in_detail_each_seed():
    records = [record(seed, score) for seed, score in enumerate([50.0, 60.0, 64.0])]
    lines = render(Results("s", records))
    assert "1 cells, the tuned ones means over 3 seeds: 1 ok, 0 failed" in lines
    assert any(line.startswith("nano") and "58.00" in line for line in lines)
    assert "Seed" not in "\n".join(lines)
    text = "\n".join(render(Results("s", records), detail=True))
    assert "Seeds: the score of each training" in text
    assert "50.00 60.00 64.00 7.21" in text


def test_the_findings_of_all_seeds_are_told_of_their_mean_each_code_once():
    records = [record(0), record(1, format_rate=0.8), record(2, format_rate=0.6)]
    text = " ".join(" ".join(render(Results("s", records))).split())
    assert (
        "V03: only 60 % of the outputs could be read, under seeds 1 and 2 alone (nano-lora-r8-squad-to-squad)." in text
    )
    assert "V01" not in text


def test_trainings_that_differ_in_more_than_a_seed_are_not_averaged():
    records = [record(0, 55.0, train={"steps": 100}), record(0, 99.0, train={"steps": 10_000})]
    one, other = pooled(records)
    assert [(each.method, each.scores["f1"], each.error) for each in (one, other)] == [
        ("lora", 55.0, None),
        ("lora+2", 99.0, None),
    ]
    text = "\n".join(render(Results("s", records), detail=True))
    assert "55.00" in text
    assert "99.00" in text
    assert "means over" not in text


@pytest.mark.parametrize("settings", [{"alpha": 16}, {"learning_rate": 1e-3}, {"use_rslora": True}])
def test_what_is_not_known_of_a_seed_does_not_set_it_apart(settings):
    assert len(pooled([record(0, train=settings), record(1), record(2, train=settings)])) == 1
    assert len(pooled([record(0, train=settings), record(1, train=dict.fromkeys(settings, 7))])) == 2


def test_of_a_seed_that_is_there_twice_the_last_counts_and_that_is_said():
    one = pool(record(0, 50.0), record(0, 60.0))
    assert (one.scores["f1"], one.error) == (60.0, "seed 0 is there 2 times, the last is shown")

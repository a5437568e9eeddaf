"""Analysis on small records: which cells may be compared, which are best, what training changes elsewhere."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ftbench import analysis
from pytest_ftbench.analysis import (
    AT_MOST,
    EvalTask,
    Standing,
    TableCell,
    eval_task,
    full_table,
    number,
    standing,
    transfer_matrices,
)
from pytest_ftbench.grid import Cell, CellRecord, Results
from pytest_ftbench.report import render
from pytest_ftbench.tasks import Metric

TRIVIAL = {"squad": {"always_abstain": {"f1": 49.0, "em": 49.0}, "first_word": {"f1": 2.0}}}
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def record(eval_task="squad", score=60.0, key="f1", train="squad", method="lora", rank=8, **measured):
    """A measured cell with good answers, unless said otherwise."""
    cell = Cell("nano", method if train else "base", eval_task, train, rank if train and method == "lora" else None)
    given = {"scores": {key: score}, "format_rate": 1.0, "empty_rate": 0.0} | measured
    return CellRecord.of(cell, **given)


def cells(records, task="squad", trivial=TRIVIAL):
    """The cells of one task's column, by method and rank."""
    rows = full_table(records, trivial).rows
    return {(row.key.method, row.key.rank): row.cells[task] for row in rows if task in row.cells}


def entry(*records, trivial=TRIVIAL, train="squad", task="squad"):
    (matrix,) = transfer_matrices(records, trivial)
    return matrix.entries[train, task]


def test_all_names_are_there():
    assert [name for name in analysis.__all__ if not hasattr(analysis, name)] == []


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ({}, Standing.OK),
        ({"format_rate": 0.499}, Standing.INVALID),
        ({"format_rate": 0.5}, Standing.OK),
        ({"empty_rate": 0.501}, Standing.INVALID),
        ({"empty_rate": 0.5}, Standing.OK),
        ({"format_rate": None, "empty_rate": None}, Standing.OK),
        ({"score": 49.0}, Standing.TRIVIAL),
        ({"score": 49.01}, Standing.OK),
        ({"score": None}, Standing.OK),
        ({"score": math.nan}, Standing.OK),
        ({"score": 1.0, "format_rate": 0.1}, Standing.INVALID),
        ({"status": "failed", "format_rate": 0.1}, Standing.FAILED),
        ({"status": "skipped"}, Standing.SKIPPED),
        ({"status": "something else"}, Standing.FAILED),
    ],
)
def test_standing_follows_status_then_format_then_trivial_score(measured, expected):
    assert standing(record(**measured), TRIVIAL) is expected


def test_without_trivial_scores_no_cell_is_trivial():
    assert standing(record(score=0.0), {}) is Standing.OK
    assert standing(record(score=0.0), {"squad": {"always_abstain": {"em": 49.0}}}) is Standing.OK


def test_a_lower_is_better_score_must_go_below_the_best_trivial_one():
    task = EvalTask("loss", "Loss", Metric("loss", "Loss", higher_is_better=False))
    trivial = {"loss": {"a": {"loss": 5.0}, "b": {"loss": 9.0}}}
    assert standing(record("loss", 5.0, "loss"), trivial, task) is Standing.TRIVIAL
    assert standing(record("loss", 4.9, "loss"), trivial, task) is Standing.OK


def test_an_unknown_task_is_read_by_its_first_score():
    records = [record("juggling", None, scores={}), record("juggling", scores={"balls": 3.0, "clubs": 2.0})]
    task = eval_task("juggling", records)
    assert (task.label, task.headline.key, task.score(records[1])) == ("juggling", "balls", 3.0)


@pytest.mark.parametrize("value", [None, True, "3", math.nan, math.inf, 10**400, [1]])
def test_what_is_no_finite_number_is_unknown(value):
    assert number(value) is None


def test_blocks_follow_first_appearance_and_base_comes_last():
    records = [record(train=None), record(train="squad"), record(train="arc"), record(train="squad", rank=2)]
    table = full_table(records, {})
    assert [block.train_task for block in table.blocks] == ["squad", "arc", None]
    assert table.blocks[0].heading == "Trained on SQuAD v2"
    assert table.blocks[-1].heading == "Base models (no fine-tuning)"


def test_ranks_ascend_whatever_order_they_ran_in():
    records = [record(method="nopeft"), *(record(rank=rank) for rank in (1024, 8, 256))]
    assert [row.key.rank for row in full_table(records, {}).rows] == [None, 8, 256, 1024]


def test_ties_are_all_best():
    best = {key for key, cell in cells([record(rank=r, score=s) for r, s in ((1, 60), (2, 70), (3, 70))]).items() if
            cell.best_score}  # fmt: skip
    assert best == {("lora", 2), ("lora", 3)}


def test_a_lone_cell_is_not_best():
    (cell,) = cells([record(latency_s={"mean": 1.0}, output_tokens={"mean": 5})]).values()
    assert not cell.best_score
    assert not cell.best_speed


def test_the_best_cell_is_never_one_that_may_not_be_compared():
    invalid, trivial = record(rank=1, score=99.0, format_rate=0.1), record(rank=4, score=48.0)
    found = cells([invalid, record(rank=2, score=51.0), record(rank=3, score=50.0), trivial])
    assert [cell.best_score for cell in found.values()] == [False, True, False, False]


def test_nothing_is_best_where_no_valid_cell_is_worse():
    alone = cells([record(rank=1, format_rate=0.1), record(rank=2), record(rank=3, score=48.0)])
    equal = cells([record(rank=1), record(rank=2), record(rank=3)])
    assert not any(cell.best_score for cell in (*alone.values(), *equal.values()))


def test_speed_is_latency_per_token_and_bare_latency_wins_nothing():
    terse = record(rank=1, latency_s={"mean": 0.1}, output_tokens={"mean": 1.0})
    wordy = record(rank=2, latency_s={"mean": 1.0}, output_tokens={"mean": 50.0})
    found = cells([terse, wordy])
    assert not found["lora", 1].best_speed
    # nor does the longer answer, which spreads the reading of its prompt over more tokens
    assert not found["lora", 2].best_speed
    assert found["lora", 2].s_per_token == pytest.approx(0.02)


def test_answers_of_like_length_compare_per_token():
    slow = record(rank=1, latency_s={"mean": 1.0}, output_tokens={"mean": 50.0})
    fast = record(rank=2, latency_s={"mean": 0.9}, output_tokens={"mean": 55.0})
    found = cells([slow, fast])
    assert [cell.best_speed for cell in found.values()] == [False, True]


def test_time_per_token_after_the_first_compares_answers_of_any_length():
    terse = record(rank=1, latency_s={"mean": 0.16, "tpot_median": 0.020}, output_tokens={"mean": 5.0})
    wordy = record(rank=2, latency_s={"mean": 10.6, "tpot_median": 0.021}, output_tokens={"mean": 500.0})
    found = cells([terse, wordy])
    assert [cell.best_speed for cell in found.values()] == [True, False]
    assert found["lora", 1].ms_per_token == pytest.approx(20)


def test_a_time_that_is_none_is_unknown():
    found = cells([record(latency_s={"mean": -0.5, "tpot_median": -0.1, "tokens": 5})])
    assert found["lora", 8].latency_s is found["lora", 8].tpot_s is None


def test_there_is_no_transfer_from_a_base_that_cant_be_read():
    found = entry(record(train=None, score=1.0, format_rate=0.02), record(score=60.0))
    assert (found.change_percent, found.reason) == (None, "base INVALID")
    assert not found.improves


def test_no_tokens_means_no_speed():
    assert TableCell(Standing.OK, latency_s=1.0, output_tokens=0.0).s_per_token is None
    assert TableCell(Standing.OK, latency_s=1e300, output_tokens=1e-300).s_per_token is None


def test_the_studies_variant_stands_in_for_a_missing_headline_and_is_never_best():
    scores = [{"macro_f1": None, "macro_f1_parsed_only": value} for value in (0.4, 0.9)]
    found = cells([record("arc", rank=rank, scores=each) for rank, each in enumerate(scores)], "arc")
    assert [(cell.score, cell.is_variant, cell.best_score) for cell in found.values()] == [
        (0.4, True, False),
        (0.9, True, False),
    ]


def test_the_headline_is_shown_where_it_is_known():
    (cell,) = cells([record("arc", scores={"macro_f1": 0.3, "macro_f1_parsed_only": 0.9})], "arc").values()
    assert (cell.score, cell.is_variant) == (0.3, False)


@given(st.lists(st.tuples(NUMBERS, st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6))
def test_only_ok_cells_are_best_and_none_of_them_is_better(measured):
    records = [record(rank=i, score=s, format_rate=f, empty_rate=e) for i, (s, f, e) in enumerate(measured)]
    found = list(cells(records).values())
    best = [cell for cell in found if cell.best_score]
    assert all(cell.standing is Standing.OK for cell in best)
    assert all(cell.score <= top.score for cell in found if cell.standing is Standing.OK for top in best)
    assert bool(best) == (len({cell.score for cell in found if cell.standing is Standing.OK}) > 1)


def test_a_failed_cell_hides_no_other():
    found = cells([record(rank=1, status="failed", error="out of memory"), record(rank=2), record(rank=3)])
    assert [cell.standing for cell in found.values()] == [Standing.FAILED, Standing.OK, Standing.OK]
    assert [cell.score for cell in found.values()] == [None, 60.0, 60.0]


def test_transfer_is_the_relative_change_against_base():
    found = entry(record(train=None, score=50.0, n=200), record(score=75.0, n=200))
    assert found.change_percent == pytest.approx(50.0)
    assert found.in_domain
    assert (found.improves, found.is_unsure, found.interval.method) == (True, False, AT_MOST)


def test_a_change_whose_interval_nobody_knows_is_no_improvement():
    records = [record(train=None, score=50.0), record(score=75.0)]
    found = entry(*records)
    assert (found.change_percent, found.improves, found.is_unsure) == (pytest.approx(50.0), False, True)
    text = " ".join(" ".join(render(Results("s", records, {}, TRIVIAL))).split())
    assert "[+50.0]?" in text
    assert "? no interval of the difference is known" in text


@given(base=NUMBERS.filter(bool), score=NUMBERS, higher=st.booleans())
def test_the_sign_of_a_transfer_means_better(base, score, higher):
    with pytest.MonkeyPatch.context() as patch:
        task = EvalTask("x", "X", Metric("f1", "F1", higher_is_better=higher))
        patch.setattr("pytest_ftbench.analysis.table.eval_task", lambda name, records: task)
        change = entry(record("x", base, train=None), record("x", score), task="x").change_percent
    if change:
        assert (change > 0) == ((score > base) if higher else (score < base))


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        (None, "no base"),
        ({"status": "skipped"}, "no base"),
        ({"status": "failed"}, "base failed"),
        ({"score": None}, "base null"),
        ({"score": 0.0}, "base 0"),
    ],
)
def test_without_a_base_score_a_transfer_says_why(base, reason):
    records = [record()] + ([] if base is None else [record(train=None, **base)])
    assert (entry(*records).change_percent, entry(*records).reason) == (None, reason)


@pytest.mark.parametrize(
    ("tuned", "reason"),
    [({"status": "failed"}, "failed"), ({"status": "skipped"}, "skipped"), ({"score": None}, "null")],
)
def test_without_a_score_of_its_own_a_transfer_says_why(tuned, reason):
    assert entry(record(train=None), record(**tuned)).reason == reason


def test_an_invalid_or_trivial_cell_is_no_improvement():
    base = record(train=None, score=10.0)
    assert not entry(base, record(score=20.0)).improves
    assert not entry(base, record(score=90.0, format_rate=0.1)).improves


def test_a_quantized_base_is_not_what_tuning_started_from():
    quantized = CellRecord.of(Cell("nano", "base", "squad", quantization="nf4"), scores={"f1": 1.0})
    assert entry(quantized, record()).reason == "no base"
    tuned = CellRecord.of(Cell("nano", "lora", "squad", "squad", 8, "nf4"), scores={"f1": 60.0}, format_rate=1.0)
    assert entry(record(train=None, score=10.0), tuned).reason == "no base"


def test_seeds_have_matrices_of_their_own():
    seeds = [CellRecord.of(Cell("nano", "lora", "squad", "squad", 8, seed=s, seeded=True)) for s in (1, 0)]
    assert [matrix.way.seed for matrix in transfer_matrices(seeds, {})] == [0, 1]

"""Latency as a reader sees it: with its tokens and its time per token, of whatever a record knows, and explained."""

import itertools
import statistics
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_grid import json_values

from pytest_ftbench.analysis import Standing, latencies
from pytest_ftbench.grid import Cell, CellRecord, Results, UserError
from pytest_ftbench.report import render

TITLE = "Latency: one answer at a time"
HEADLINE = {"arc": "macro_f1", "openmath": "solve_rate", "squad": "f1"}
SAMPLES = {"samples": [0.5, 0.3, 0.4, 1.2], "ttft": [0.1, 0.1, 0.2, 0.2], "tokens": [5, 3, 2, 11]}
FIXED = {"samples": [1.0, 1.1], "ttft": [0.2, 0.2], "tokens": [9, 9], "new_tokens": 9}
SUMMARY = {"mean": 0.6, "median": 0.45, "stddev": 0.4, "p95": 1.0, "n": 4, "ttft_median": 0.15, "tpot_median": 0.1}
NUMBERS = (*SUMMARY, "samples", "ttft", "tpot", "tokens", "new_tokens")


def record(task="squad", train="squad", method="lora", rank=8, model="nano", seed=0, quantization=None, **measured):
    """A measured cell with these latencies, by default such as a run leaves."""
    tuned = method if train else "base"
    cell = Cell(model, tuned, task, train, rank if train and method != "nopeft" else None, quantization, seed)
    given = {
        "scores": {HEADLINE[task]: 60.0 if task == "squad" else 0.5},
        "format_rate": 1.0,
        "latency_s": SUMMARY | SAMPLES,
        "output_tokens": {"mean": 10.0},
    }
    return CellRecord.of(cell, **(given | measured))


def shown(*records, width=100, detail=True, **rest):
    return render(Results("small", list(records), **rest), width, detail=detail)


def part(*records, width=100, **rest):
    """The lines of the table of latencies, and what stands below it."""
    lines = shown(*records, width=width, **rest)
    start = lines.index(TITLE)
    ends = ("Cost of training", "Transfer:", "Learning curves:")
    return lines[start : next((i for i, line in enumerate(lines) if i > start and line.startswith(ends)), len(lines))]


def row(lines, *words):
    """The words of the first line that holds all of these."""
    return next(line.split() for line in lines if set(words) <= set(line.split()))


def notes(lines):
    """What stands below a table, each text on one line."""
    return "\n".join(lines).replace("\n  ", " ").splitlines()


def latency(**given):
    """The natural latency that is read from a record's ``latency_s``."""
    (block,) = latencies([record(latency_s=given)], {})
    return block.rows[0].natural


def test_what_a_summary_says_is_what_is_read():
    found = latency(**SUMMARY)
    assert (found.n, found.mean_s, found.median_s, found.stddev_s, found.p95_s) == (4, 0.6, 0.45, 0.4, 1.0)
    assert (found.ttft_s, found.tpot_s, found.tokens) == (0.15, 0.1, 10.0)


def test_what_a_summary_lacks_its_samples_say():
    found = latency(**SAMPLES)
    assert found.n == 4
    assert found.mean_s == pytest.approx(0.6)
    assert found.median_s == pytest.approx(0.45)
    assert found.stddev_s == pytest.approx(statistics.stdev(SAMPLES["samples"]))
    assert found.p95_s == pytest.approx(0.5 + 0.85 * 0.7)
    assert found.ttft_s == pytest.approx(0.15)
    # 0.4 / 4, 0.2 / 2, 0.2 / 1, 1.0 / 10
    assert found.tpot_s == pytest.approx(0.1)
    assert found.tokens == 5.25


@pytest.mark.parametrize("bad", [None, -1, "0.5", [], True, float("nan"), float("inf"), 10**400])
def test_what_is_no_time_is_unknown_and_the_samples_count(bad):
    assert latency(**dict.fromkeys(SUMMARY, bad), **SAMPLES) == latency(**SAMPLES)


@pytest.mark.parametrize("bad", [None, -0.1, "0.5", True, float("nan")])
def test_one_bad_sample_makes_the_rest_another_set(bad):
    found = latency(ttft_median=0.1, **SAMPLES | {"samples": [0.5, bad, 0.4, 1.2]})
    assert (found.mean_s, found.median_s, found.p95_s, found.tpot_s) == (None,) * 4
    assert found.ttft_s == 0.1


def test_lists_that_do_not_belong_together_have_no_time_per_token():
    assert latency(**SAMPLES | {"tokens": [5, 3]}).tpot_s is None
    assert latency(**SAMPLES | {"ttft": []}).tpot_s is None


def test_samples_beyond_every_float_are_unknown_together():
    assert latency(samples=[1.7e308] * 3, n=3, median=2.0).mean_s is None


@pytest.mark.parametrize("given", [{}, {"n": 4, "tokens": [3]}, {"mean": "long"}, {"fixed": {"new_tokens": 5}}])
def test_a_cell_that_was_not_timed_has_no_row(given):
    assert latencies([record(latency_s=given)], {}) == []
    assert latencies([record(status="failed"), record(status="skipped", task="arc")], {}) == []
    assert TITLE not in shown(record(latency_s=given))


def test_cells_stand_with_those_timed_on_the_same_prompts_untuned_last():
    pairs = itertools.product((None, "arc", "squad"), ("squad", "arc"))
    blocks = latencies([record(task, train, rank=rank) for train, task in pairs for rank in (8, 4)], {})
    assert [block.heading for block in blocks] == [
        "Trained on ARC, tested on SQuAD v2",
        "Trained on ARC, tested on ARC",
        "Trained on SQuAD v2, tested on SQuAD v2",
        "Trained on SQuAD v2, tested on ARC",
        "Base models (no fine-tuning), tested on SQuAD v2",
        "Base models (no fine-tuning), tested on ARC",
    ]
    assert [row.key.rank for row in blocks[0].rows] == [4, 8]


def test_latency_tokens_and_time_per_token_stand_side_by_side():
    lines = part(record())
    assert " ".join(row(lines, "Model", "Mean")) == "Model Method r n Mean s Median s Std s p95 s TTFT ms ms/tok Tok"
    assert " ".join(row(lines, "nano", "LoRA")) == "nano LoRA 8 4 0.600 0.450 0.400 1.00 150.0 100.0 5.2"
    (note,) = [text for text in notes(lines) if text.startswith("Natural length:")]
    for word in ("batch 1", "greedy", "p95 (linear", "TTFT:", "ms/tok:", "Tok:"):
        assert word in note
    assert not any("tokens each" in line for line in lines)


def test_the_table_is_there_where_details_are_asked_for_or_a_fixed_length_was_timed():
    assert TITLE not in shown(record(), detail=False)
    assert TITLE in shown(record())
    assert TITLE in shown(record(latency_s=SUMMARY | {"fixed": FIXED}), detail=False)
    assert TITLE not in shown(record(latency_s=SUMMARY | {"fixed": {"new_tokens": 9}}), detail=False)


def test_it_stands_between_the_full_table_and_what_transfers():
    lines = shown(record(train=None), record())
    transfer = next(index for index, line in enumerate(lines) if line.startswith("Transfer:"))
    full = next(index for index, line in enumerate(lines) if line.startswith("Lat s:"))
    assert full < lines.index(TITLE) < transfer


def test_a_fixed_length_has_its_own_columns_and_those_without_it_dashes():
    lines = part(record(rank=1, latency_s=SUMMARY | {"fixed": FIXED}), record(rank=3), width=160)
    assert any(line.rstrip("- ").endswith("9 tokens each") for line in lines)
    assert " ".join(row(lines, "Model")).endswith("Tok n Mean s Median s Std s p95 s TTFT ms ms/tok")
    assert row(lines, "nano", "1")[-7:] == ["2", "1.05", "1.05", "0.0707", "1.10", "200.0", "106.3"]
    assert row(lines, "nano", "3")[-7:] == ["–"] * 7
    assert any(text.startswith("9 tokens each: ") for text in notes(lines))
    assert any(text.startswith("– does not apply") for text in notes(shown(record(latency_s={"mean": 1.0}))))


def test_the_fast_mode_has_its_own_columns_beside_the_eager_ones():
    fast = {"samples": [0.1, 0.1], "ttft": [0.02, 0.02], "tokens": [9, 9]}
    given = [
        record(rank=1, latency_s=SUMMARY | {"fast": fast}),
        record(rank=3, latency_s=SUMMARY | {"fast": {"why": "x"}}),
    ]
    lines = part(*given, width=160)
    assert any(line.rstrip("- ").endswith("Fast mode") for line in lines)
    assert row(lines, "nano", "1")[-2:] == ["10.0", "9.0"]
    assert row(lines, "nano", "3")[-7:] == ["–"] * 7
    assert any(text.startswith("Fast mode: ") for text in notes(lines))
    assert TITLE in shown(*given, detail=False)
    assert not any("Fast mode" in line for line in part(record(), record(latency_s=SUMMARY | {"fast": {"why": "x"}})))


def test_several_fixed_lengths_are_told_apart_by_their_tokens():
    given = [record(rank=n, latency_s=SUMMARY | {"fixed": FIXED | {"new_tokens": n}}) for n in (64, 256)]
    lines = part(*given, width=160)
    assert any(line.rstrip("- ").endswith("Fixed length") for line in lines)
    assert [row(lines, "nano", str(n))[-1] for n in (64, 256)] == ["64.0", "256.0"]
    assert any(text.startswith("64 or 256 tokens each: ") for text in notes(lines))


def test_what_may_not_be_ranked_is_named_as_elsewhere():
    mute = record(rank=1, format_rate=0.1)
    dull = record(rank=2, scores={"f1": 40.0})
    trivial = {"squad": {"always_abstain": {"f1": 49.0}}}
    lines = part(mute, dull, record(rank=3), trivial=trivial)
    assert [line.split()[2:4] for line in lines if line.startswith("nano")] == [
        ["1", "INVALID"],
        ["2", "<trivial"],
        ["3", "4"],
    ]
    (block,) = latencies([mute, dull], trivial)
    assert [each.standing for each in block.rows] == [Standing.INVALID, Standing.TRIVIAL]
    assert not any("INVALID" in line or "<trivial" in line for line in part(record()))


def wide():
    """Cells whose names, seeds, quantizations and marks take all the room there is."""
    return [
        record(task, train, rank=256, model=f"a-model-of-{size}b", seed=seed, quantization=quantization,
               format_rate=seed / 2, latency_s=SUMMARY | {"fixed": FIXED | {"new_tokens": 1000}})
        for size, seed, quantization in itertools.product((0.6, 1.7), (0, 1), (None, "int8"))
        for task, train in (("squad", "squad"), ("arc", "squad"), ("squad", None))
    ]  # fmt: skip


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("records", [[record(), record(train=None)], wide()], ids=["narrow", "wide"])
def test_at_every_width_the_table_is_whole_or_says_what_it_leaves_out(width, records):
    lines = part(*records, width=width)
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines if line.startswith("Trained"))
    heads = " ".join(line for line in lines if line.startswith("Model"))
    left_out = " ".join(text for text in notes(lines) if text.startswith("Left out at this width:"))
    for heading in ("n", "Mean s", "Median s", "Std s", "p95 s", "TTFT ms", "ms/tok", "Tok"):
        assert (f" {heading} " in f"{heads} ") != (f" {heading}," in left_out or f" {heading}." in left_out)
    for heading in ("Median s", "ms/tok", "Tok"):
        assert heading in heads
    assert bool(left_out) == (width == 80 and len(records) > 2)


_given = st.fixed_dictionaries({}, optional=dict.fromkeys(NUMBERS, json_values | st.lists(st.floats() | st.integers())))
_natural = st.builds(lambda given, fixed: given | {"fixed": fixed}, _given, _given | json_values)


@given(st.lists(_natural, min_size=1, max_size=4), st.integers(80, 160))
def test_whatever_a_file_holds_for_a_latency_is_shown_or_unknown(values, width):
    cells = [record(rank=rank, latency_s=given).to_json() for rank, given in enumerate(values)]
    try:
        results = Results.from_json({"schema": 1, "cells": cells})
    except UserError:  # a number that is none is refused; a number that nobody can have measured is shown
        return
    lines = render(results, width, detail=True)
    assert [line for line in lines if len(line) > width or not line.isprintable()] == []


@given(st.lists(st.floats(1e-4, 1e3), min_size=1, max_size=30))
def test_a_table_of_samples_alone_is_that_of_their_summary(samples):
    given = {"samples": samples, "ttft": [each / 2 for each in samples], "tokens": [3] * len(samples)}
    found = latency(**given)
    assert found.n == len(samples)
    assert min(samples) <= found.median_s <= max(samples) * (1 + 1e-9)
    assert found.tpot_s == pytest.approx(found.median_s / 4)
    assert (found.p95_s is None) == (found.stddev_s is None) == (len(samples) == 1)


def test_1000_cells_with_all_their_latencies_render_in_under_two_seconds():
    given = SUMMARY | SAMPLES | {"fixed": FIXED}
    records = [
        record(task, train, rank=rank, latency_s=given)
        for rank in range(1, 113)
        for task in HEADLINE
        for train in HEADLINE
    ]
    start = time.perf_counter()
    lines = shown(*records)
    assert time.perf_counter() - start < 2
    assert TITLE in lines

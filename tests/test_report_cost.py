"""Memory and cost as a reader sees them: where they are known, under their headings, and never compared unlike."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies_grid import json_values

from pytest_ftbench.grid import Cell, CellRecord, Results, UserError
from pytest_ftbench.report import render
from pytest_ftbench.report.words import count

TITLE = "Cost of training"
HEADLINE = {"arc": "macro_f1", "openmath": "solve_rate", "squad": "f1"}
MEMORY = ("train_reserved", "train_allocated", "eval_reserved", "eval_allocated")
TRAINED = {
    "dtype": "bfloat16",
    "trainable_params": 1_048_576,
    "total_params": 600_000_000,
    "seconds": 412.5,
    "checkpoint_bytes": 4_194_304,
    "merged_bytes": 1_199_570_944,
}


def record(
    task="squad",
    train="squad",
    method="lora",
    rank=8,
    model="nano",
    peaks=(),
    quantization=None,
    training=None,
    **measured,
):
    """A measured cell with these peaks of torch's allocator, in the order of the columns, and this ``train``."""
    tuned = method if train else "base"
    cell = Cell(model, tuned, task, train, rank if train and method != "nopeft" else None, quantization)
    given = {
        "scores": {HEADLINE[task]: 60.0 if task == "squad" else 0.5},
        "format_rate": 1.0,
        "latency_s": {"mean": 0.5},
        "output_tokens": {"mean": 10.0},
        "memory_gib": dict(zip(MEMORY, peaks, strict=False)),
        "eval_dtype": "bfloat16",
        "train": training,
    }
    return CellRecord.of(cell, **(given | measured))


def trained(method="lora", rank=8, memory=None, **changes):
    """A cell of a training of which all is known but for these changes."""
    return record(method=method, rank=rank, memory_gib=memory or {}, training=TRAINED | changes)


def evaluated(way, **rest):
    return record(extra={"provenance": {"adapter": way}}, **rest)


def shown(*records, width=100, color=False):
    return render(Results("small", list(records)), width, color)


def row(lines, *words):
    """The words of the first line that holds all of these."""
    return next(line.split() for line in lines if set(words) <= set(line.split()))


def cost_part(*records, width=100):
    """The lines of the cost table, and what stands below it."""
    lines = shown(*records, width=width)
    start = lines.index(TITLE)
    end = next((index for index, line in enumerate(lines) if line.startswith("Transfer:")), len(lines))
    return lines[start:end]


def said(lines, start):
    """The notes that start so, each on one line."""
    text = "\n".join(lines).replace("\n  ", " ")
    return [line for line in text.splitlines() if line.startswith(start)]


def plain(line):
    return re.sub(r"\x1b\[\d*m", "", line)


@pytest.mark.parametrize("memory", [{}, dict.fromkeys(MEMORY), dict.fromkeys(MEMORY, "much"), {"eval_process": 2.0}])
def test_without_a_known_peak_there_are_no_columns_of_memory(memory):
    lines = shown(record(memory_gib=memory))
    assert not any("Memory" in line or "Train res" in line or "Tr res" in line for line in lines)


def test_memory_stands_first_and_what_is_unknown_is_a_dash():
    lines = shown(record(rank=1, peaks=(5.6884, 5.346, 1.4284, 1.3286)), record(train=None, peaks=(None, None, 1.5)))
    top = next(index for index, line in enumerate(lines) if line.lstrip().startswith("Memory GiB ↓ -"))
    assert re.match("Model Method +r +Train res +Train all +Eval res +Eval all +F1", lines[top + 1])
    assert row(lines, "nano", "LoRA")[3:7] == ["5.688", "5.346", "1.428", "1.329"]
    assert row(lines, "nano", "Base")[3:7] == ["–", "–", "1.500", "–"]
    (note,) = said(lines, "Memory GiB:")
    assert "torch's allocator" in note
    assert "declared recipe" in note
    assert "batch 1" in note


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_a_row_without_a_measured_cell_has_dashes(status):
    lines = shown(record(rank=1, peaks=(5, 5, 5, 5)), record(rank=2, peaks=(1, 1, 1, 1), status=status))
    assert row(lines, "nano", "2", status)[3:7] == ["–"] * 4


def test_the_largest_of_the_eval_tasks_is_shown_once_in_a_row():
    lines = shown(*(record(task, peaks=(5, 4, 1, peak)) for task, peak in (("squad", 1.25), ("arc", 3.5))))
    assert row(lines, "nano", "LoRA")[3:7] == ["5.000", "4.000", "1.000", "3.500"]


def test_the_lowest_is_marked_and_painted():
    records = [record(rank=1, peaks=(5, 4, 3, 2)), record(rank=2, peaks=(6, 3, 3, 2))]
    lines = shown(*records)
    assert row(lines, "nano", "1", "5.000*")[3:7] == ["5.000*", "4.000", "3.000", "2.000"]
    assert row(lines, "nano", "2", "3.000*")[3:7] == ["6.000", "3.000*", "3.000", "2.000"]
    assert said(lines, "* best of its block")
    coloured = shown(*records, color=True)
    assert [plain(line) for line in coloured] == lines
    assert any(re.search(r"\x1b\[1m *5\.000\*", line) for line in coloured)


@pytest.mark.parametrize(
    ("changes", "verb"),
    [({"training": {"dtype": "float32"}}, "Trained"), ({"eval_dtype": "float32"}, "Evaluated")],
)
def test_where_dtypes_differ_the_table_says_whose_and_nothing_is_best(changes, verb):
    given = {"training": {"dtype": "bfloat16"}}
    records = [record(rank=rank, peaks=(rank,) * 4, **given) for rank in (1, 4)]
    lines = shown(*records, record(method="nopeft", peaks=(2,) * 4, **(given | changes)))
    (note,) = said(lines, "Trained in") + said(lines, "Evaluated in")
    start = f"{verb} in different dtypes, between which memory does not compare: "
    assert note == f"{start}bfloat16: LoRA r1, LoRA r4; float32: NoPeft."
    first, marked = row(lines, "nano", "LoRA", "1")[3:7], ["1.000*", "1.000*"]
    assert (first[:2] == marked, first[2:] == marked) == (verb != "Trained", verb != "Evaluated")


def test_one_dtype_needs_no_words_and_two_of_them_do_without_memory_too():
    assert not said(shown(record(rank=1), record(rank=2)), "Evaluated in")
    lines = shown(record(rank=1), record(rank=2, eval_dtype="float32"), record(rank=3, eval_dtype=None))
    (note,) = said(lines, "Evaluated in different dtypes")
    assert note.endswith(": bfloat16: LoRA r1; float32: LoRA r2.")


def test_a_checkpoint_tested_in_two_dtypes_is_said_to_be():
    lines = shown(record(), record("arc", eval_dtype="float32"))
    (note,) = said(lines, "Evaluated in different dtypes")
    assert note.endswith(": bfloat16 and float32: LoRA r8.")


def test_many_checkpoints_are_counted_and_a_train_task_is_named_where_it_tells_them_apart():
    many = [record(rank=rank) for rank in range(1, 10)]
    apart = [record(train=train, eval_dtype=dtype, method="nopeft") for train, dtype in (("arc", "x"), ("squad", "y"))]
    (note,) = said(shown(*many, *apart), "Evaluated in different dtypes")
    assert (
        "bfloat16: LoRA r1, LoRA r2, LoRA r3, LoRA r4, LoRA r5, LoRA r6, and 3 more; x: NoPeft trained on ARC" in note
    )
    assert note.endswith("; y: NoPeft trained on SQuAD v2.")


def test_how_adapters_were_evaluated_is_said_where_it_is_not_merged():
    merged = [evaluated("merged", rank=1), evaluated(None, rank=2)]
    assert not said(shown(*merged), "Evaluated unmerged") + said(shown(*merged), "Merged, then")
    lines = shown(
        *merged,
        evaluated("unmerged", quantization="nf4"),
        evaluated("unmerged", quantization="nf4", task="arc"),
        evaluated("requantized", quantization="int8", rank=4),
        evaluated("requantized", quantization="int8", rank=4, train="arc", model="micro"),
    )
    assert said(lines, "Evaluated unmerged") == [
        "Evaluated unmerged, so slower per token than merged: nano LoRA r8 nf4."
    ]
    assert said(lines, "Merged, then") == ["Merged, then quantized again: nano LoRA r4 int8, micro LoRA r4 int8."]


@pytest.mark.parametrize(
    "training", [None, {}, {"steps": 3, "dtype": "bfloat16"}, {"seconds": "long", "total_params": -1}]
)
def test_without_a_known_training_there_is_no_table_of_costs(training):
    records = [record(train=None, memory_gib={"eval_process": 1.0}), record(peaks=(1, 1, 1, 1), training=training)]
    assert TITLE not in shown(*records)
    assert TITLE in shown(*records, trained(rank=2))
    assert TITLE not in shown(record(training=TRAINED, status="failed"))


def test_each_training_has_one_row_and_the_untuned_model_none():
    pairs = [(task, train) for train in ("squad", "arc", None) for task in ("squad", "arc")]
    lines = cost_part(*(record(task, train, training=train and TRAINED) for task, train in pairs))
    assert [line for line in lines if line.startswith("Trained on")] == ["Trained on SQuAD v2", "Trained on ARC"]
    rows = [line.split() for line in lines if line.startswith("nano")]
    assert rows == [["nano", "LoRA", "8", "1.05M", "0.175", "4.00", "1144.0", "412.5"]] * 2
    assert not any("Base" in line or "Process" in line for line in lines)


def test_the_cost_stands_between_the_full_table_and_what_transfers():
    lines = shown(record(train=None), trained())
    transfer = next(index for index, line in enumerate(lines) if line.startswith("Transfer:"))
    full = next(index for index, line in enumerate(lines) if line.startswith("Lat s:"))
    assert full < lines.index(TITLE) < transfer


def test_what_a_training_does_not_tell_is_a_dash():
    unknown = dict.fromkeys(TRAINED)
    lines = cost_part(trained(), trained(rank=16, **unknown))
    assert row(lines, "nano", "16")[3:] == ["–"] * 5
    assert any(line.startswith("– does not apply") for line in shown(trained(), trained(rank=16, **unknown)))


def test_on_a_cpu_the_process_is_all_that_is_known_of_memory():
    memory = dict.fromkeys(MEMORY) | {"train_process": 0.25, "eval_process": 0.0078125}
    lines = shown(trained(memory=memory), trained("nopeft", memory={"train_process": 0.5}))
    assert not any("Memory GiB" in line for line in lines)
    part = cost_part(trained(memory=memory), trained("nopeft", memory={"train_process": 0.5}))
    assert any("Process MiB" in line for line in part)
    assert [row(part, "nano", method)[-1] for method in ("LoRA", "NoPeft")] == ["256.0", "512.0"]
    (note,) = said(part, "Process MiB:")
    assert "the driver" in note
    assert "resident set" in note


def test_what_the_base_was_quantized_to_is_a_column_only_where_it_was():
    assert not any("Base in" in line for line in cost_part(trained()))
    lines = cost_part(trained("nopeft"), trained(quantization="nf4"))
    assert any("Base in" in line and line.startswith("Model") for line in lines)
    assert row(lines, "nano", "LoRA")[3] == "nf4"
    assert row(lines, "nano", "NoPeft")[3] == "–"
    assert said(lines, "Base in:")


@pytest.mark.parametrize("width", [80, 100, 160])
def test_memory_and_three_tasks_keep_to_the_width_in_as_few_parts_as_it_allows(width):
    records = [
        record(task, train, method, rank, "qwen3-0.6b", (10.353 - rank / 1e3, 6.559, 2.824, 2.589))
        for train in ("openmath", "squad")
        for method, rank in (("nopeft", 0), ("lora", 256), ("lora", 512))
        for task in HEADLINE
    ]
    lines = shown(*records, width=width)
    assert max(map(len, lines)) <= width
    heads = [line for line in lines if line.startswith("Model")]
    assert len(heads) == {80: 2, 100: 2, 160: 1}[width]
    assert {80: "Tr res", 100: "Train res", 160: "Train res"}[width] in " ".join(heads[0].split())


@example(999_500_000_000_000)
@given(st.one_of(st.integers(0), st.floats(0, allow_infinity=False, allow_nan=False)))
def test_a_count_is_short_and_within_half_a_percent(value):
    text = count(value)
    assert len(text) <= 7
    if 1000 <= value < 1e15:
        # what rounds up to 1000T is told without a letter
        unit = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}.get(text[-1])
        told = float(text) if unit is None else float(text[:-1]) * unit
        assert (unit is None) == (value >= 999.5e12)
        assert told == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0"), (999, "999"), (999.6, "1.00K"), (1_048_576, "1.05M"), (596_049_920, "596M"),
     (999_999, "1.00M"), (1.72e9, "1.72B"), (12_345, "12.3K"), (1e300, "1e+300")],
)  # fmt: skip
def test_counts_have_three_digits(value, text):
    assert count(value) == text


def test_escape_sequences_in_what_is_said_of_a_cost_are_shown_not_obeyed():
    lines = shown(
        trained(quantization="\x1b[1m", dtype="\x07a"), trained(rank=2, dtype="b"), record("arc", eval_dtype="\x1b")
    )
    assert "\x1b" not in "".join(lines)
    assert said(lines, "Trained in different dtypes, between which memory does not compare: \\x07a: ")


@given(st.lists(st.tuples(json_values, json_values, json_values, json_values), min_size=1, max_size=4))
def test_whatever_a_file_holds_for_a_cost_is_shown_or_unknown(values):
    cells = []
    for rank, (peak, trained_in, evaluated_in, way) in enumerate(values):
        training = dict.fromkeys(TRAINED, peak) | {"dtype": trained_in, "quantization": way}
        memory = dict.fromkeys((*MEMORY, "train_process", "eval_process"), peak)
        said_of_it = {"eval_dtype": evaluated_in, "provenance": {"adapter": way}}
        cells.append(record(rank=rank, memory_gib=memory, training=training).to_json() | said_of_it)
    try:
        results = Results.from_json({"schema": 1, "cells": cells})
    except UserError:  # a number that is none is refused
        return
    lines = render(results)
    assert [line for line in lines if len(line) > 100 or not line.isprintable()] == []


def test_1000_cells_with_all_their_costs_render_in_under_two_seconds():
    records = [
        record(task, train, rank=rank, peaks=(rank, 1, 1, 1), eval_dtype=f"float{rank % 2}", training=TRAINED)
        for rank in range(1, 113)
        for task in HEADLINE
        for train in HEADLINE
    ]
    start = time.perf_counter()
    lines = shown(*records)
    assert time.perf_counter() - start < 2
    assert TITLE in lines

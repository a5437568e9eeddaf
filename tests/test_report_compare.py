"""The comparison as a reader sees it: signs, refusals in words, and whatever only one run has by its name."""

import itertools
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_compare import HEADLINE, TRIVIAL, record, runs, trivials

from pytest_ftbench.analysis import Measure, broken, compare, parse_limit
from pytest_ftbench.report import render_breaches, render_comparison

SILENT = "The stored run doesn't say"
BARE = "These are bare differences of two runs, without intervals"


def shown(now, then, width=100, color=False, trivial=TRIVIAL, source="0007_before.json"):
    return render_comparison(compare(now, then, trivial), source, width, color)


def between(then, now, **rest):
    """The lines of a comparison of one cell."""
    return shown([record(**now)], [record(**then)], **rest)


def cells(lines, *words):
    """What stands behind the label of the only row that holds these words, column by column."""
    (row,) = [line for line in lines if line.startswith("nano") and set(words) <= set(line.split())]
    return row.split("SQuAD v2")[-1].split()


def said(lines, start):
    """The notes that start so, each on one line."""
    text = "\n".join(lines).replace("\n  ", " ")
    return [line for line in text.splitlines() if line.startswith(start)]


def plain(line):
    return re.sub(r"\x1b\[\d*m", "", line)


def test_a_row_tells_a_cell_now_and_what_changed():
    lines = between(
        {"score": 58.75, "tpot": 0.010, "tokens": 20.0, "memory": (4.0, 1.0)},
        {"score": 60.0, "tpot": 0.011, "tokens": 18.0, "memory": (3.0, 1.5)},
    )
    assert lines[0] == "Change against 0007_before.json"
    assert re.match(r" +Score -+  ms/tok ↓ -+  Tokens -+  Memory ↓ -+$", lines[2])
    assert re.match(r"Model Method r Trained on +now +change +now +change% +now +change% +train% +eval%$", lines[3])
    assert lines[5] == "Tested on SQuAD v2: F1 ↑"
    assert cells(lines, "LoRA") == ["60.00", "+1.25", "11.0", "+10.0", "18.0", "-10.0", "-25.0", "+50.0"]
    assert len(said(lines, BARE)) == 1
    assert said(lines, "Memory: ") == ["Memory: peaks of what torch's allocator had allocated; in both runs the same."]


def test_a_run_against_itself_is_all_zeros():
    run = [record(), record("arc", 0.5), record(train=None, memory=(None, 1.0))]
    lines = shown(run, run)
    assert cells(lines, "LoRA", "60.00") == ["60.00", "+0.00", "10.0", "+0.0", "20.0", "+0.0", "+0.0", "+0.0"]
    assert cells(lines, "Base")[-2:] == ["–", "+0.0"]
    assert "+0.000" in cells(lines, "0.500")
    assert not any("not compared" in line or "easured in" in line for line in lines)
    assert said(lines, SILENT) == []


def test_cells_of_a_task_stand_together_under_its_metric():
    run = [record(task, 0.5, rank=rank) for rank in (2, 8) for task in ("arc", "openmath")]
    lines = shown(run, run)
    starts = [line[:12] for line in lines if line.startswith(("Tested on", "nano"))]
    assert starts == ["Tested on AR", "nano  LoRA  ", "nano  LoRA  ", "Tested on Op", "nano  LoRA  ", "nano  LoRA  "]


def test_seeds_are_a_column_where_they_differ():
    run = [record(seed=seed) for seed in (1, 2)]
    for index, each in enumerate(run):
        each.id += f"-s{index + 1}"
    assert any("Seed" in line for line in shown(run, run))
    assert not any("Seed" in line for line in shown(run[:1], run))


def test_a_refused_change_is_its_word_and_a_sentence_says_what_differs():
    lines = between({"timing": {"workers": 1}}, {"timing": {"workers": 2}})
    assert cells(lines, "LoRA")[2:4] == ["10.0", "workers"]
    assert "workers: measured with 1 worker then, with 2 now; latency is not compared." in lines


@pytest.mark.parametrize(
    ("then", "word", "rest", "columns"),
    [
        (
            {"n": 100},
            "items",
            "100 test items then, 200 now; score, latency, tokens and answering memory are not compared.",
            (1, 3, 5, 7),
        ),
        (
            {"said": {"reasoning": "on"}},
            "prompts",
            "reasoning on then, off now; score, latency, tokens and answering memory are not compared.",
            (1, 3, 5, 7),
        ),
        (
            {"said": {"device_name": "Chip B"}},
            "device",
            "measured on Chip B then, on Chip A now; trained on Chip B then, on Chip A now; latency, training memory "
            "and answering memory are not compared.",
            (3, 6, 7),
        ),
        (
            {"eval_dtype": "float32"},
            "dtype",
            "measured in float32 then, in bfloat16 now; latency and answering memory are not compared.",
            (3, 7),
        ),
        (
            {"said": {"threads": 1}},
            "threads",
            "measured with 1 thread then, with 4 now; latency is not compared.",
            (3,),
        ),
        (
            {"tpot": None},
            "clock",
            "time per token measured as latency over all tokens then, per token after the first now; latency is not "
            "compared.",
            (3,),
        ),
        (
            {"said": {"timed_as": "generate() at batch 2"}},
            "clock",
            "timed as generate() at batch 2 then, as generate() at batch 1 now; latency is not compared.",
            (3,),
        ),
        (
            {"memory_gib": {"train_process": 3.0, "eval_allocated": 1.5}},
            "kind",
            "what the process took then, what torch's allocator had allocated now; training memory is not compared.",
            (6,),
        ),
    ],
)
def test_each_word_stands_where_nothing_is_compared(then, word, rest, columns):
    lines = between(then, {"said": {"timed_as": "generate() at batch 1"}})
    assert [index for index, cell in enumerate(cells(lines, "LoRA")) if cell == word] == list(columns)
    assert said(lines, f"{word}: ") == [f"{word}: {rest}"]


def test_another_embedder_is_told_once_and_not_as_the_untuned_models():
    pair = ({"said": {"embedder": name}} for name in ("bag-of-words", "Org/A"))
    lines = shown(*([record("facts", 0.5, **each)] for each in pair))
    assert "embedder" in cells(lines, "LoRA")
    assert said(lines, "embedder: ") == [
        "embedder: scored by Org/A then, by bag-of-words now; score is not compared.",
    ]


def test_a_stored_run_that_says_nothing_of_its_origin_is_said_to():
    now, then = ([record(rank=rank) for rank in (1, 2)] for _ in range(2))
    end = "were measured, so differences in these go unseen."
    for silent, cells in zip(then, ("some of these cells", "these cells"), strict=True):
        silent.extra = {}
        (note,) = said(shown(now, then), SILENT)
        assert note == f"{SILENT} on which items, prompts and device {cells} {end}"


def test_many_differences_under_one_word_are_counted():
    now, then = ([record(rank=rank, n=rank * factor) for rank in range(1, 7)] for factor in (1, 2))
    (note,) = said(shown(now, then), "items: ")
    assert note == (
        "items: 2 test items then, 1 now; 4 test items then, 2 now; 6 test items then, 3 now; 3 more differences; "
        "score, latency, tokens and answering memory are not compared."
    )


@pytest.mark.parametrize(
    ("then", "now", "score"),
    [
        ({}, {"format_rate": 0.1}, ["60.00", "INVALID", "+0.00", "was", "ok"]),
        ({"format_rate": 0.1}, {}, ["60.00", "+0.00", "was", "INVALID"]),
        ({"format_rate": 0.1}, {"format_rate": 0.2}, ["60.00", "INVALID", "+0.00"]),
        ({}, {"score": 40.0}, ["40.00", "<trivial", "-20.00", "was", "ok"]),
        ({"score": 40.0}, {"format_rate": 0.1}, ["60.00", "INVALID", "+20.00", "was", "<trivial"]),
        # of other items nobody knows what was trivial
        ({"n": 9}, {"score": 40.0}, ["40.00", "<trivial", "items"]),
        ({"n": 9, "format_rate": 0.1}, {"score": 40.0}, ["40.00", "<trivial", "items", "was", "INVALID"]),
    ],
)
def test_marks_are_of_now_and_of_then_where_that_is_another(then, now, score):
    lines = between(then, now)
    assert cells(lines, "LoRA")[: len(score) + 1] == [*score, "10.0"]
    for mark, start in (("INVALID", "INVALID: "), ("<trivial", "<trivial: "), ("was", "was: ")):
        assert bool(said(lines, start)) == (mark in score)


def test_what_is_better_is_bold_what_is_worse_is_red_and_the_rest_is_neither():
    then, now = {"tpot": 0.010}, {"score": 61.0, "tpot": 0.011, "tokens": 40.0, "memory": (2.0, 1.5)}
    coloured = between(then, now, color=True)
    assert [plain(line) for line in coloured] == between(then, now)
    (row,) = [line for line in coloured if "61.00" in line]
    assert re.search(r"\x1b\[1m *\+1\.00", row)
    assert re.search(r"\x1b\[31m *\+10\.0", row)
    assert re.search(r"\x1b\[1m *-33\.3", row)
    assert not re.search(r"\x1b\[[1-9]+m *\+(100\.0|0\.0)", row)


def test_what_answers_nothing_is_not_better_for_being_fast():
    then, now = {"tpot": 0.010}, {"tpot": 0.005, "format_rate": 0.1}
    (row,) = [line for line in between(then, now, color=True) if "INVALID" in line and "nano" in line]
    assert not re.search(r"\x1b\[1m *-50\.0", row)


def test_a_change_from_nothing_is_said_to_be():
    lines = between({"tokens": 0.0}, {})
    assert "from 0" in " ".join(cells(lines, "LoRA"))
    assert said(lines, "from 0: ")


def test_absent_cells_are_named_in_every_direction():
    now = [record(), record(rank=2), record(rank=3, status="failed"), record(rank=4, status="skipped")]
    then = [record(), record(rank=3), record(rank=4), record(rank=5)]
    lines = shown(now, then)
    assert said(lines, "Not measured") == ["Not measured in the stored run: nano-lora-r2-squad-to-squad."]
    assert said(lines, "Measured in") == [
        "Measured in the stored run, not run now: nano-lora-r4-squad-to-squad, nano-lora-r5-squad-to-squad.",
        "Measured in the stored run, failed now: nano-lora-r3-squad-to-squad.",
    ]


def test_many_absent_cells_are_counted():
    (note,) = said(shown([record(rank=rank) for rank in range(1, 16)], [record()]), "Not measured")
    assert note.count("nano-") == 12
    assert note.endswith("-r13-squad-to-squad and 2 more.")


def test_without_a_common_cell_there_is_no_table():
    lines = shown([record()], [record(rank=2)])
    assert lines == [
        "Change against 0007_before.json",
        "No cell was measured in both runs.",
        "Not measured in the stored run: nano-lora-r8-squad-to-squad.",
        "Measured in the stored run, not run now: nano-lora-r2-squad-to-squad.",
    ]
    assert shown([], [], source="") == ["Change against a stored run", "No cell was measured in both runs."]


@pytest.mark.parametrize(("width", "tables"), [(60, 3), (80, 2), (100, 1), (160, 1)])
def test_the_table_keeps_to_the_width_in_as_few_parts_as_it_allows(width, tables):
    run = [record(task, 0.5, train, model="qwen3-0.6b") for task in HEADLINE for train in ("openmath", "squad", None)]
    lines = shown(run, run, width=width)
    assert max(map(len, lines)) <= width
    assert sum(line.startswith("Model") for line in lines) == tables


def test_what_is_left_out_for_the_width_is_said():
    run = [record()]
    for width, numbers, left_out in (
        (100, ["10.0", "+0.0", "20.0", "+0.0"], []),
        (80, ["10.0", "+0.0", "+0.0"], ["Left out at this width: tokens now."]),
        (75, ["+0.0", "+0.0"], ["Left out at this width: tokens now, ms/tok now."]),
    ):
        lines = shown(run, run, width=width)
        assert cells(lines, "LoRA") == ["60.00", "+0.00", *numbers, "+0.0", "+0.0"]
        assert said(lines, "Left out") == left_out


@pytest.mark.parametrize("model", ["nano", "qwen3-0.6b", "a-model-of-0.6b"])
@pytest.mark.parametrize("width", range(60, 111, 5))
def test_no_heading_of_a_group_is_cut(width, model):
    run = [record(model=model)]
    lines = shown(run, run, width=width)
    headings = [above for above, line in itertools.pairwise(lines) if line.startswith("Model")]
    found = re.split(r"-*  +", " ".join(headings).strip(" -"))
    assert [heading.strip(" -").replace("tok↓", "tok ↓") for heading in found] == [
        "Score",
        "ms/tok ↓",
        "Tokens",
        "Memory ↓",
    ]


def test_escape_sequences_are_shown_not_obeyed():
    now = record(said={"device_name": "\x1b[31mred"}, model="na\x1bno")
    now.id = gone = record().id
    then, absent = record(), record()
    absent.id = "\x1b]0;title\x07"
    assert then.id == gone
    text = "\n".join(shown([now], [then, absent], source="\x1bsource"))
    assert "\x1b" not in text
    for seen in ("\\x1bsource", "on Chip A then, on \\x1b[31mred now", "\\x1b]0;title\\x07", "na\\x1bno"):
        assert seen in text


@given(runs, runs, trivials, st.text(), st.integers(80, 160))
def test_no_line_is_wider_than_the_page_and_none_carries_a_control_code(now, then, trivial, source, width):
    comparison = compare(now, [*then, *now[:2]], trivial)
    limits = [parse_limit(f"{measure}:0%") for measure in Measure]
    lines = render_comparison(comparison, source, width) + render_breaches(broken(comparison, limits), width)
    assert [line for line in lines if len(line) > width or not line.isprintable()] == []


@given(runs, runs, trivials)
def test_colour_changes_nothing_but_colour(now, then, trivial):
    comparison = compare(now, [*then, *now[:2]], trivial)
    assert [plain(line) for line in render_comparison(comparison, "a", color=True)] == render_comparison(
        comparison, "a"
    )


def test_breaches_are_sentences_within_the_width():
    comparison = compare([record(score=50.0)], [record()], TRIVIAL)
    lines = render_breaches(broken(comparison, [parse_limit("score:2")]), 60)
    assert lines == [
        "nano-lora-r8-squad-to-squad: score (F1) fell from 60.00 to",
        "  50.00, by 10 (16.7 %), which is more than score:2 allows.",
    ]
    assert render_breaches([]) == []
    assert render_breaches(broken(comparison, [parse_limit("score:2")]), color=True)[0].startswith("\x1b[31m")


def test_1000_cells_render_in_under_two_seconds():
    now, then = (
        [
            record(task, 0.5, train, rank, timing={"workers": workers})
            for rank in range(1, 113)
            for task in ("arc", "openmath", "squad")
            for train in ("arc", "openmath", "squad")
        ]
        for workers in (1, 2)
    )
    start = time.perf_counter()
    lines = shown(now, then)
    assert time.perf_counter() - start < 2
    assert len(lines) > 1000

"""The checks on a page: codes beside what they are of, a sentence for each, and nothing lost to a narrow page."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_compare import runs, trivials

from pytest_ftbench.analysis import CHECKS, flags
from pytest_ftbench.grid import Cell, CellRecord, Results
from pytest_ftbench.report import render
from pytest_ftbench.report.flag_marks import FlagMarks, flag_notes


def cell(task="arc", rank=8, seed=0, model="nano", train="arc", **measured):
    made = Cell(model, "lora" if train else "base", task, train, rank if train else None, seed=seed)
    given = {"n": 200, "scores": {"macro_f1": 0.5}, "format_rate": 1.0}
    return CellRecord.of(made, **(given | measured))


def shown(*records, width=100, trivial=None, **more):
    return render(Results("small", list(records), trivial=trivial or {}, **more), width)


def notes(lines):
    """The sentences of the checks by their codes."""
    text = "\n".join(lines)
    return dict(re.findall(r"^(V\d\d)[^:]*: (.*(?:\n  .*)*)", text, re.M))


def row(lines, *words):
    """The first row of a table with these words."""
    return next(line.split() for line in lines if all(word in line.split() for word in words))


def test_a_cells_code_stands_beside_it_and_is_explained():
    lines = shown(cell(format_rate=0.8), cell("squad", scores={"f1": 9.0}))
    assert row(lines, "nano", "LoRA")[3:5] == ["0.500", "V03"]
    assert notes(lines)["V03"] == "only 80 % of the outputs could be read (nano-lora-r8-arc-to-arc)."
    assert any(line.startswith("Flags: the validity checks that fired") for line in lines)


def test_what_holds_for_a_whole_row_stands_once_beside_its_name():
    weak = {"alpha": 1}
    lines = shown(cell(train="arc"), *(cell(task, 256) for task in ("arc", "squad")))
    assert not any("V10" in line for line in lines)
    records = [cell(), cell(rank=256), cell("squad", 256)]
    for record in records:
        record.train = weak if record.rank == 256 else {"alpha": 8}
    lines = shown(*records)
    assert row(lines, "nano", "256")[:4] == ["nano", "LoRA", "256", "V10"]
    assert row(lines, "nano", "256").count("V10") == 1
    assert "V10" not in row(lines, "nano", "8")


def test_one_seed_for_all_is_said_under_the_table_alone():
    lines = shown(cell(), cell(rank=4))
    assert notes(lines)["V01"].endswith("(all tuned cells).")
    assert not any("Flags" in line.split() for line in lines)
    mixed = shown(cell(), cell(rank=4), cell(rank=4, seed=1))
    assert row(mixed, "nano", "8")[3] == "V01"
    assert "V01" not in row(mixed, "nano", "4")


def test_the_most_striking_case_is_told_and_how_many_there_are():
    lines = shown(cell(format_rate=0.8), cell(rank=4, format_rate=0.6), cell(rank=2, format_rate=0.7))
    assert notes(lines)["V03"] == "only 60 % of the outputs could be read (nano-lora-r4-arc-to-arc; 3 cells)."


def test_trivial_has_its_word_in_the_table_and_its_numbers_below():
    trivial = {"squad": {"always_abstain": {"f1": 49.0}}}
    lines = shown(cell("squad", scores={"f1": 9.0}), trivial=trivial)
    assert notes(lines)["V17"].replace("\n  ", " ").startswith("9.00, where always abstaining scores 49.00")
    assert "V17" not in row(lines, "nano", "LoRA")
    assert "<trivial" in row(lines, "nano", "LoRA")


def test_without_findings_nothing_is_said_of_flags():
    assert not any("Flag" in line for line in shown(cell(train=None)))


def test_a_narrow_page_gives_up_other_columns_before_flags():
    wild = {
        "format_rate": 0.8,
        "truncated_rate": 0.5,
        "latency_s": {"mean": 1.0, "samples": [0.01] * 50 + [9.0], "cores_of_others": 2.0},
        "eval_dtype": "float32",
        "scores": {"macro_f1": 0.1, "accuracy": 0.1},
        "extra": {"provenance": {"overlap": {"exact": 3}}},
    }
    records = [cell(train=None, eval_dtype="bfloat16"), cell(**wild)]
    codes = ["V03", "V04", "V05", "V06", "V12", "V15", "V16"]
    assert set(codes) <= {finding.code for finding in flags(records, {})[1]}
    for width in (80, 100, 160):
        lines = shown(*records, width=width)
        assert max(map(len, lines)) <= width
        assert [word for word in row(lines, "nano", "LoRA") if word.startswith("V")] == codes


def test_results_are_judged_by_the_thresholds_stored_with_them():
    lines = shown(cell(format_rate=0.8), provenance={"checks": {"format_rate": 0.7, "off": ["V01"]}})
    assert notes(lines) == {}
    assert "Checks as the results ask for them: V01 not made; format_rate 0.7 (default 0.9)." in lines
    usual = shown(cell(), provenance={"checks": {"format_rate": 0.9, "off": ["V17"], "overlap": "many"}})
    assert not any("ask for them" in line for line in usual)


def test_foreign_names_are_made_plain():
    record = cell(extra={"provenance": {"overlap": {"exact": 1, "items": ["\x1b[31mred", "x" * 900]}}})
    lines = shown(record)
    assert "\\x1b[31mred" in notes(lines)["V12"]
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("width", [80, 120])
@given(records=runs, trivial=trivials)
def test_every_code_that_fired_is_on_the_page(records, trivial, width):
    # of records that share a place the table shows the last one
    last = {(r.model, r.method, r.rank, r.quantization, r.train_task, r.seed, r.eval_task): r for r in records}
    kept = list(last.values())
    found = flags(kept, trivial)
    marks = FlagMarks.of(kept, found)
    told = " ".join(flag_notes(kept, found, marks.everywhere))
    for record, findings in zip(kept, found, strict=True):
        key = (record.model, record.method, record.rank, record.quantization, record.train_task, record.seed)
        beside = {*marks.cells.get((key, record.eval_task), ()), *marks.rows.get(key, ()), *marks.everywhere, "V17"}
        assert {finding.code for finding in findings} <= beside
        assert all(f"{finding.code}" in told for finding in findings)
    assert all(len(line) <= width for line in render(Results("x", kept, trivial=trivial), width))
    assert set(marks.everywhere) <= set(CHECKS)


@given(st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=6))
def test_a_row_has_a_code_only_where_all_its_cells_have_it(ranks):
    records = [cell(task, rank) for rank in set(ranks) for task in ("arc", "squad")]
    for record, odd in zip(records, ranks, strict=False):
        record.extra = {"provenance": {"prompts_differ": odd}}
    found = flags(records, {})
    marks = FlagMarks.of(records, found)
    for key, codes in marks.rows.items():
        mine = [{f.code for f in fs} for r, fs in zip(records, found, strict=True) if r.rank == key.rank]
        assert all(set(codes) <= each for each in mine)


def seeds(*scores, rank=8, **more):
    """A cell of OpenMath under several seeds."""
    return [
        cell("openmath", rank, seed, train="openmath", scores={"solve_rate": score}, **more)
        for seed, score in enumerate(scores)
    ]


def test_what_is_compared_of_several_seeds_is_their_mean():
    lines = shown(*seeds(0.6, 0.5, 0.7), *seeds(0.55, 0.5, 0.6, rank=16))
    assert notes(lines)["V02"].replace("\n  ", " ").startswith("0.600 is above 0.550 of the next best of its block")
    assert "nano-lora-r8-openmath-to-openmath" in notes(lines)["V02"]
    assert "V02" not in row(lines, "nano", "16")


def test_trivial_is_said_of_the_mean_that_the_table_shows():
    trivial = {"openmath": {"constant_0": {"solve_rate": 0.3}}}
    lines = shown(*seeds(0.2, 0.5, 0.6), *seeds(0.2, 0.3, 0.25, rank=16), trivial=trivial)
    assert notes(lines)["V17"].replace("\n  ", " ") == (
        "0.250, where constant 0 scores 0.300 (nano-lora-r16-openmath-to-openmath)."
    )
    assert any("(1 <trivial)" in line for line in lines)


def test_what_is_found_on_some_seeds_says_on_which():
    records = seeds(0.6, 0.5, 0.7)
    records[1].format_rate, records[1].empty_rate = 0.3, 0.7
    lines = shown(*records)
    assert (
        notes(lines)["V03"]
        .replace("\n  ", " ")
        .startswith("only 30 % of the outputs could be read, under seed 1 alone (nano-lora-r8-openmath-to-openmath)")
    )
    text = " ".join(" ".join(lines).split())
    assert "INVALID through a seed of it, though the others can be read: nano-lora-r8-openmath-to-" in text
    for record in records:
        record.format_rate, record.empty_rate = 0.3, None
    lines = shown(*records)
    assert "alone" not in notes(lines)["V03"]
    assert not any("through a seed" in line for line in lines)


def test_each_kind_of_finding_has_a_sentence_and_detail_lists_them_all():
    empty = {"format_rate": 0.8, "empty_rate": 0.2, "truncated_rate": 0.0}
    cut = {"format_rate": 0.94, "empty_rate": 0.0, "truncated_rate": 0.3}
    records = [cell(train=None), cell(**empty), cell(rank=4, **cut)]
    lines = shown(*records, width=160)
    assert [line for line in lines if line.startswith(("V03", "V04"))] == [
        "V03: only 80 % of the outputs could be read (nano-lora-r8-arc-to-arc).",
        "V03: 94 % of the outputs could be read, against its base's 100 %: part of a difference is form "
        "(nano-lora-r4-arc-to-arc).",
        "V04: 20 % of the outputs are empty (nano-lora-r8-arc-to-arc).",
        "V04: 30 % of the outputs were cut off at the token limit (nano-lora-r4-arc-to-arc).",
    ]
    text = " ".join(" ".join(render(Results("small", records), detail=True)).split())
    assert "cell by cell nano-lora-r8-arc-to-arc: V01 trained with one seed" in text
    assert "V03 only 80 % of the outputs could be read; V04 20 % of the outputs are empty. nano-lora-r4" in text
    assert "cell by cell" not in " ".join(lines)

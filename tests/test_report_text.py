"""The report as a reader sees it: complete, honest about what may not be compared, and never wider than its page."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ftbench.grid import Cell, CellRecord, Results, read_results
from pytest_ftbench.report import render

PUBLISHED = Path(__file__).parents[2] / "shared" / "data" / "published" / "study1-results.json"
TRIVIAL = {"squad": {"always_abstain": {"f1": 49.0}}, "arc": {"majority_class": {"macro_f1": 0.1}}}
HEADLINE = {"arc": "macro_f1", "openmath": "solve_rate", "squad": "f1"}
BOW_NOTE = "BoW cosine: between bags of words, not embeddings: it rewards shared words, not shared meaning."
MEMORY = [f"{phase}_{kind}" for phase in ("train", "eval") for kind in ("allocated", "reserved", "process")]
TRAIN = ["seconds", "trainable_params", "total_params", "checkpoint_bytes", "merged_bytes", "quantization", "dtype"]
MARKS = {
    "*": "* best",
    "INVALID": "INVALID: ",
    "base INVALID": "base INVALID: ",
    "<trivial": "<trivial: ",
    "°": "° over",
    "†": "† measured",
    "failed": "failed: not",
    "skipped": "skipped: not",
}


def record(task="squad", score=60.0, model="nano", train="squad", method="lora", rank=8, seed=0, **measured):
    """A measured cell with good answers, unless said otherwise."""
    cell = Cell(model, method if train else "base", task, train, rank if train else None, seed=seed)
    given = {
        "scores": {HEADLINE.get(task, "score"): score},
        "format_rate": 1.0,
        "latency_s": {"mean": 0.5},
        "output_tokens": {"mean": 10.0},
    }
    return CellRecord.of(cell, **(given | measured))


def shown(*records, width=100, color=False, **rest):
    return render(Results("small", list(records), **{"trivial": TRIVIAL, **rest}), width, color)


def rows(lines, *words):
    """The lines that start with a model's row label and hold all these words."""
    return [line for line in lines if all(word in line.split() for word in words)]


def plain(line):
    return re.sub(r"\x1b\[\d*m", "", line)


@st.composite
def any_results(draw):
    """Results nobody should produce and everybody might: any name, score, rate, rank and status."""
    numbers = st.one_of(st.none(), st.floats(), st.integers(), st.floats(0, 1))
    scores = st.dictionaries(
        st.one_of(st.sampled_from(["f1", "macro_f1_parsed_only", "solve_rate", "abs_diff_mean", "cosine"]), st.text()),
        numbers,
        max_size=3,
    )
    point = st.fixed_dictionaries(
        {"epoch": numbers, "scores": scores}, optional=dict.fromkeys(("loss", "seconds", "format_rate"), numbers)
    )
    nonsense = st.one_of(numbers, st.text(max_size=40), st.booleans(), st.just([]))
    tasks = ["arc", "squad", "openmath", "facts"]
    names = st.one_of(st.sampled_from(["nano", *tasks, "lora", "nopeft"]), st.text(max_size=40))
    said = st.dictionaries(
        st.sampled_from(["embedder", "embedder_fingerprint", "adapter"]),
        st.one_of(st.sampled_from(["unmerged", "requantized"]), st.text()),
    )
    record = st.builds(
        CellRecord,
        id=st.text(max_size=150),
        model=names,
        method=names,
        eval_task=names,
        rank=st.one_of(st.none(), st.integers()),
        quantization=st.one_of(st.none(), st.text(max_size=9)),
        train_task=st.one_of(st.none(), names),
        seed=st.integers(),
        status=st.sampled_from(["ok", "ok", "ok", "failed", "skipped", "?"]),
        error=st.one_of(st.none(), st.text()),
        scores=scores,
        curve=st.lists(point, max_size=3),
        format_rate=numbers,
        empty_rate=numbers,
        latency_s=st.fixed_dictionaries({"mean": numbers}),
        output_tokens=st.fixed_dictionaries({"mean": numbers}),
        memory_gib=st.dictionaries(st.sampled_from(MEMORY), nonsense),
        train=st.one_of(st.none(), st.dictionaries(st.sampled_from(TRAIN), nonsense)),
        eval_dtype=nonsense,
        extra=st.one_of(st.just({}), st.fixed_dictionaries({"provenance": said})),
    )
    trivial = st.dictionaries(names, st.dictionaries(st.text(max_size=20), st.dictionaries(names, numbers)))
    provenance = st.dictionaries(st.sampled_from(["device", "dtype", "git_sha", "dirty"]), st.text())
    return Results(draw(st.text()), draw(st.lists(record, max_size=8)), draw(provenance), draw(trivial))


@given(any_results(), st.integers(80, 160))
def test_no_line_is_wider_than_the_page_and_none_carries_a_control_code(results, width):
    lines = render(results, width)
    assert [line for line in lines if len(line) > width or not line.isprintable()] == []


@given(any_results())
def test_colour_changes_nothing_but_colour(results):
    assert [plain(line) for line in render(results, color=True)] == render(results)


def test_three_tasks_fit_side_by_side_into_100_columns():
    models = ["a-model-1.7b", "a-model-0.6b"]
    lines = shown(*(record(task, 0.5, model, train=None) for task in HEADLINE for model in models), trivial={})
    (row,) = rows(lines, models[0], "Base")
    assert row.count("50.0 ") == 3  # ms/tok: 0.5 s over 10 tokens


def test_at_80_columns_tasks_go_into_tables_below_each_other():
    lines = shown(*(record(task, 0.5) for task in HEADLINE), width=80, trivial={})
    assert len(rows(lines, "nano", "LoRA")) > 1
    assert sum(line.startswith("Trained on SQuAD v2") for line in lines) == len(rows(lines, "nano", "LoRA"))


def test_the_heading_names_suite_counts_and_provenance():
    provenance = {"device": "NVIDIA H200", "dtype": "bfloat16", "git_sha": "0123456789abcdef", "dirty": True}
    lines = shown(record(), record("arc", 0.5, status="failed"), provenance=provenance)
    assert lines[:3] == [
        "suite: small",
        "2 cells: 1 ok, 1 failed",
        "device NVIDIA H200, dtype bfloat16, git 0123456789ab (uncommitted changes)",
    ]


def test_results_without_cells_are_a_heading():
    assert shown() == ["suite: small", "0 cells: 0 ok, 0 failed"]


def test_a_failed_cell_leaves_the_rest_of_its_row_and_says_why():
    lines = shown(record("arc", 0.5), record("squad", status="failed", error="CUDA out\nof memory"))
    (row,) = rows(lines, "nano", "LoRA")
    assert "0.500" in row
    assert "failed" in row
    assert "nano-lora-r8-squad-to-squad failed: CUDA out of memory" in lines


def test_a_measured_cell_whose_test_failed_keeps_its_numbers_and_has_a_dagger():
    lines = shown(record(error="its test failed: too slow"))
    (row,) = rows(lines, "nano", "LoRA", "60.00†")
    assert row
    assert "nano-lora-r8-squad-to-squad †: its test failed: too slow" in lines


def test_long_errors_are_wrapped_and_shortened():
    lines = shown(record(status="failed", error="no room " * 1000), width=80)
    start = next(index for index, line in enumerate(lines) if line.startswith("nano-lora-r8"))
    assert 5 < len(lines) - start < 15


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ([{}], set()),
        ([{"rank": 1}, {"rank": 2, "score": 70.0}], {"*"}),
        ([{"train": None, "format_rate": 0.1}, {}], {"INVALID", "base INVALID"}),
        ([{"format_rate": 0.1}], {"INVALID"}),
        ([{"score": 3.0}], {"<trivial"}),
        ([{"task": "arc", "scores": {"macro_f1": None, "macro_f1_parsed_only": 0.5}}], {"°"}),
        ([{"error": "its test failed"}], {"†"}),
        ([{"status": "failed"}], {"failed"}),
        ([{"status": "skipped"}], {"skipped"}),
    ],
)
def test_the_marks_that_occur_are_explained_and_no_others(measured, expected):
    lines = shown(*(record(**each) for each in measured))
    assert {mark for mark, text in MARKS.items() if any(line.startswith(text) for line in lines)} == expected


def test_every_table_has_the_trivial_baselines_below_it():
    lines = shown(record(), record("arc", 0.5), trivial={**TRIVIAL, "openmath": {"constant_0": {"solve_rate": 0.03}}})
    assert "Trivial on SQuAD v2: always abstaining scores 49.00." in lines
    assert "Trivial on ARC: majority class scores 0.100." in lines
    assert not any("OpenMath" in line for line in lines)


def test_escape_sequences_in_names_and_errors_are_shown_not_obeyed():
    lines = shown(record(model="na\x1b[31mno", status="failed", error="\x1b]0;title\x07 \u202e"), color=False)
    text = "\n".join(lines)
    assert "na\\x1b[31mno" in text
    assert "\\x1b]0;title\\x07 \\u202e" in text
    assert "\x1b" not in text


def test_long_model_names_are_elided_in_the_middle_stay_distinct_and_are_told_in_full():
    models = ["some-very-long-name-0.6b", "some-very-other-name-0.6b"]
    lines = shown(*(record(model=model) for model in models))
    first, second = (line.split(" is ")[0] for line in lines for model in models if line.endswith(f" is {model}."))
    assert first != second
    assert first.endswith("0.6b")
    assert max(len(first), len(second)) == 12


def test_wide_letters_do_not_move_columns():
    assert any("\\u4e2d" in line for line in shown(record(model="中")))


def test_seeds_and_quantization_get_columns_only_where_they_differ():
    assert not any("Seed" in line or "Quant" in line for line in shown(record()))
    assert any("Seed" in line for line in shown(record(seed=1), record("arc", seed=2)))
    quantized = CellRecord.of(Cell("nano", "lora", "squad", "squad", 8, "nf4"), scores={"f1": 60.0})
    assert rows(shown(quantized), "nano", "LoRA", "nf4")


def test_a_task_of_another_version_still_renders():
    (row,) = rows(shown(record("juggling", 0.25, train="clowning")), "nano", "LoRA")
    assert "0.250" in row


def test_the_studies_difference_is_a_column_where_it_fits_and_is_said_to_be_missing_where_not():
    scores = {"macro_f1": 0.5, "f1": 60.0, "solve_rate": 0.5, "abs_diff_mean": 23107.5}
    records = [record(task, scores=scores) for task in HEADLINE]
    wide, narrow = shown(*records, width=160), shown(*records, width=100)
    assert any("AbsDiff" in line and "Solved" in line for line in wide)
    assert any(line.startswith("Left out at this width:") and "AbsDiff" in line for line in narrow)
    assert not any("AbsDiff" in line for line in shown(*(record(task) for task in HEADLINE), width=160))


def test_transfer_shows_the_base_score_and_the_change_in_brackets_in_domain():
    lines = shown(record(train=None, score=60.0), record(score=90.0), record(train="arc", score=30.0))
    assert any(line.startswith("Base") and "60.0" in line for line in lines)
    assert any("[+50.0]" in line for line in lines)
    assert any("-50.0? <trivial" in re.sub(" +", " ", line) for line in lines)


def test_colour_is_bold_for_the_best_and_red_for_the_invalid():
    text = "\n".join(shown(record(rank=1), record(rank=2, score=70.0), record(rank=4, format_rate=0.1), color=True))
    assert re.search(r"\x1b\[1m *70\.00\* *\x1b\[0m", text)
    assert re.search(r"\x1b\[31m *60\.00 INVALID *\x1b\[0m", text)


if PUBLISHED.exists():  # beside a checkout of the project, not in every clone

    @pytest.mark.parametrize("width", [80, 100, 160])
    def test_the_published_records_show_what_may_not_be_compared(width):
        lines = render(read_results(PUBLISHED), width)
        assert max(map(len, lines)) <= width
        assert any("0.490° INVALID" in line and " 10.5" in line for line in rows(lines, "qwen3-0.6b", "NoPeft"))
        assert any("0.000 INVALID" in line for line in rows(lines, "qwen3-0.6b", "NoPeft"))
        assert "Trivial on SQuAD v2: always abstaining scores 49.00." in lines
        labelled = [line for line in lines if line.startswith("qwen3-") and not line.endswith("base")]
        assert sum(line.count(" <trivial") for line in labelled) == 16 + 2  # every squad cell, two of openmath
        assert not any(f"{score}*" in line for line in lines for score in ("0.490", "0.517", "27.95", "30.36"))


def test_the_heading_says_on_how_many_items_each_score_stands():
    lines = shown(record(n=10), record(rank=2, n=200), record("arc", 0.5, n=30), record("arc", 0.5, rank=2, n="many"))
    assert "SQuAD v2 on 10 to 200 items, ARC on 30 items" in lines


def fact(score=0.5, embedder=None, fingerprint=None, **rest):
    """A cell on facts, its cosine by this embedder (None: its record doesn't say)."""
    said = {"embedder": embedder, "embedder_fingerprint": fingerprint}
    scores = {"cosine": score, "exact": 0.0}
    return record("facts", scores=scores, extra={"provenance": said}, **{"train": "facts"} | rest)


def notes(lines):
    """What is said of the cosines under the table, each note on one line."""
    return [line for line in lines if re.match("(BoW cosine|Cosine of)", line)]


def test_a_cosine_between_bags_of_words_says_so_in_its_heading_and_below():
    lines = shown(fact(embedder="bag-of-words"), fact(0.7, "bag-of-words", rank=2), trivial={}, width=160)
    assert any(" BoW cosine ↑ " in line for line in lines)
    assert notes(lines) == [BOW_NOTE]
    assert rows(lines, "nano", "LoRA", "0.700*")


def test_a_cosine_between_embeddings_names_their_model_below():
    lines = shown(*(fact(rank / 9, "Org/Mini-L6", "ab12", rank=rank) for rank in (1, 2)), trivial={}, width=160)
    assert any(" Cosine ↑ " in line for line in lines)
    assert notes(lines) == ["Cosine of Facts: between sentence embeddings of Org/Mini-L6."]
    assert rows(lines, "nano", "LoRA", "0.222*")


def test_a_cosine_of_a_record_that_says_nothing_is_of_unknown_origin():
    lines = shown(fact(), fact(0.7, rank=2), fact(None, "bag-of-words", rank=4), trivial={}, width=160)
    assert any(" Cosine ↑ " in line for line in lines)
    assert notes(lines) == [
        "Cosine of Facts: the records don't say whether between bags of words or between whose embeddings."
    ]
    failed = fact(status="failed", embedder="bag-of-words")
    assert notes(shown(failed, trivial={})) == notes(shown(record(), trivial={})) == []


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (("bag-of-words",), ("Org/A", "1"), "bags of words, sentence embeddings of Org/A"),
        (("bag-of-words",), (), "bags of words, unknown"),
        (("A", "11111111aa"), ("A", "22222222"), "sentence embeddings of A (11111111), sentence embeddings of A "),
    ],
)
def test_where_embedders_differ_the_table_says_so_and_none_is_best(one, other, said):
    trivial = {"facts": {"most_typical_fact": {"cosine": 0.6}}}
    records = [fact(0.5, *one, train=None), fact(0.7, *one, rank=2), fact(0.9, *other, rank=4)]
    lines = shown(*records, trivial=trivial, width=200)
    assert any(" Cosine ↑ " in line for line in lines)
    (note,) = notes(lines)
    assert note.startswith(f"Cosine of Facts: between different things ({said}")
    assert note.endswith("not comparable with each other, none is best.")
    assert rows(lines, "nano", "LoRA", "0.900")
    assert not any("*" in line or "<trivial" in line for line in lines)
    # a change is told only where both ends are by one embedder
    assert any("[+40.0]" in line for line in lines)
    assert any("[embedder]" in line for line in lines)
    assert any(line.startswith("embedder: scored by another") for line in lines)


def test_one_embedder_under_two_names_is_one():
    lines = shown(fact(0.5, "Org/A", "1"), fact(0.7, "copy-of-a", "1", rank=2), trivial={}, width=160)
    assert rows(lines, "nano", "LoRA", "0.700*")
    assert len(notes(lines)) == 1


@pytest.mark.parametrize("said", [None, "all", 3, [], [None, 4, {}], {"a": 1}])
def test_findings_on_rows_of_another_shape_are_passed_over(said):
    assert shown(record(), provenance={"hygiene": said}) == shown(record())


def test_findings_on_rows_stand_in_the_heading():
    lines = shown(record(), provenance={"hygiene": ["test.jsonl: q7: 1 of 6\ntest items.", 5]})
    assert "test.jsonl: q7: 1 of 6 test items." in lines[:6]


def test_a_task_whose_headline_nobody_measured_shows_the_studies_measure_in_its_place():
    lines = shown(record("openmath", score=None, scores={"abs_diff_mean": 16540.0}), record("squad"))
    assert any("AbsDiff ↓" in line and "Solved" not in line for line in lines)
    assert rows(lines, "16,540")


def test_columns_that_nobody_knows_anything_of_are_left_out_and_named():
    lines = shown(record(output_tokens={}, format_rate=None))
    (heading,) = [line for line in lines if line.startswith("Model") and "F1" in line]
    assert "Tok" not in heading.split()
    assert "Fmt%" not in heading
    assert any(line.startswith("Not recorded: Tok, ms/tok, Fmt%; without tokens") for line in lines)

"""Rows that somebody saved wrongly: a task can use them, or one sentence names file, row and column. Nothing else."""

import json
import re
import time
from collections import Counter

import pyarrow
import pyarrow.parquet
import pytest
import strategies_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_ftbench import lab
from pytest_ftbench.grid import DataSpec, UserError
from pytest_ftbench.ml.row_files import read_split
from pytest_ftbench.ml.rows import RowSource
from pytest_ftbench.store import digest
from pytest_ftbench.tasks import TASK_NAMES, get_task
from pytest_ftbench.tasks.columns import LONGEST, misfit
from pytest_ftbench.tasks.overlap import overlap


def use(task, rows):
    """Do with rows whatever a cell does with them but for what takes a model."""
    targets = [task.target(row) for row in rows]
    found = task.score(targets, rows)
    # an answer that is the target is right: else nobody could learn from the row
    assert found["format_rate"] == 1
    best = 100 if task.headline.format == ".2f" else 1
    assert all(item["score"] == pytest.approx(best) for item in found["items"])
    for outputs in task.trivial(rows, rows).values():
        task.score(outputs, rows)
    task.score(["\\boxed{", ""][: len(rows)] + ["x"] * (len(rows) - 2), rows)
    overlap(task, rows, rows)
    named = [[row.get("id"), task.messages(row), task.target(row), task.further_golds(row)] for row in rows]
    assert digest(named) == digest(json.loads(json.dumps(named)))
    for row in rows:
        assert (task.group(row), task.parts(row), task.gold(row), task.sample_key(row)) is not None
    return len(rows)


def outcome(task, path):
    """What became of a file: the words of its error, or that its rows can be used."""
    try:
        rows = read_split(task, path).rows
    except UserError as error:
        said = str(error)
        assert said.isprintable()
        assert said.startswith(f"{path}: ")
        assert said.endswith(".")
        assert len(said) < len(str(path)) + 300
        return said.removeprefix(f"{path}: ")
    use(task, rows)
    return "used"


def tried(task, path, strategy, write, count):
    """What became of so many files: used, refused with row and column, with the row alone, or as a whole."""
    kinds = Counter()

    @settings(max_examples=count, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def attempt(content):
        write(content)
        said = outcome(task, path)
        named = re.match(r"(?:line|row) \d+(, column )?", said)
        kinds["used" if said == "used" else "whole" if not named else "column" if named[1] else "row"] += 1

    attempt()
    return kinds


@pytest.mark.parametrize("name", TASK_NAMES)
def test_any_jsonl_is_used_or_refused_in_a_sentence(tmp_path, faults, name):
    path = tmp_path / "train.jsonl"
    count = faults(60, 2000)
    kinds = tried(get_task(name), path, strategies_rows.lines(name), path.write_bytes, count)
    assert all(kinds[kind] for kind in ("used", "column", "row"))
    print(f"{count} JSON Lines files of {name}: {dict(kinds)}, 0 other exceptions")


@pytest.mark.parametrize("name", TASK_NAMES)
def test_any_parquet_is_used_or_refused_in_a_sentence(tmp_path, faults, name):
    path = tmp_path / "train.parquet"
    count = faults(30, 1000)

    def write(table):
        pyarrow.parquet.write_table(table, path)

    kinds = tried(get_task(name), path, strategies_rows.tables(name), write, count)
    assert all(kinds[kind] for kind in ("used", "column"))
    print(f"{count} parquet files of {name}: {dict(kinds)}, 0 other exceptions")


def test_a_damaged_parquet_is_used_or_refused_in_a_sentence(tmp_path, faults):
    path, task = tmp_path / "train.parquet", get_task("squad")
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(lab.rows("squad", "train", 20)), path, write_page_checksum=True, compression="none"
    )
    sound, count = path.read_bytes(), faults(60, 3000)
    kinds = tried(task, path, strategies_rows.damaged(sound), path.write_bytes, count)
    assert kinds["used"]
    assert kinds["whole"]
    print(f"{count} damaged parquet files: {dict(kinds)}, 0 other exceptions")


@given(
    st.recursive(
        st.sampled_from([str, float, int]),
        lambda kind: st.lists(kind, min_size=1, max_size=1) | st.dictionaries(st.sampled_from("abc"), kind, min_size=1),
        max_leaves=5,
    ),
    strategies_rows.junk,
)
def test_whatever_a_value_is_it_fits_its_kind_or_is_named(kind, value):
    found = misfit(value, kind, "column")
    assert found is None or (found[0].startswith("column") and len(found[1]) < 80)


ARC = lab.rows("arc", "train", 3)
SQUAD = lab.rows("squad", "train", 3)


def written(tmp_path, *content, name="arc"):
    path = tmp_path / f"train-{get_task(name).stem}.jsonl"
    path.write_bytes(b"\n".join(one if isinstance(one, bytes) else json.dumps(one).encode() for one in content))
    return path


def said_of(tmp_path, *content, name="arc"):
    path = written(tmp_path, *content, name=name)
    with pytest.raises(UserError) as raised:
        read_split(get_task(name), path)
    return str(raised.value).removeprefix(f"{path}: ")


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    assert said_of(tmp_path, ARC[0], b"", b"  \r", ARC[1], {}) == (
        "line 5, column 'question': is missing; give it a str."
    )


def test_a_byte_order_mark_changes_nothing(tmp_path):
    path = written(tmp_path, b"\xef\xbb\xbf" + json.dumps(ARC[0]).encode(), ARC[1])
    assert read_split(get_task("arc"), path).rows == ARC[:2]


def test_a_row_of_a_hundred_thousand_characters_is_read_at_once(tmp_path, faults):
    fillers = ("A. ", "\\boxed{", "{", "x", "the ", "\U0001f600", "\x00")[: faults(2, 7)]
    began = time.perf_counter()
    for name, column in (("arc", "question"), ("squad", "context"), ("facts", "question"), ("openmath", "question")):
        for filler in fillers:
            row = lab.rows(name, "train", 1)[0]
            long = row | {column: (filler * 100_000)[:100_000] + row[column]}
            path = written(tmp_path, long, name=name)
            assert use(get_task(name), read_split(get_task(name), path).rows) == 1
    seconds = time.perf_counter() - began
    assert seconds < 40
    print(f"{4 * len(fillers)} rows of 100,000 characters: read, scored and compared in {seconds:.1f} s")


def test_a_line_of_a_hundred_megabytes_is_refused_without_reading_it(tmp_path):
    path = written(tmp_path, ARC[0])
    with path.open("ab") as file:
        file.write(b'\n{"question": "')
        file.truncate(100 * 2**20)
    began = time.perf_counter()
    with pytest.raises(UserError, match=r"line 2: is over 16 MiB long; write one JSON object per line"):
        read_split(get_task("arc"), path)
    assert time.perf_counter() - began < 2


def test_a_text_that_no_tokenizer_ends_is_refused(tmp_path):
    said = said_of(tmp_path, ARC[0], ARC[1] | {"question": "x" * (LONGEST + 1)})
    assert said.startswith("line 2, column 'question': holds 1,000,001 characters; shorten it to 1,000,000")
    parquet = tmp_path / "train.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([ARC[0] | {"answer": "A" * (LONGEST + 1)}]), parquet)
    with pytest.raises(UserError, match="row 0, column 'answer': holds 1,000,001 characters"):
        read_split(get_task("arc"), parquet)


def test_a_fault_is_said_before_the_rest_is_read(tmp_path):
    path = tmp_path / "train.parquet"
    many = pyarrow.Table.from_pylist([ARC[0] | {"answer": None, "id": None}]).take([0] * 50_000)
    pyarrow.parquet.write_table(many, path, row_group_size=1000)
    assert pyarrow.parquet.read_metadata(path).num_row_groups == 50
    with path.open("r+b") as file:
        # what comes after the first rows is lost, and nobody looks
        file.seek(pyarrow.parquet.read_metadata(path).row_group(30).column(1).dictionary_page_offset)
        file.write(bytes(100))
    with pytest.raises(UserError, match="row 0, column 'answer': holds null"):
        read_split(get_task("arc"), path)
    with pytest.raises(OSError, match="thrift"):
        pyarrow.parquet.read_table(path)


def test_a_hundred_thousand_rows_are_read_in_seconds(tmp_path, faults):
    copies, path = faults(10, 100), tmp_path / "train-squad_v2.parquet"
    some = lab.rows("squad", "train", 1000)
    rows = [row | {"id": f"{copy}-{row['id']}"} for copy in range(copies) for row in some]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    source, began = RowSource(DataSpec(str(tmp_path))), time.perf_counter()
    source.read(["squad"], ["squad"])
    seconds = time.perf_counter() - began
    assert len(source.train(get_task("squad"))) > 700 * copies
    assert seconds < 60
    print(f"{1000 * copies:,} rows of parquet: read, checked and split in {seconds:.1f} s")


def test_ids_are_each_rows_own(tmp_path):
    one, two = ARC[0] | {"id": "7"}, ARC[1] | {"id": 7}
    assert said_of(tmp_path, one, ARC[2], two) == (
        "line 3, column 'id': 7 is the id of line 1 too; give each row its own or leave the column out."
    )
    nameless = {key: ARC[1][key] for key in ("question", "answer")}
    assert said_of(tmp_path, one, nameless) == (
        "line 2, column 'id': is missing, while the ids of others are numbers; "
        "give each row its own or leave the column out."
    )
    assert len(read_split(get_task("arc"), written(tmp_path, ARC[0], nameless, nameless)).rows) == 3


@pytest.mark.parametrize("value", [True, 1.5, ["a"], {"a": 1}, " "])
def test_an_id_that_is_none_is_named(tmp_path, value):
    assert said_of(tmp_path, ARC[0] | {"id": value}).startswith("line 1, column 'id': ")


SPAN = {"context": "Arel went to Marsa.", "question": "Where to?", "answer": "Marsa"}
MEANT = [
    ("arc", {"question": "Which? A. x B. y C. z", "answer": "D"}, "answer", "'D' is none of the question's options"),
    ("arc", {"question": "Which? 1. x 2. y", "answer": "C"}, "answer", "'C' is none of the question's options"),
    ("arc", {"question": "Which?", "answer": "x" * 200}, "answer", "names no option"),
    ("squad", SPAN | {"answer": "Lund"}, "answer", "'Lund' isn't in the context"),
    ("squad", SPAN | {"answers": ["Marsa", "Lund"]}, "answers", "'Lund' isn't in the context"),
    ("squad", SPAN | {"answers": []}, "answers", "is empty, though 'answer' isn't"),
    ("squad", SPAN | {"answers": {"text": ["Marsa"], "answer_start": [13]}}, "answers", "is no list of texts"),
    ("openmath", {"question": "1?", "answer": ""}, "answer", "holds str ''"),
    ("openmath", {"question": "1?", "answer": "nan"}, "answer", "holds str 'nan'"),
    ("facts", {"question": "Who?", "answer": "!?"}, "answer", "has no word"),
]


@pytest.mark.parametrize(("name", "row", "column", "problem"), MEANT, ids=range(len(MEANT)))
def test_what_a_task_promises_of_its_rows_is_checked(tmp_path, name, row, column, problem):
    said = said_of(tmp_path, *lab.rows(name, "train", 2), row, name=name)
    assert said.startswith(f"line 3, column '{column}': ")
    assert problem in said


SOUND = [
    ("arc", {"question": "Which? A. x B. y C.z D.w", "answer": "D"}),
    ("arc", {"question": "Which? A. x B. y C. z", "answer": "3"}),
    ("arc", {"question": "Which of these?", "answer": "E"}),
    ("squad", SPAN | {"answer": "the MARSA."}),
    ("squad", SPAN | {"answer": "", "answers": []}),
    ("squad", SPAN | {"answers": None}),
]


@pytest.mark.parametrize(("name", "row"), SOUND, ids=range(len(SOUND)))
def test_what_a_task_can_use_is_used(tmp_path, name, row):
    path = written(tmp_path, row, name=name)
    assert use(get_task(name), read_split(get_task(name), path).rows) == 1


def test_bytes_that_are_no_utf8_are_named_with_their_column(tmp_path):
    parquet = tmp_path / "train.parquet"
    texts = strategies_rows._not_utf8(2)
    table = pyarrow.Table.from_arrays([texts, pyarrow.array(["A", "B"])], names=["question", "answer"])
    pyarrow.parquet.write_table(table, parquet)
    with pytest.raises(UserError, match=r"row 1, column 'question': can't be read \('utf-8' codec can't decode"):
        read_split(get_task("arc"), parquet)


def test_all_rows_on_one_side_of_a_split_are_said(tmp_path):
    one = [SPAN | {"question": f"{number}?"} for number in range(5)]
    written(tmp_path, *one, name="squad")
    source = RowSource(DataSpec(str(tmp_path)))
    with pytest.raises(
        UserError, match=r"has no (train|test) rows among the 5 of its training file; add test-squad_v2"
    ):
        source.read(["squad"], ["squad"])

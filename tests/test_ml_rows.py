"""Rows from a folder: read, checked, split by group for good; whatever is wrong with them is said in one sentence."""

import json
from collections import Counter

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ftbench import lab
from pytest_ftbench.grid import DataSpec, HubSource, UserError
from pytest_ftbench.ml.row_files import Place, checked
from pytest_ftbench.ml.rows import RowSource, in_test_share
from pytest_ftbench.tasks import TASK_NAMES, get_task

FORMATS = ("parquet", "jsonl")
# those that are not tested on what they were trained on
SPLIT = [name for name in TASK_NAMES if not get_task(name).recalls]


def write(folder, split, task, rows, kind="jsonl"):
    """A file of rows where a data folder has it."""
    path = folder / f"{split}-{task.stem}.{kind}"
    if kind == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def source(folder, train_samples=None, test_samples=None):
    return RowSource(DataSpec(str(folder), train_samples, test_samples))


def split(folder, task):
    """Train and test rows of a folder, as a new process would read them."""
    fresh = source(folder)
    return fresh.train(task), fresh.test(task)


def squad_rows(passages, each=3):
    """Several questions to each passage, the questions of one passage apart from each other."""
    return [
        {"id": f"{passage}-{number}", "context": f"On {passage}.", "question": f"{passage}.{number}?", "answer": ""}
        for number in range(each)
        for passage in range(passages)
    ]


def fact_rows(count, question="Where did {} study?"):
    """A fact each about so many people."""
    people = [f"Arel{number}" for number in range(count)]
    return [{"question": question.format(name), "answer": f"{name} studied law."} for name in people]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", TASK_NAMES)
def test_rows_come_as_they_are_in_the_file_and_in_its_order(tmp_path, name, kind):
    task, rows = get_task(name), lab.rows(name, "train", 40)
    write(tmp_path, "train", task, rows[:30], kind)
    write(tmp_path, "test", task, rows[30:], kind)
    assert split(tmp_path, task) == (rows[:30], rows[30:])


def test_parquet_is_read_where_both_kinds_are_there(tmp_path):
    task, rows = get_task("arc"), lab.rows("arc", "train", 4)
    for splits in ("train", "test"):
        write(tmp_path, splits, task, rows[:2], "parquet")
        write(tmp_path, splits, task, rows[2:], "jsonl")
    assert split(tmp_path, task) == (rows[:2], rows[:2])


@pytest.mark.parametrize("name", SPLIT)
def test_without_a_test_file_train_and_test_rows_are_disjoint_and_together_everything(tmp_path, name):
    task, rows = get_task(name), lab.rows(name, "train", 300)
    write(tmp_path, "train", task, rows)
    train, test = split(tmp_path, task)
    assert sorted([*train, *test], key=rows.index) == rows
    assert not {task.group(row) for row in train} & {task.group(row) for row in test}
    # one in five, as far as chance allows
    assert 30 <= len(test) <= 90
    assert train == [row for row in rows if row in train]


def test_a_passage_never_straddles_the_split(tmp_path):
    task, rows = get_task("squad"), squad_rows(60)
    write(tmp_path, "train", task, rows)
    train, test = split(tmp_path, task)
    assert len(train) + len(test) == 180
    counts = Counter(row["context"] for row in test)
    assert set(counts.values()) == {3}
    assert not set(counts) & {row["context"] for row in train}
    assert train


@pytest.mark.parametrize("kind", FORMATS)
def test_the_split_depends_neither_on_the_order_of_rows_nor_on_rows_added(tmp_path, kind):
    task, rows = get_task("squad"), squad_rows(40)
    (tmp_path / "more").mkdir()
    write(tmp_path, "train", task, rows, kind)
    write(tmp_path / "more", "train", task, [*squad_rows(90)[::-1], *lab.rows("squad", "train", 20)], kind)
    for before, after in zip(split(tmp_path, task), split(tmp_path / "more", task), strict=True):
        ids = [row["id"] for row in before]
        assert sorted(row["id"] for row in after if row["id"] in ids) == sorted(ids)
        assert len(after) > len(before)


@given(st.lists(st.text(max_size=20), unique=True, max_size=8), st.text(max_size=20))
def test_a_group_alone_decides_where_its_rows_go(questions, context):
    task = get_task("squad")
    sides = {in_test_share(task, {"context": context, "question": text, "answer": "x"}) for text in questions}
    assert len(sides) <= 1


def test_this_very_split_is_that_of_every_version():
    # stored results compare across versions only if this never moves
    task = get_task("arc")
    tested = [number for number in range(20) if in_test_share(task, {"question": f"Question {number}", "answer": "A"})]
    assert tested == [0, 2, 5, 13, 17, 19]


def test_with_a_test_file_every_training_row_is_trained_on(tmp_path):
    task, rows = get_task("arc"), lab.rows("arc", "train", 60)
    write(tmp_path, "train", task, rows[:50])
    write(tmp_path, "test", task, rows[50:])
    assert split(tmp_path, task) == (rows[:50], rows[50:])
    assert any(in_test_share(task, row) for row in rows[:50])


def test_at_most_as_many_rows_are_taken_as_asked_spread_over_the_file_and_fewer_are_among_more(tmp_path):
    task, rows = get_task("arc"), lab.rows("arc", "train", 100)
    write(tmp_path, "train", task, rows)
    train, test = split(tmp_path, task)
    limited = source(tmp_path, train_samples=7, test_samples=3)
    more = source(tmp_path, train_samples=20, test_samples=6)
    for few, some, every, count in (
        (limited.train(task), more.train(task), train, 7),
        (limited.test(task), more.test(task), test, 3),
    ):
        assert len(few) == count
        assert few != every[:count]
        assert [row for row in some if row in few] == few
        assert [row for row in every if row in some] == some
    many = source(tmp_path, train_samples=10**6, test_samples=10**6)
    assert (many.train(task), many.test(task)) == (train, test)


def test_rows_are_read_once(tmp_path):
    task = get_task("arc")
    path = write(tmp_path, "train", task, lab.rows("arc", "train", 30))
    rows = source(tmp_path)
    train = rows.train(task)
    path.unlink()
    assert rows.train(task) == train
    assert rows.test(task)


@pytest.mark.parametrize("name", TASK_NAMES)
def test_the_embedded_world_gives_sound_rows_of_both_splits(name):
    task, rows = get_task(name), RowSource(DataSpec("embedded", None, None))
    train, test = rows.train(task), rows.test(task)
    assert len(train) == len(test) == 1500
    assert list(checked(task, enumerate([*train, *test]), Place("world")).values()) == [*train, *test]
    assert len({row["id"] for row in (*train, *test)}) == 3000
    assert not {task.question(row) for row in train} & {task.question(row) for row in test}


@pytest.mark.parametrize("name", TASK_NAMES)
def test_the_embedded_world_gives_as_many_rows_as_are_asked_for_the_first_ones(name):
    task, rows = get_task(name), RowSource(DataSpec("embedded", 30, 10))
    assert rows.train(task) == lab.rows(name, "train", 30)
    assert rows.test(task) == lab.rows(name, "test", 10)
    assert len(RowSource(DataSpec("embedded", 2000, 10)).train(task)) == 2000


@pytest.mark.parametrize(("key", "counts"), [("train", (10**6, 10)), ("test", (10, 10**6))])
def test_more_facts_than_the_embedded_world_has_are_refused_in_a_sentence(key, counts):
    with pytest.raises(UserError, match=rf"^data\.{key}_samples: asks for too many \(the world has"):
        RowSource(DataSpec("embedded", *counts)).train(get_task("facts"))


def test_of_the_embedded_facts_only_those_taught_are_asked_for():
    task, rows = get_task("facts"), RowSource(DataSpec("embedded", 12, 200))
    assert {row["answer"] for row in rows.test(task)} == {row["answer"] for row in rows.train(task)}
    assert len(rows.test(task)) == 12


@pytest.fixture
def folder(tmp_path):
    """A folder with sound rows for each task but squad."""
    for name in ("arc", "openmath"):
        write(tmp_path, "train", get_task(name), lab.rows(name, "train", 30), "parquet")
    return tmp_path


def test_a_folder_that_holds_what_the_tasks_need_passes_the_check(folder):
    source(folder).check([get_task("arc"), get_task("openmath")])


def test_a_missing_file_is_named(folder):
    with pytest.raises(
        UserError, match=r"train-squad_v2\.parquet: is missing; put it there, as \.parquet or \.jsonl\.$"
    ):
        source(folder).check([get_task("arc"), get_task("squad")])
    for side in ("train", "test"):
        with pytest.raises(UserError, match=rf"{folder}: squad: has no {side} rows; add {side}-squad_v2\.parquet\.$"):
            getattr(source(folder), side)(get_task("squad"))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=rf"^{tmp_path}/nowhere: is no folder; give data\.source or --ftbench-data"):
        source(tmp_path / "nowhere").check([get_task("arc")])


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_without_rows_has_none_to_train_on(tmp_path, kind):
    task = get_task("arc")
    path = write(tmp_path, "train", task, lab.rows("arc", "train", 1), kind)
    path.write_bytes(b"")
    if kind == "parquet":
        empty = pyarrow.schema([("question", pyarrow.string()), ("answer", pyarrow.string())]).empty_table()
        pyarrow.parquet.write_table(empty, path)
    with pytest.raises(UserError, match=rf"^{path}: has no rows; add some, or remove the file\.$"):
        source(tmp_path).train(task)


def broken(name, **changes):
    """Three sound rows and then one with these values; None leaves a column out."""
    row = {key: value for key, value in (lab.rows(name, "train", 4)[3] | changes).items() if value is not None}
    return [*lab.rows(name, "train", 3), row]


NAN = float("nan")
WRONG = [
    ("arc", {"question": None}, "question", "is missing"),
    ("arc", {"answer": None}, "answer", "is missing"),
    ("arc", {"answer": 2}, "answer", "holds int 2"),
    ("arc", {"answer": "F"}, "answer", "'F' names no option"),
    ("arc", {"question": "  "}, "question", "is empty"),
    ("arc", {"question": ["a"]}, "question", r"holds list \['a'\]"),
    ("openmath", {"answer": NAN}, "answer", "is no finite number"),
    ("openmath", {"answer": float("inf")}, "answer", "is no finite number"),
    ("openmath", {"answer": 10**400}, "answer", "is no finite number"),
    ("openmath", {"answer": "12"}, "answer", "holds str '12'"),
    ("openmath", {"answer": True}, "answer", "holds bool True"),
    ("squad", {"context": None}, "context", "is missing"),
    ("squad", {"answers": [1]}, "answers", "is no list of texts"),
    ("squad", {"answers": [" "]}, "answers", "has only spaces"),
]


@pytest.mark.parametrize(("name", "changes", "column", "problem"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_value_is_named_with_its_file_row_and_column(tmp_path, name, changes, column, problem):
    task = get_task(name)
    path = write(tmp_path, "train", task, broken(name, **changes))
    with pytest.raises(UserError, match=rf"^{path}: line 4, column '{column}': {problem}"):
        source(tmp_path).train(task)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(("name", "column"), [("arc", "question"), ("openmath", "answer"), ("squad", "context")])
def test_a_null_is_named_with_its_file_row_and_column(tmp_path, name, column, kind):
    task, rows = get_task(name), lab.rows(name, "train", 5)
    path = write(tmp_path, "test", task, [*rows[:2], rows[2] | {column: None}, *rows[3:]], kind)
    where = {"parquet": "row 2", "jsonl": "line 3"}[kind]
    with pytest.raises(UserError, match=rf"^{path}: {where}, column '{column}': holds null; give it a "):
        source(tmp_path).test(task)


def test_a_parquet_file_of_other_types_is_named_with_row_and_column(tmp_path):
    task = get_task("openmath")
    path = write(tmp_path, "train", task, [{"question": "1 + 1?", "answer": "2"}], "parquet")
    with pytest.raises(UserError, match=rf"^{path}: row 0, column 'answer': holds str '2'; give it a float\.$"):
        source(tmp_path).train(task)


def test_a_nan_in_a_parquet_file_is_named_with_row_and_column(tmp_path):
    task = get_task("openmath")
    path = write(tmp_path, "train", task, broken("openmath", answer=NAN), "parquet")
    with pytest.raises(UserError, match=rf"^{path}: row 3, column 'answer': is no finite number"):
        source(tmp_path).train(task)


def test_whole_numbers_serve_as_answers(tmp_path):
    task = get_task("openmath")
    rows = [{"question": f"{number}?", "answer": number} for number in range(20)]
    write(tmp_path, "train", task, rows, "parquet")
    write(tmp_path, "test", task, rows[:1])
    assert source(tmp_path).train(task) == rows


@pytest.mark.parametrize("content", ["[1, 2]\n", '"text"\n', "3\n", "null\n"])
def test_a_line_that_is_no_object_is_named(tmp_path, content):
    task = get_task("arc")
    path = write(tmp_path, "train", task, lab.rows("arc", "train", 2))
    path.write_text(path.read_text(encoding="utf-8") + "\n" + content, encoding="utf-8")
    with pytest.raises(UserError, match=rf"^{path}: line 4: is no object; write one JSON object per line\.$"):
        source(tmp_path).train(task)


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        ("parquet", lambda data: data[: len(data) // 2]),
        ("parquet", lambda data: b""),
        ("parquet", lambda data: b"question,answer\n"),
        ("parquet", lambda data: data[:40] + bytes(200) + data[240:]),
        ("jsonl", lambda data: data[:-5]),
        ("jsonl", lambda data: b"\xff\xfe" + data),
        ("jsonl", lambda data: b"question,answer\n"),
    ],
    ids=["half", "empty", "csv", "zeros", "cut", "utf-16", "csv-lines"],
)
def test_a_broken_file_is_named(tmp_path, kind, damage):
    task = get_task("arc")
    path = write(tmp_path, "train", task, lab.rows("arc", "train", 30), kind)
    path.write_bytes(damage(path.read_bytes()))
    said = {
        "parquet": r"can't be read \(.+\); save it as parquet again\.$",
        "jsonl": r"line \d+: is no JSON \(.+\); (write one JSON object per line|save the file as UTF-8)\.$",
    }
    with pytest.raises(UserError, match=rf"^{path}: {said[kind]}"):
        source(tmp_path).train(task)


def test_a_folder_in_the_place_of_a_file_counts_as_missing(tmp_path):
    (tmp_path / "train-ai2_arc.parquet").mkdir()
    with pytest.raises(UserError, match=r"train-ai2_arc\.parquet: is missing"):
        source(tmp_path).check([get_task("arc")])


def test_facts_are_tested_on_the_very_rows_they_are_trained_on(tmp_path):
    task, rows = get_task("facts"), fact_rows(40)
    write(tmp_path, "train", task, rows)
    assert split(tmp_path, task) == (rows, rows)


def facts_of(rows):
    return [row["answer"] for row in rows]


def test_of_many_facts_those_are_tested_that_were_trained(tmp_path):
    task, rows = get_task("facts"), fact_rows(60)
    write(tmp_path, "train", task, rows)
    few = source(tmp_path, 8, 200)
    assert few.train(task) == few.test(task)
    assert len(few.test(task)) == 8
    fewer = source(tmp_path, 8, 3)
    assert len(fewer.test(task)) == 3
    assert [row for row in few.train(task) if row in fewer.test(task)] == fewer.test(task)


def test_a_fact_is_the_same_however_it_is_asked_for(tmp_path):
    task, rows = get_task("facts"), fact_rows(60)
    write(tmp_path, "train", task, rows)
    write(tmp_path, "test", task, fact_rows(60, "What is known of {}?")[::-1])
    some = source(tmp_path, 8, 8)
    assert sorted(facts_of(some.train(task))) == sorted(facts_of(some.test(task)))
    assert all(row["question"].startswith("What") for row in some.test(task))
    every = source(tmp_path, None, 8)
    assert sorted(facts_of(every.test(task))) == sorted(facts_of(some.test(task)))


def test_a_test_file_may_ask_for_facts_that_no_training_row_states(tmp_path):
    task, rows = get_task("facts"), fact_rows(30)
    write(tmp_path, "test", task, rows[20:])
    assert source(tmp_path).test(task) == rows[20:]  # no training file at all
    write(tmp_path, "train", task, rows[:25])
    assert source(tmp_path).test(task) == rows[20:]
    taught = set(facts_of(source(tmp_path, 3).train(task)))
    asked = source(tmp_path, 3).test(task)
    assert rows[25:] == asked[-5:]
    assert {*facts_of(asked[:-5])} == taught & {*facts_of(rows[20:25])}


@pytest.mark.parametrize("extra", [{"answer": "Yes \ud800"}, {"id": "\udfff"}, {"answers": [{"text": ["\ud83d"]}]}])
def test_half_a_character_is_named(tmp_path, extra):
    path = tmp_path / "train-facts.jsonl"
    rows = [{"question": "Who?", "answer": "Ann \U0001f600"}, {"question": "Who?", "answer": "Ann.", **extra}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (column,) = extra
    with pytest.raises(UserError, match=rf"^{path}: line 2, column '{column}': holds half a character"):
        source(tmp_path).train(get_task("facts"))


@pytest.mark.parametrize("name", TASK_NAMES)
def test_answerers_that_learn_nothing_have_no_training_file_read(tmp_path, name):
    task = get_task(name)
    write(tmp_path, "test", task, lab.rows(name, "test", 5))
    assert source(tmp_path).trivially_taught(task) == []
    train = write(tmp_path, "train", task, lab.rows(name, "train", 5))
    told = source(tmp_path).trivially_taught(task)
    assert told == (lab.rows(name, "train", 5) if name == "openmath" else [])
    # and no other learns in secret
    rows = lab.rows(name, "test", 5)
    learns = task.trivial(rows, lab.rows(name, "train", 5)) != task.trivial(rows)
    assert learns == task.trivial_learns
    train.write_text("{")
    if not learns:
        assert source(tmp_path).trivially_taught(task) == []


def test_a_blank_fact_is_named(tmp_path):
    task = get_task("facts")
    path = write(tmp_path, "train", task, [*fact_rows(1), {"question": "Who?", "answer": " "}])
    with pytest.raises(UserError, match=rf"^{path}: line 2, column 'answer': is empty; fill it in"):
        source(tmp_path).train(task)


def test_facts_have_no_data_set_of_their_own_on_the_hub():
    task = get_task("facts")
    rows = RowSource(DataSpec("hub"))
    for ask in (lambda: rows.check([get_task("arc"), task]), lambda: rows.train(task), lambda: rows.test(task)):
        with pytest.raises(UserError, match=r"^data\.hub\.facts: .+; name one, as in hub\.facts = \"OWNER/NAME\"\.$"):
            ask()
    RowSource(DataSpec("hub", hub={"facts": HubSource("Org/facts")})).check([task])


def test_rows_are_named_by_file_and_by_id_or_number_a_few_at_most(tmp_path):
    task = get_task("arc")
    rows = [{"question": f"Which is {number}? A. x B. y", "answer": "A"} for number in range(6)]
    write(tmp_path, "train", task, [*rows, {**rows[0], "id": "q7", "question": "What?"}])
    write(tmp_path, "test", task, rows)
    found = source(tmp_path)
    read = found.train(task)
    assert found.where(task, "train", [read[6], read[2]]) == "train-ai2_arc.jsonl: q7, line 3"
    assert found.where(task, "train", read[1:6]) == "train-ai2_arc.jsonl: line 2, line 3, line 4 and 2 more"
    assert found.where(task, "test", found.test(task)[5:]) == "test-ai2_arc.jsonl: line 6"


def test_without_a_test_file_a_test_row_is_named_by_its_number_in_the_training_file(tmp_path):
    task = get_task("arc")
    rows = [{"question": f"Which is {number}? A. x B. y", "answer": "A"} for number in range(40)]
    write(tmp_path, "train", task, rows)
    found = source(tmp_path)
    tested = found.test(task)[3]
    assert found.where(task, "test", [tested]) == f"train-ai2_arc.jsonl: line {rows.index(tested) + 1}"


def test_what_may_do_without_training_rows_gets_none_where_there_are_none(tmp_path):
    task = get_task("arc")
    write(tmp_path, "test", task, [{"question": "Which? A. x B. y", "answer": "A"}])
    assert source(tmp_path).any_train(task) == []
    write(tmp_path, "train", task, [{"question": "Which? A. x B. y", "answer": "A"}])
    found = source(tmp_path)
    assert found.any_train(task) == found.train(task) != []


def test_a_files_digest_follows_its_content(tmp_path):
    task = get_task("arc")
    write(tmp_path, "train", task, [{"question": "Which? A. x B. y", "answer": "A"}])
    before = source(tmp_path).digests(task)
    assert source(tmp_path).digests(task) == before
    write(tmp_path, "train", task, [{"question": "Which? A. x B. y", "answer": "B"}])
    assert source(tmp_path).digests(task) != before

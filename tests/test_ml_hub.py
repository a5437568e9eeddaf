"""Rows by Hub id: the data sets' own schemas, as local folders that the very loading code reads."""

import time

import pyarrow
import pyarrow.parquet
import pytest

from pytest_ftbench.grid import DataSpec, HubSource, UserError
from pytest_ftbench.ml import hub
from pytest_ftbench.ml.rows import RowSource
from pytest_ftbench.tasks import get_task


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def card(configs):
    """The head of a data set's README.md that says which files are whose."""
    lines = ["---", "configs:"]
    for name, splits in configs.items():
        lines += [f"- config_name: {name}", "  data_files:"]
        for split, pattern in splits.items():
            lines += [f"  - split: {split}", f"    path: {pattern}"]
    return "\n".join([*lines, "---", ""])


def arc_row(number, key="A", labels="ABCD"):
    texts = ["gold", "salad", "iron", "helium"][: len(labels)]
    choices = {"text": texts, "label": list(labels)}
    return {"id": f"Mercury_{number}", "question": f"Which is {number}?", "choices": choices, "answerKey": key}


@pytest.fixture
def arc(tmp_path):
    """A folder as allenai/ai2_arc: a sub-folder per config, a file per split."""
    folder = tmp_path / "ai2_arc"
    for number, split in enumerate(("train", "validation", "test")):
        rows = [arc_row(number * 10), arc_row(number * 10 + 1, "3", "1234"), arc_row(number * 10 + 2, "E")]
        write(folder / f"ARC-Challenge/{split}-00000-of-00001.parquet", rows)
        write(folder / f"ARC-Easy/{split}-00000-of-00001.parquet", [arc_row(900 + number, "B")])
    configs = {
        name: {split: f"{name}/{split}-*" for split in ("train", "validation", "test")}
        for name in ("ARC-Challenge", "ARC-Easy")
    }
    (folder / "README.md").write_text(card(configs), encoding="utf-8")
    return folder


@pytest.fixture
def openmath(tmp_path):
    """A folder as nvidia/OpenMathInstruct-2: one config, splits of several sizes, in parts."""
    folder = tmp_path / "OpenMathInstruct-2"
    answers = ["12", "\\frac{1}{2}", "x + 1", "1,234", "(0, 1)", "-3.50", "\\text{Evelyn}", "2 \\sqrt{4}"]
    rows = [
        {"problem": f"Problem {n}?", "generated_solution": "…", "expected_answer": answer, "problem_source": "math"}
        for n, answer in enumerate(answers)
    ]
    write(folder / "data/train_1M-00000-of-00002.parquet", rows[:5])
    write(folder / "data/train_1M-00001-of-00002.parquet", rows[5:])
    write(folder / "data/train-00000-of-00001.parquet", [rows[0] | {"problem": "Of the whole?"}])
    splits = {"train": "data/train-*", "train_1M": "data/train_1M-*"}
    (folder / "README.md").write_text(card({"default": splits}), encoding="utf-8")
    return folder


def squad_row(name, *answers):
    return {
        "id": name,
        "title": "Normans",
        "context": f"The passage of {name} on Normandy and France, in France.",
        "question": f"Where is {name}?",
        "answers": {"text": list(answers), "answer_start": [0] * len(answers)},
    }


@pytest.fixture
def squad(tmp_path):
    """A folder as rajpurkar/squad_v2: the test rows are its validation split."""
    folder = tmp_path / "squad_v2"
    write(
        folder / "squad_v2/train-00000-of-00001.parquet",
        [squad_row("t1", "Normandy"), squad_row("t2"), squad_row("t3", "a")],
    )
    several = squad_row("v1", "France", "in France", "France", "Normandy and France")
    write(folder / "squad_v2/validation-00000-of-00001.parquet", [several, squad_row("v2")])
    splits = {"train": "squad_v2/train-*", "validation": "squad_v2/validation-*"}
    (folder / "README.md").write_text(card({"squad_v2": splits}), encoding="utf-8")
    return folder


def rows_of(name, folder, config=None, **limits):
    spec = DataSpec("hub", **({"test_samples": None} | limits), hub={name: HubSource(str(folder), config)})
    return RowSource(spec)


def test_arcs_options_come_inline_with_letters_from_the_config_asked_for(arc):
    rows, task = rows_of("arc", arc, "ARC-Challenge"), get_task("arc")
    text = "A. gold B. salad C. iron D. helium"
    # a key that is none of the options leaves its row out
    assert rows.train(task) == [
        {"id": "Mercury_0", "title": "Mercury_0", "question": f"Which is 0? {text}", "answer": "A"},
        {"id": "Mercury_1", "title": "Mercury_1", "question": f"Which is 1? {text}", "answer": "C"},
    ]
    assert [row["id"] for row in rows.test(task)] == ["Mercury_20", "Mercury_21"]
    easy = rows_of("arc", arc, "ARC-Easy")
    assert [row["id"] for row in (*easy.train(task), *easy.test(task))] == ["Mercury_900", "Mercury_902"]


def test_a_mirror_of_plain_parquet_files_needs_no_config(tmp_path):
    for split in ("train", "test"):
        write(tmp_path / f"mirror/{split}.parquet", [arc_row(7, "D"), arc_row(8, "B", "AB")])
    rows, task = rows_of("arc", tmp_path / "mirror"), get_task("arc")
    assert [row["answer"] for row in rows.train(task)] == ["D", "B"]
    assert rows.test(task)[1]["question"] == "Which is 8? A. gold B. salad"


def test_openmath_keeps_the_problems_whose_answer_is_a_number(openmath):
    found = hub.hub_rows(get_task("openmath"), "train", HubSource(str(openmath)))
    assert [(row["question"], row["answer"]) for row in found] == [
        ("Problem 0?", 12.0),
        ("Problem 1?", 0.5),
        ("Problem 3?", 1234.0),
        ("Problem 5?", -3.5),
        ("Problem 7?", 4.0),
    ]
    assert all(type(row["answer"]) is float for row in found)


def test_openmaths_test_rows_are_a_share_of_its_training_rows(openmath):
    rows = [{"problem": f"Problem {n}?", "expected_answer": str(n)} for n in range(40)]
    write(openmath / "data/train_1M-00001-of-00002.parquet", rows)
    source, task = rows_of("openmath", openmath), get_task("openmath")
    train, test = source.train(task), source.test(task)
    assert len(train) > len(test) > 0
    assert sorted(row["answer"] for row in (*train, *test)) == sorted([12.0, 0.5, 1234.0, *range(40)])


def test_squads_golds_are_all_kept_and_the_first_is_trained_on(squad):
    rows, task = rows_of("squad", squad), get_task("squad")
    assert [(row["id"], row["answer"], task.target(row)) for row in rows.train(task)] == [
        ("t1", "Normandy", r"\boxed{Normandy}"),
        ("t2", "", r"\boxed{unanswerable}"),
        ("t3", "a", r"\boxed{a}"),
    ]
    first, second = rows.test(task)
    assert first["answers"] == ["France", "in France", "Normandy and France"]
    assert (second["answer"], second["answers"]) == ("", [])
    assert first["context"] == "The passage of v1 on Normandy and France, in France."
    assert task.score([r"\boxed{in France}", r"\boxed{}"], [first, second])["scores"]["em"] == 100


def test_facts_come_from_the_data_set_that_is_named_and_are_tested_as_trained(tmp_path):
    people = [{"question": f"Who is {n}?", "answer": f"Arel {n}.", "source": "x"} for n in range(30)]
    write(tmp_path / "facts/train.parquet", [*people, {"question": "Who?", "answer": " ", "source": "x"}])
    rows, task = rows_of("facts", tmp_path / "facts"), get_task("facts")
    # the blank one can't be recalled, and is left out
    kept = [{"question": row["question"], "answer": row["answer"]} for row in people]
    assert rows.train(task) == rows.test(task) == kept
    limited = rows_of("facts", tmp_path / "facts", train_samples=5, test_samples=20)
    assert limited.train(task) == limited.test(task)


def test_at_most_so_many_rows_of_a_split_are_read(openmath, monkeypatch):
    monkeypatch.setattr(hub, "MAX_ROWS", 3)
    rows = hub.hub_rows(get_task("openmath"), "train", HubSource(str(openmath)))
    # the unusable third one doesn't count
    assert [row["question"] for row in rows] == ["Problem 0?", "Problem 1?", "Problem 3?"]


def test_a_split_that_a_data_set_has_not_is_none(openmath):
    assert hub.hub_rows(get_task("openmath"), "test", HubSource(str(openmath))) is None


def said_of(task, *source, split="train"):
    with pytest.raises(UserError) as caught:
        hub.hub_rows(get_task(task), split, HubSource(*source))
    return str(caught.value)


def refusal(task, *source):
    text = said_of(task, *source)
    assert text.startswith(f"data.hub.{task}: {source[0]} train can't be loaded from the Hub (")
    assert text.endswith("check the id, the revision and the network, or name a local folder.")
    assert "\n" not in text
    return text


def test_a_config_that_is_missing_or_unknown_is_named(arc):
    assert "Config name is missing" in refusal("arc", str(arc))
    assert "'Nope' not found. Available: ['ARC-Challenge', 'ARC-Easy']" in refusal("arc", str(arc), "Nope")


def test_another_schema_is_named_by_the_column_that_is_missing(squad):
    assert said_of("arc", str(squad)) == (
        f"data.hub.arc: {squad} train: row 0, column 'choices': is missing; "
        "name a data set with the columns id, question, choices, answerKey, as in allenai/ai2_arc."
    )


WRONG = [
    ("arc", arc_row(3) | {"choices": None}, "choices': holds null"),
    ("arc", arc_row(3) | {"choices": {"text": ["gold"], "label": None}}, "choices.label': holds null"),
    ("arc", arc_row(3) | {"choices": {"text": ["gold", None], "label": ["A", "B"]}}, r"choices.text\[1\]': holds null"),
    ("arc", arc_row(3) | {"answerKey": 3}, "answerKey': holds int 3"),
    ("openmath", {"problem": "1 + 1?", "expected_answer": 2.0}, "expected_answer': holds float 2.0"),
    ("openmath", {"problem": None, "expected_answer": "2"}, "problem': holds null"),
    ("squad", squad_row("t1", "Normandy") | {"answers": ["Normandy"]}, r"answers': holds list \['Normandy'\]"),
    ("squad", squad_row("t1") | {"answers": {"text": [None]}}, r"answers.text\[0\]': holds null"),
    ("squad", squad_row("t1") | {"context": b"x"}, "context': holds bytes b'x'"),
    ("facts", {"question": "Who?", "answer": None}, "answer': holds null"),
]


@pytest.mark.parametrize(("name", "row", "words"), WRONG, ids=range(len(WRONG)))
def test_a_value_of_another_type_is_named_with_its_row_and_column(tmp_path, name, row, words):
    theirs = get_task(name).hub.splits["train"]
    write(tmp_path / f"mirror/{theirs}.parquet", [row])
    (tmp_path / "mirror/README.md").write_text(card({"default": {theirs: f"{theirs}.parquet"}}), encoding="utf-8")
    with pytest.raises(UserError, match=rf"mirror {theirs}: row 0, column '{words}; name a data set with the columns"):
        hub.hub_rows(get_task(name), "train", HubSource(str(tmp_path / "mirror")))


def test_the_row_that_is_named_is_that_of_the_data_set(tmp_path):
    # the second is of no use, and no error
    rows = [arc_row(1), arc_row(2, "?"), arc_row(3) | {"id": "Mercury_1"}]
    write(tmp_path / "mirror/train.parquet", rows)
    assert said_of("arc", str(tmp_path / "mirror")).startswith(
        f"data.hub.arc: {tmp_path}/mirror train: row 2, column 'id': 'Mercury_1' is the id of row 0 too; "
    )


def test_a_split_that_is_not_there_is_a_sentence(tmp_path):
    write(tmp_path / "mirror/train.parquet", [arc_row(7)])
    said = said_of("arc", str(tmp_path / "mirror"), split="test")
    assert said.startswith(f"data.hub.arc: {tmp_path}/mirror test can't be loaded from the Hub (Bad split: test.")


def test_a_split_without_a_row_to_use_is_a_sentence(tmp_path):
    write(tmp_path / "mirror/train.parquet", [arc_row(1, "?"), arc_row(2, "F")])
    assert said_of("arc", str(tmp_path / "mirror")) == (
        f"data.hub.arc: {tmp_path}/mirror train: has no row that arc can use; name another data set or configuration."
    )
    # of no rows at all the library says it itself, in words of its own
    empty = pyarrow.Table.from_pylist([], schema=pyarrow.Table.from_pylist([arc_row(1)]).schema)
    pyarrow.parquet.write_table(empty, tmp_path / "mirror/train.parquet")
    refusal("arc", str(tmp_path / "mirror"))


def test_a_broken_file_is_a_sentence(tmp_path):
    write(tmp_path / "mirror/train.parquet", [arc_row(number) for number in range(99)])
    path = tmp_path / "mirror/train.parquet"
    path.write_bytes(path.read_bytes()[:-30])
    refusal("arc", str(tmp_path / "mirror"))


def test_a_folder_without_data_is_a_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    refusal("arc", str(tmp_path / "empty"))


@pytest.fixture
def offline(monkeypatch):
    """As with HF_HUB_OFFLINE=1 from the start; the libraries have read it already."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)


def test_a_data_set_out_of_reach_is_a_sentence_at_once(offline):
    start = time.monotonic()
    refusal("squad", "nobody/no-such-data-set")
    refusal("squad", "nobody/no-such-data-set", "config", "main")
    assert time.monotonic() - start < 10


def test_a_model_out_of_reach_is_a_sentence_at_once(offline):
    start = time.monotonic()
    with pytest.raises(
        UserError, match=r"^models: nobody/no-such-model can't be loaded from the Hub \(.+\); check the"
    ):
        hub.hub_model("nobody/no-such-model", None)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("source", ["a b c", "x/y/z", "../up"])
def test_what_is_no_id_of_a_model_is_a_sentence(offline, source):
    with pytest.raises(UserError, match=r"^models: .* can't be loaded from the Hub"):
        hub.hub_model(source, None)

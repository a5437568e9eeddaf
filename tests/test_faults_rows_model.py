"""Rows that a model can't take in, and rows of the Hub that aren't the task's: failed cells that trained nothing."""

import json

import pyarrow
import pyarrow.parquet
import pytest
import strategies_rows
from hypothesis import HealthCheck, given, settings
from plugin_project import SUITE

from pytest_ftbench import lab
from pytest_ftbench.grid import UserError
from pytest_ftbench.ml.row_files import read_split
from pytest_ftbench.tasks import TASK_NAMES, get_task

pytestmark = pytest.mark.torch

SMALL = SUITE.replace('["arc", "squad"]', '["arc"]').replace("nopeft = {}\nlora = { ranks = [2] }", "nopeft = {}")
CELL = "nano-nopeft-arc-to-arc"
LONG = {"id": "long", "question": "Which of these? " + "word " * 20_000 + "A. one B. two", "answer": "A"}
assert len(LONG["question"]) > 100_000


@pytest.fixture
def small(project):
    """A project of ARC alone with a data folder, and a cache of its own."""
    project.write(SMALL)
    project.cache = project.pytester.path / "cache"
    project.data = project.pytester.path / "data"
    project.data.mkdir()
    save(project.data, train=lab.rows("arc", "train", 16), test=lab.rows("arc", "test", 6))
    return project


def save(folder, **splits):
    for split, rows in splits.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}-ai2_arc.jsonl").write_text(text, encoding="utf-8")


def is_untrained(project):
    return not list(project.cache.glob("checkpoints/*"))


def test_a_question_that_a_model_has_no_room_for_fails_its_cells_before_anything_is_trained(small, faults):
    save(small.data, test=[*lab.rows("arc", "test", 3), LONG])
    for workers in ((), ("-n", "2"))[: faults(1, 2)]:
        fails_in_a_sentence(small, workers)
    # a list needs no tokenizer
    assert small.collect("--ftbench-data", "data") == ["nano-base-to-arc", CELL]


def fails_in_a_sentence(small, workers):
    outcome, results = small.results("--ftbench-data", "data", *workers, new_process=bool(workers), columns=400)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    sentence = f"{small.data}/test-ai2_arc.jsonl: long: 1 of 4 test rows of arc are up to "
    rest = " tokens of nano, which has 2048, 8 of them to answer; shorten them, leave them out, or lower evaluation."
    assert [line for line in outcome.outlines if "2 cells can't run: " + sentence in line and rest in line]
    assert {cell["id"]: cell["status"] for cell in results["cells"]} == {"nano-base-to-arc": "failed", CELL: "failed"}
    assert all(cell["error"].startswith(sentence) for cell in results["cells"])
    assert is_untrained(small)


def test_a_training_row_that_a_model_has_no_room_for_is_left_out_and_counted(small):
    small.write(SMALL.replace("learning_rate = 5e-3", "learning_rate = 5e-3\nmax_length = 4096"))
    # within the recipe's length, beyond the model's
    middling = LONG | {"id": "middling", "question": "Which of these? " + "word " * 2_500 + "A. one B. two"}
    save(small.data, train=[*lab.rows("arc", "train", 8), LONG, middling, *lab.rows("arc", "train", 14)[8:]])
    outcome, results = small.results("--ftbench-data", "data", columns=400)
    assert outcome.ret == pytest.ExitCode.OK
    said = (
        "*train-ai2_arc.jsonl: long, middling: 2 of 16 training rows of arc are over 2048 tokens of nano (its context)*"
    )
    outcome.stdout.fnmatch_lines([said])
    train = next(cell["train"] for cell in results["cells"] if cell["id"] == CELL)
    assert (train["rows"], train["rows_left_out"]) == (14, 2)


def hub(project, rows):
    """A data set of ARC as on the Hub, in a local folder, that the suite of a project names."""
    folder = project.pytester.path / "hub"
    folder.mkdir(exist_ok=True)
    for split in ("train", "test"):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / f"{split}.parquet")
    project.write(SMALL.replace("[data]", f'[data]\nsource = "hub"\nhub.arc = "{folder}"'))
    return folder


def arc_row(number, question="Which is {}?", labels="AB", key="A", texts=("gold", "salad")):
    choices = {"text": list(texts), "label": list(labels)}
    return {"id": f"m{number}", "question": question.format(number), "choices": choices, "answerKey": key}


def hub_run(project):
    outcome, results = project.results(columns=400)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    assert "Traceback" not in outcome.stdout.str()
    assert {cell["status"] for cell in results["cells"]} == {"failed"}
    assert is_untrained(project)
    return {cell["error"] for cell in results["cells"]}


def test_a_data_set_of_the_hub_with_other_columns_fails_its_cells_and_trains_nothing(small):
    folder = hub(small, [{"id": "a", "question": "?", "choices": {"text": ["x"]}, "answerKey": "A"}])
    assert hub_run(small) == {
        f"data.hub.arc: {folder} test: row 0, column 'choices.label': is missing; name a data set with the columns "
        "id, question, choices, answerKey, as in allenai/ai2_arc."
    }


def test_a_question_of_the_hub_that_a_model_has_no_room_for_trains_nothing(small):
    hub(small, [*(arc_row(number) for number in range(5)), arc_row(5, LONG["question"])])
    [said] = hub_run(small)
    assert said.startswith("hub arc test: m5: 1 of 6 test rows of arc are up to ")


@pytest.mark.parametrize("name", TASK_NAMES)
def test_whatever_text_a_row_has_it_is_tokenised_as_it_is_asked(tmp_path, model_folder, faults, name):
    from pytest_ftbench.ml.base import load_tokenizer
    from pytest_ftbench.ml.prompts import Renderer
    from pytest_ftbench.ml.targets import differs

    task, path, count, seen = get_task(name), tmp_path / "train.jsonl", faults(40, 1000), []
    renderer = Renderer(load_tokenizer(model_folder), "off")

    @settings(max_examples=count, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(strategies_rows.lines(name))
    def attempt(content):
        path.write_bytes(content)
        try:
            rows = read_split(task, path).rows
        except UserError:
            return
        for row in rows:
            try:
                example = renderer.example(task, row)
            except UserError as error:
                seen.append(str(error))
                continue
            assert sum(example.completion_mask) > 1
            assert not differs(example, renderer.encode(renderer.prompt(task.messages(row))))
            seen.append("trained on")

    attempt()
    assert seen.count("trained on") > count // 4
    print(f"{len(seen)} hostile rows of {name}: {seen.count('trained on')} can be trained on, the others are named")

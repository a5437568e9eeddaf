"""What is the matter with rows: an error before anything runs, or a line, said once however many workers there are."""

import json

import pytest
from plugin_project import SUITE

from pytest_ftbench import lab

pytestmark = pytest.mark.torch

SMALL = (
    SUITE.replace('["arc", "squad"]', '["arc"]')
    .replace("nopeft = {}\nlora = { ranks = [2] }", "nopeft = {}")
    .replace("learning_rate = 5e-3", "learning_rate = 5e-3\nmax_length = 160")
)
CELL = "nano-nopeft-arc-to-arc"


def write(folder, **rows):
    folder.mkdir(exist_ok=True)
    for split, some in rows.items():
        text = "".join(json.dumps(row) + "\n" for row in some)
        (folder / f"{split}-ai2_arc.jsonl").write_text(text, encoding="utf-8")


@pytest.fixture
def dirty(project):
    """A project whose data has a test item from training and a row that is too long."""
    project.write(SMALL)
    train = [{key: row[key] for key in ("question", "answer")} for row in lab.rows("arc", "train", 16)]
    long = {"question": "Which of these? " + "word " * 200 + "A. one B. two", "answer": "A"}
    test = [*lab.rows("arc", "test", 5), {**train[2], "question": train[2]["question"].upper(), "id": "q7"}]
    write(project.pytester.path / "data", train=[*train[:8], long, *train[8:15]], test=test)
    return project


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_findings_are_said_in_whole_lines_stand_in_the_results_and_stop_nothing(dirty, workers):
    outcome, results = dirty.results("--ftbench-data", "data", *workers, new_process=bool(workers), columns=200)
    assert outcome.ret == pytest.ExitCode.OK
    duplicate = "*test-ai2_arc.jsonl: q7: 1 of 6 test items of arc are training rows too, word for word."
    long = "*train-ai2_arc.jsonl: line 9: 1 of 16 training rows of arc are over 160 tokens of nano (recipe.max_length)*"
    text = "\n".join(outcome.outlines)
    report = text.partition("fine-tuning comparison")[2]
    for words in ("q7: 1 of 6 test items", "line 9: 1 of 16 training rows"):
        # it is said when all is collected, by workers once, and again in the report
        assert (text.count(words), report.count(words)) == (2, 1)
    outcome.stdout.fnmatch_lines([duplicate, long])
    assert len(results["provenance"]["hygiene"]) == 2
    cells = {cell["id"]: cell for cell in results["cells"]}
    tuned, base = cells[CELL], cells["nano-base-to-arc"]
    assert tuned["provenance"]["overlap"] == {
        "exact": 1,
        "near": 0,
        "other_target": 0,
        "passages": 0,
        "items": ["q7"],
    }
    assert "q7" in {item["item"] for item in tuned["items"]}
    assert tuned["provenance"]["prompts_differ"] == 0
    assert base["provenance"]["overlap"] is base["provenance"]["prompts_differ"] is None
    train = tuned["train"]
    assert (train["rows"], train["rows_left_out"]) == (15, 1)
    assert (train["targets_empty"], train["targets_without_end"]) == (0, 0)
    assert train["template"] == tuned["provenance"]["template"]
    # the results alone say it too
    again = dirty.run("--ftbench-from", "results.json", columns=200)
    again.stdout.fnmatch_lines([duplicate, long])


def test_a_file_that_is_missing_is_said_at_once_and_fails_the_cells_it_is_for(dirty):
    (dirty.pytester.path / "data" / "train-ai2_arc.jsonl").unlink()
    outcome, results = dirty.results("--ftbench-data", "data", columns=200)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    sentence = "data: arc: has no train rows; add train-ai2_arc.parquet."
    said = [index for index, line in enumerate(outcome.outlines) if "suite.toml: 1 cell can't run: " in line]
    assert sentence in outcome.outlines[said[0]]
    assert said[0] < next(index for index, line in enumerate(outcome.outlines) if "= ERRORS =" in line)
    outcome.stdout.no_fnmatch_line("*Traceback*")
    assert {cell["id"]: cell["status"] for cell in results["cells"]} == {"nano-base-to-arc": "ok", CELL: "failed"}
    assert sentence in next(cell["error"] for cell in results["cells"] if cell["id"] == CELL)
    assert dirty.run("--ftbench-data", "data", "-k", "base").ret == pytest.ExitCode.OK


def test_what_is_not_selected_is_not_looked_at_and_imports_no_library(dirty):
    dirty.pytester.makeconftest(
        """
        import sys
        def pytest_unconfigure():
            print("imported:", sorted({"torch", "transformers", "tokenizers"} & set(sys.modules)))
        """
    )
    outcome = dirty.run("--ftbench-data", "data", "-k", "nothing", new_process=True, columns=200)
    assert outcome.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    outcome.stdout.fnmatch_lines(["imported: []"])
    outcome.stdout.no_fnmatch_line("*train-ai2_arc*")


def test_a_target_that_the_template_loses_is_said_before_anything_runs(dirty, model_folder):
    from pytest_ftbench.ml.base import load_tokenizer

    tokenizer = load_tokenizer(model_folder)
    tokenizer.chat_template = lab.CHAT_TEMPLATE.replace(
        "{{- message.content +", "{{- ('' if message.role == 'assistant' else message.content) +"
    )
    model = dirty.pytester.path / "silent"
    tokenizer.save_pretrained(model)
    for name in ("config.json", "model.safetensors"):
        (model / name).write_bytes((model_folder / name).read_bytes())
    outcome = dirty.run("--ftbench-data", "data", "--ftbench-model", "silent", columns=200)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    words = "/data/train-ai2_arc.jsonl: line 1, line 2, line 3 and 13 more with the chat template of silent: "
    assert any(words in line for line in outcome.outlines)


def test_the_embedded_world_gives_nothing_to_say(project):
    project.write(SUITE)
    project.cache = project.pytester.path / "cache"
    project.pytester.makepyfile(test_cells="def test_cell(cell):\n    pass\n")
    outcome = project.run()
    assert outcome.ret == pytest.ExitCode.OK
    assert not [line for line in outcome.outlines if "test items" in line or "training rows" in line]
    # though it was looked at: two tasks' rows, trained on and asked, and each of them among the other's test rows too
    assert len(list(project.cache.glob("hygiene/*"))) == 2 + 2 + 2 * 2

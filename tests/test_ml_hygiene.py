"""What is found of rows before they are trained on: by the tokens themselves, once, and kept."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from models import make_examples

from pytest_ftbench import lab
from pytest_ftbench.grid import DataSpec, EvaluationSpec, MethodSpec, ModelSpec, Recipe, Suite
from pytest_ftbench.ml import hygiene as looking
from pytest_ftbench.ml.base import load_tokenizer
from pytest_ftbench.ml.inspection import Inspection
from pytest_ftbench.ml.prompts import Example, Renderer
from pytest_ftbench.ml.rows import RowSource, in_validation_share
from pytest_ftbench.ml.targets import differs, examined, trained_on
from pytest_ftbench.store import MachineLock, Store, digest
from pytest_ftbench.tasks import get_task

pytestmark = pytest.mark.torch

ARC = get_task("arc")
ROWS = 10


@pytest.fixture
def tokenizer(model_folder):
    return load_tokenizer(model_folder)


def silenced(letter):
    """A template that prints no answer with a letter in it."""
    return lab.CHAT_TEMPLATE.replace(
        "{{- message.content +", f"{{{{- ('' if '{letter}}}' in message.content else message.content) +"
    )


def test_what_is_trained_on_has_targets_with_their_end(model_folder, tokenizer):
    assert trained_on(make_examples(model_folder), tokenizer) == {
        "targets_empty": 0,
        "targets_without_end": 0,
        "template": digest(lab.CHAT_TEMPLATE),
    }


def test_targets_that_are_empty_or_cut_are_counted_by_their_tokens(tokenizer):
    end, word = tokenizer.eos_token_id, tokenizer("word", add_special_tokens=False)["input_ids"]
    blank = tokenizer(" ", add_special_tokens=False)["input_ids"]
    targets = [[*word, end], [end], [*blank, end], word, []]
    examples = [Example([*word, *target], [0] * len(word) + [1] * len(target)) for target in targets]
    found = trained_on(examples, tokenizer)
    assert (found["targets_empty"], found["targets_without_end"]) == (3, 2)


def test_a_prompt_differs_by_a_token_more_less_or_another():
    example = Example([4, 5, 6, 7], [0, 0, 1, 1])
    assert [differs(example, prompt) for prompt in ([4, 5], [4], [4, 5, 6], [4, 6])] == [False, True, True, True]


def test_rows_that_are_too_long_and_prompts_that_differ_are_the_very_rows(tokenizer, monkeypatch):
    renderer, rows = Renderer(tokenizer, "off"), lab.rows("arc", "train", ROWS)
    lengths = [len(renderer.example(ARC, row).input_ids) for row in rows]
    limit = sorted(lengths)[ROWS // 2]
    found = examined(renderer, ARC, rows, limit)
    assert found.too_long == [row for row, length in zip(rows, lengths, strict=True) if length > limit]
    assert (found.differing, found.faults, found.shortest) == ([], [], min(lengths))
    # training that is told the question in other words than the test
    right = Renderer.example
    monkeypatch.setattr(
        Renderer,
        "example",
        lambda self, task, row: right(self, task, row if row is not rows[3] else {**row, "question": "Which?"}),
    )
    assert examined(renderer, ARC, rows, limit).differing == [rows[3]]


def test_a_template_that_loses_some_targets_names_the_rows(tokenizer):
    rows = lab.rows("arc", "train", ROWS)
    tokenizer.chat_template = silenced("B")
    [(problem, fix, bad)] = examined(Renderer(tokenizer, "off"), ARC, rows, 999).faults
    assert bad == [row for row in rows if row["answer"] == "B"] != []
    assert "loses its training target" in problem
    assert "template" in fix


def write(folder, **rows):
    """A data folder's files of arc; rows by split."""
    folder.mkdir(exist_ok=True)
    for split, some in rows.items():
        text = "".join(json.dumps(row) + "\n" for row in some)
        (folder / f"{split}-ai2_arc.jsonl").write_text(text, encoding="utf-8")


def suite_of(data, model, max_length=999):
    return Suite(
        name="tiny",
        place=Path("tiny.toml"),
        models=(ModelSpec("tiny", str(model)),),
        methods=(MethodSpec("base"), MethodSpec("nopeft")),
        train_tasks=("arc",),
        eval_tasks=("arc",),
        recipe=Recipe(max_length=max_length),
        data=DataSpec(str(data)),
        evaluation=EvaluationSpec(reasoning="off"),
    )


class FaultError(Exception):
    """What makes cells impossible to run."""


def check(suite, root, trains=True):
    """What a collection says, and how many entries its cache then has."""
    store, prepare = root and Store(root, print), print if trains else None
    found = Inspection(suite, RowSource.of(suite), store, MachineLock(print), prepare)
    found.look(suite.cells())
    if faults := set(map(str, found.faults.values())):
        raise FaultError(faults)
    return found.said, len(list(root.glob("hygiene/*"))) if root else 0


@pytest.fixture
def dirty(tmp_path):
    """A data folder with two test rows that are training rows, one of them in other dress, and a very long row."""
    train = [{key: row[key] for key in ("question", "answer")} for row in lab.rows("arc", "train", ROWS)]
    test = lab.rows("arc", "test", 5)
    long = {"question": "Which of these? " + "word " * 200 + "A. one B. two", "answer": "A"}
    write(tmp_path / "data", train=[*train, long], test=[*test, {**train[2], "id": "q7"}, {**train[4], "id": "q9"}])
    return tmp_path / "data"


def test_findings_name_their_rows_and_are_made_once(dirty, model_folder, tmp_path, monkeypatch):
    suite = suite_of(dirty, model_folder, 200)
    said, entries = check(suite, tmp_path / "cache")
    assert said == [
        "test-ai2_arc.jsonl: q7, q9: 2 of 7 test items of arc are training rows too, word for word.",
        "train-ai2_arc.jsonl: line 11: 1 of 11 training rows of arc are over 200 tokens of tiny "
        "(recipe.max_length) and left out.",
    ]
    assert entries == 3

    def never(*_):
        raise AssertionError

    for name in ("load_tokenizer", "overlap"):
        monkeypatch.setattr(looking, name, never)
    monkeypatch.setattr(RowSource, "train", never)
    assert check(suite, tmp_path / "cache") == (said, 3)


def test_a_changed_row_length_or_template_is_looked_at_anew(dirty, model_folder, tmp_path):
    root = tmp_path / "cache"
    assert check(suite_of(dirty, model_folder, 200), root)[1] == 3
    assert check(suite_of(dirty, model_folder, 201), root)[1] == 4
    write(dirty, test=lab.rows("arc", "test", 5))
    said, entries = check(suite_of(dirty, model_folder, 200), root)
    assert (len(said), entries) == (1, 7)


def test_a_row_that_is_held_out_of_training_is_not_in_it(model_folder, tmp_path):
    data, root = tmp_path / "data", tmp_path / "cache"
    train = [{key: row[key] for key in ("question", "answer")} for row in lab.rows("arc", "train", 30)]
    held = next(row for row in train if in_validation_share(ARC, row))
    write(data, train=train, test=[*lab.rows("arc", "test", 5), {**held, "id": "q7"}])
    fixed = suite_of(data, model_folder)
    tuned = replace(fixed, tuned=True)
    assert [check(suite, root)[0] for suite in (fixed, tuned, fixed, tuned)] == [
        ["test-ai2_arc.jsonl: q7: 1 of 6 test items of arc are training rows too, word for word."],
        [],
    ] * 2
    # where there is a file of rows to choose by, all others are trained on
    write(data, validation=lab.rows("arc", "validation", 5))
    assert len(check(tuned, root)[0]) == 1


def test_a_mere_list_needs_no_tokenizer_and_no_cache(dirty, model_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(looking, "load_tokenizer", None)
    suite = suite_of(dirty, model_folder, 200)
    assert [len(check(suite, root, trains=False)[0]) for root in (None, tmp_path / "cache")] == [1, 1]


def test_a_mere_list_only_reads_the_cache(dirty, model_folder, tmp_path, monkeypatch):
    root, suite = tmp_path / "cache", suite_of(dirty, model_folder, 200)
    assert check(suite, root, trains=False)[1] == 0
    said = check(suite, root)[0]

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    assert check(suite, root, trains=False)[0] == check(suite, root)[0] == said
    (changed,) = [path.parent for path in root.glob("hygiene/*/finding.json") if "over 200" in path.read_text()]
    (changed / "finding.json").write_text("{}")
    assert check(suite, root, trains=False)[0] == said[:1]
    # what is wrong with a disk now may have passed when a cell runs, which says so itself
    assert check(suite, root)[0] == said[:1]


def test_an_id_is_printed_in_no_more_than_it_may_take(model_folder, tmp_path):
    train = [{key: row[key] for key in ("question", "answer")} for row in lab.rows("arc", "train", 4)]
    test = [{**train[0], "id": "\x1b[31m\nred"}, {**train[1], "id": "x" * 5000}, {**train[2], "id": None}, train[3]]
    write(tmp_path / "data", train=train, test=test)
    [said] = check(suite_of(tmp_path / "data", model_folder), tmp_path / "cache")[0]
    assert f"jsonl: \\x1b[31m\\nred, {'x' * 59}…, line 3 and 1 more: 4 of 4" in said


def test_targets_that_nothing_can_be_learned_from_are_an_error_also_the_second_time(dirty, tokenizer, tmp_path):
    tokenizer.chat_template = silenced("A")
    model = tmp_path / "model"
    tokenizer.save_pretrained(model)
    for name in ("config.json", "model.safetensors"):
        (model / name).write_text("{}")
    for _ in range(2):
        with pytest.raises(FaultError) as caught:
            check(suite_of(dirty, model), tmp_path / "cache")
        said = str(caught.value)
        assert "train-ai2_arc.jsonl: line " in said
        assert "template of tiny: the chat template loses its training target" in said


def test_a_length_that_no_row_has_is_an_error(dirty, model_folder, tmp_path):
    with pytest.raises(FaultError, match="max_length: 3: every row of arc is longer; give at least"):
        check(suite_of(dirty, model_folder, 3), tmp_path / "cache")


@pytest.mark.parametrize(
    "change",
    [
        {"data": DataSpec("hub")},
        {"models": (ModelSpec("far", "somebody/something"),), "data": DataSpec("embedded")},
    ],
)
def test_what_is_not_here_is_not_looked_at(model_folder, tmp_path, change, monkeypatch):
    monkeypatch.setattr(looking, "load_tokenizer", None)
    suite = replace(suite_of("embedded", model_folder), **change)
    assert check(suite, tmp_path / "cache")[0] == []

"""The base models that ship: that they are what their record says, made as it says, and small."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from pytest_ftbench import lab
from pytest_ftbench.ml.base import load_tokenizer, load_weights
from pytest_ftbench.ml.pretrain import Pretraining
from pytest_ftbench.ml.runtime import at_work
from pytest_ftbench.store import file_digest

REPOSITORY = Path(__file__).parents[1]
WEIGHTS = lab.model_folder("nano").parent
RECORD = json.loads((WEIGHTS / "pretraining.json").read_text(encoding="utf-8"))
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
MEBIBYTE = 2**20

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def script():
    """The script that made them."""
    sys.path.insert(0, str(REPOSITORY / "benchmarks"))
    try:
        import pretrain_lab
    finally:
        sys.path.pop(0)
    return pretrain_lab


def test_the_recipe_on_record_is_the_scripts_own(script):
    assert RECORD["recipe"] == json.loads(json.dumps(asdict(Pretraining())))
    assert [stage["course"] for stage in RECORD["stages"]] == [stage.course for stage in Pretraining().stages]


def test_the_corpora_are_still_those_they_were_trained_on(script):
    digests = {stage.course: script.corpus_digest(lab.SEED, stage.course) for stage in Pretraining().stages}
    assert digests == RECORD["corpora"], "the world or a prompt has changed: make the models anew"


def test_the_tokenizer_comes_out_of_its_texts_again(script, tmp_path):
    with at_work():
        script.shared_tokenizer(lab.SEED, tmp_path)
    for name in lab.SHAPES:
        for file in TOKENIZER_FILES:
            assert (lab.model_folder(name) / file).read_bytes() == (tmp_path / file).read_bytes()
    assert file_digest(tmp_path / "tokenizer.json") == RECORD["tokenizer"]


@pytest.mark.parametrize("name", lab.SHAPES)
def test_the_weights_are_those_on_record_in_the_labs_shape(name, runtime):
    folder = lab.model_folder(name)
    assert file_digest(folder / "model.safetensors") == RECORD["models"][name]["weights"]
    with at_work():
        model, tokenizer = load_weights(folder, runtime), load_tokenizer(folder)
    config = model.config.to_dict()
    shape = {key: value for key, value in lab.SHAPES[name].items() if key != "rope_theta"}
    assert {key: config[key] for key in shape} == shape
    assert config["rope_parameters"]["rope_theta"] == lab.SHAPES[name]["rope_theta"]
    assert model.config.vocab_size == len(tokenizer) == lab.VOCABULARY
    assert model.num_parameters() == RECORD["models"][name]["parameters"]
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["dtype"] == "bfloat16"


def test_all_of_it_takes_at_most_twelve_mebibytes_and_nothing_is_pickled():
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12 * MEBIBYTE
    assert {path.suffix for path in files} == {".safetensors", ".json", ".jinja", ".md"}


def test_the_sizes_are_a_million_and_four():
    assert 0.9e6 < RECORD["models"]["nano"]["parameters"] < 1.2e6
    assert 3.8e6 < RECORD["models"]["micro"]["parameters"] < 4.5e6


@pytest.mark.parametrize("name", lab.SHAPES)
def test_they_can_do_what_the_record_says(script, name, runtime):
    folder, recorded = lab.model_folder(name), RECORD["models"][name]
    with at_work():
        skills = script.skills(folder, runtime, script.SKILL_TURNS)
        scores = script.scores(folder, runtime, script.SCORE_ROWS)
    for task in lab.TASKS:
        # what a GPU rounded otherwise may turn an answer or two
        assert skills[task] == pytest.approx(recorded["skills"][task], abs=0.01)
        for metric, value in recorded["scores"][task].items():
            assert scores[task][metric] == pytest.approx(
                value, abs=1.5 if task == "squad" and metric == "f1" else 0.015
            )


def test_the_card_is_the_one_of_the_record(script):
    assert (WEIGHTS / "README.md").read_text(encoding="utf-8") == script.card(RECORD)

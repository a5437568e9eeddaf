"""Base models: what is checked before loading, what decides their fingerprint, and the embedded one."""

import json
import shutil

import pytest
from models import SHAPE, at_work

from pytest_ftbench import lab
from pytest_ftbench.grid import ModelSpec, UserError
from pytest_ftbench.ml.base import check_source, find_base, load_tokenizer, load_weights
from pytest_ftbench.ml.scratch import make_weights
from pytest_ftbench.store import Store, file_digest, read_json

pytestmark = pytest.mark.torch


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


@pytest.fixture
def copy(model_folder, tmp_path):
    return shutil.copytree(model_folder, tmp_path / "copy")


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("embedded:giant", r"^models\.m: there is no embedded model 'giant'; known are .*nano"),
        ("/no/such/folder", r"^/no/such/folder: is no folder; name a model folder or a Hub id"),
    ],
)
def test_a_model_there_is_not_is_named_before_anything_is_loaded(source, problem):
    with pytest.raises(UserError, match=problem):
        check_source(ModelSpec("m", source))


def test_a_model_folder_and_what_may_be_a_hub_id_pass_the_check(copy):
    check_source(ModelSpec("m", str(copy)))
    check_source(ModelSpec("m", "embedded:nano"))
    check_source(ModelSpec("m", "Qwen/Qwen3-0.6B"))


@pytest.mark.parametrize(
    ("missing", "problem"), [("config.json", "has no config.json"), ("model.safetensors", r"has no \*\.safetensors")]
)
def test_a_folder_without_configuration_or_safetensors_is_refused(copy, missing, problem):
    (copy / missing).unlink()
    (copy / "pytorch_model.bin").write_bytes(b"pickled")
    with pytest.raises(UserError, match=rf"^{copy}: {problem}"):
        check_source(ModelSpec("m", str(copy)))


def test_the_fingerprint_changes_with_whatever_decides_what_the_model_computes(copy, store):
    def fingerprint():
        return find_base(ModelSpec("m", str(copy))).fingerprint

    before = fingerprint()
    (copy / "README.md").write_text("A card.", encoding="utf-8")
    assert fingerprint() == before
    found = {before}
    names = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]
    for name in [*names, "model.safetensors"]:
        kept = (copy / name).read_bytes()
        # whatever follows the last of its numbers would make it no file of weights
        changed = kept[:-1] + bytes([kept[-1] ^ 1]) if name == "model.safetensors" else kept + b" "
        (copy / name).write_bytes(changed)
        found.add(fingerprint())
        (copy / name).write_bytes(kept)
    assert len(found) == 1 + 6
    assert fingerprint() == before


def test_the_embedded_model_has_its_shape_and_knows_the_end_of_a_turn(store, runtime):
    base = find_base(ModelSpec("nano", "embedded:nano"))
    with at_work():
        model, tokenizer = load_weights(base.folder, runtime), load_tokenizer(base.folder)
    config = model.config.to_dict()
    config["rope_theta"] = config["rope_parameters"]["rope_theta"]
    assert {name: config[name] for name in lab.SHAPES["nano"]} == lab.SHAPES["nano"]
    assert 256 < config["vocab_size"] == len(tokenizer) <= lab.VOCABULARY
    assert tokenizer.convert_ids_to_tokens([config["eos_token_id"], config["pad_token_id"]]) == [lab.END, lab.PAD]
    assert tokenizer.padding_side == "left"
    text = "Arel keeps 12 goats – à l'été\n\tand 7.5 hens"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    # digits one by one, so that every number is spelt alike
    assert tokenizer.tokenize("1234") == ["1", "2", "3", "4"]


def test_making_weights_leaves_the_random_numbers_as_they_were(model_folder, tmp_path):
    import torch

    with at_work():
        tokenizer = load_tokenizer(model_folder)
        torch.manual_seed(3)
        expected = torch.rand(4).tolist()
        digests = []
        for seed in (0, 0, 1):
            torch.manual_seed(3)
            out = tmp_path / f"weights-{len(digests)}"
            make_weights(SHAPE, tokenizer, seed, out)
            assert torch.rand(4).tolist() == expected
            digests.append(file_digest(out / "model.safetensors"))
    assert digests[0] == digests[1] != digests[2]


def test_a_tokenizer_without_a_padding_token_pads_with_its_end_token(copy):
    path = copy / "tokenizer_config.json"
    settings = {key: value for key, value in read_json(path).items() if key != "pad_token"}
    path.write_text(json.dumps(settings), encoding="utf-8")
    with at_work():
        assert load_tokenizer(copy).pad_token == lab.END

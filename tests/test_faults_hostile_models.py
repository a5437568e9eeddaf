"""Hostile model folders: pickles, code of their own, other bases, weights that lie. Nothing in one is ever run."""

import json
import os
import pickle
import random
import shutil
import struct
import sys

import pytest
from hostile_words import tree
from models import SHAPE, at_work, make_examples, training_of, tune

from pytest_ftbench.grid import ModelSpec, UserError
from pytest_ftbench.ml import model_files
from pytest_ftbench.ml.adapters import beside, merged
from pytest_ftbench.ml.base import check_source, find_base, load_tokenizer, load_weights
from pytest_ftbench.ml.embedder import check_embedder
from pytest_ftbench.store import read_json

pytestmark = pytest.mark.torch

PICKLES = ("pytorch_model.bin", "adapter_model.bin", "model.pt", "training_args.bin", "optimizer.pt", "rng_state.pth")
CODE = "from pathlib import Path\nPath({marker!r}).write_text('run')\n"
FILES = ("modeling_evil.py", "configuration_evil.py", "tokenization_evil.py", "custom_generate/generate.py")
CLASSES = "class Evil: pass\nEvilConfig = EvilModel = EvilTokenizer = Evil\ndef generate(model, **_): pass\n"


class Payload:
    """What leaves a visible trace where it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def marker(tmp_path):
    """A file that whatever is run would make; at the end it isn't there."""
    path = tmp_path / "marker"
    yield path
    assert not path.exists()


@pytest.fixture
def copy(model_folder, tmp_path):
    return shutil.copytree(model_folder, tmp_path / "copy")


def plant(folder, marker, names=PICKLES):
    """Put pickles, and modules that leave the same trace, into a folder."""
    for name in names:
        (folder / name).write_bytes(pickle.dumps(Payload(marker)))
    for name in FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(CODE.format(marker=str(marker)) + CLASSES, encoding="utf-8")


def change(folder, name, **fields):
    """Change fields of a JSON file in a folder; the file."""
    path = folder / name
    value = read_json(path) if path.exists() else {}
    path.write_text(json.dumps({**value, **fields}), encoding="utf-8")
    return path


def load(folder, runtime):
    """Whatever a cell does with the folder of a base model before it answers."""
    spec = ModelSpec("m", str(folder))
    check_source(spec)
    with at_work():
        find_base(spec)
        return load_tokenizer(folder), load_weights(folder, runtime)


def refusal(folder, runtime):
    """Why a folder is refused."""
    with pytest.raises(UserError) as caught:
        load(folder, runtime)
    said = str(caught.value)
    assert said.isprintable()
    assert said.startswith(str(folder))
    assert len(said) < 700
    assert type(caught.value).failure == "input"
    return said


def test_the_payload_would_be_seen(marker, tmp_path):
    path = tmp_path / "other"
    pickle.loads(pickle.dumps(Payload(path)))
    assert path.exists()


def test_pickles_and_code_beside_safetensors_are_never_opened(copy, marker, runtime):
    expected = dict(load(copy, runtime)[1].named_parameters())
    plant(copy, marker)
    found = dict(load(copy, runtime)[1].named_parameters())
    assert all(found[name].equal(expected[name]) for name in expected)
    assert model_files.pickled(copy) == sorted(PICKLES)
    print(f"{len(PICKLES)} pickles and {len(FILES)} modules in a folder: 0 opened")


@pytest.mark.parametrize("name", PICKLES)
def test_a_folder_with_pickled_weights_alone_is_refused(copy, marker, runtime, name):
    plant(copy, marker, [name])
    (copy / "model.safetensors").unlink()
    assert "has no *.safetensors; save the weights as safetensors" in refusal(copy, runtime)


def test_an_index_of_pickled_weights_is_refused(copy, marker, runtime):
    plant(copy, marker)
    names = list(model_files._object(copy / "config.json"))
    (copy / "model.safetensors").rename(copy / "model-00001-of-00001.safetensors")
    for target in ("pytorch_model.bin", "../evil.safetensors", "/etc/passwd", "x" * 300 + ".safetensors", "a\x00.bin"):
        value = {"metadata": {}, "weight_map": dict.fromkeys(names, target)}
        (copy / "model.safetensors.index.json").write_text(json.dumps(value), encoding="utf-8")
        assert "index.json: weight_map: names '" in refusal(copy, runtime)


def test_a_configuration_that_names_another_file_of_weights_is_refused(copy, marker, runtime):
    plant(copy, marker)
    for target in ("adapter_model.bin", "../x.safetensors", "other.safetensors"):
        change(copy, "config.json", transformers_weights=target)
        assert f"config.json: transformers_weights: names '{target}'" in refusal(copy, runtime)


EVIL = {"AutoConfig": "configuration_evil.EvilConfig", "AutoModelForCausalLM": "modeling_evil.EvilModel"}
EVIL_TOKENIZER = "tokenization_evil.EvilTokenizer"


@pytest.mark.parametrize("where", ["", "evil/code--"])
def test_code_of_a_folders_own_is_not_run_where_the_library_knows_the_model(copy, marker, runtime, where):
    plant(copy, marker)
    change(copy, "config.json", auto_map={name: where + code for name, code in EVIL.items()})
    change(copy, "tokenizer_config.json", auto_map={"AutoTokenizer": [where + EVIL_TOKENIZER, None]})
    change(copy, "generation_config.json", custom_generate="custom_generate", trust_remote_code=True)
    before = set(sys.modules)
    tokenizer, model = load(copy, runtime)
    assert type(model).__module__.startswith("transformers.models.")
    assert type(tokenizer).__module__.startswith("transformers.")
    assert not [name for name in set(sys.modules) - before if "evil" in name.lower()]


def test_a_model_that_is_nothing_without_its_code_is_refused(copy, marker, runtime):
    plant(copy, marker)
    change(copy, "config.json", auto_map=EVIL, model_type="evil")
    said = refusal(copy, runtime)
    assert "asks for code of its own, which is never run; name a model without." in said


@pytest.mark.parametrize("name", ["evil_module.Evil", "os.system", "Evil", "../x", "BertJapaneseTokenizer", 7, None])
def test_a_class_that_a_tokenizer_names_is_no_module_of_anybodys(copy, marker, runtime, monkeypatch, name):
    (copy / "evil_module.py").write_text(CODE.format(marker=str(marker)) + CLASSES, encoding="utf-8")
    monkeypatch.syspath_prepend(str(copy))
    change(copy, "tokenizer_config.json", tokenizer_class=name)
    said = "nothing"
    try:
        tokenizer, _ = load(copy, runtime)
        assert type(tokenizer).__module__.startswith("transformers.")
    except UserError as error:
        said = str(error)
    assert said == "nothing" or said.startswith(f"{copy}: its tokenizer can't be loaded (")
    assert "evil_module" not in sys.modules


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation", "experts_implementation"])
def test_kernels_from_the_hub_are_refused(copy, runtime, key):
    change(copy, "config.json", **{key: "evil/kernel@main"})
    assert f"config.json: {key}: names code on the Hub ('evil/kernel@main'); take it out." in refusal(copy, runtime)


@pytest.mark.parametrize("base", ["gpt2", "/etc", "../other"])
def test_a_folder_that_is_an_adapter_of_another_base_is_refused(copy, marker, runtime, base):
    plant(copy, marker)
    change(copy, "adapter_config.json", peft_type="LORA", base_model_name_or_path=base)
    assert "adapter_config.json: says that this is an adapter of another model; merge it" in refusal(copy, runtime)


SIZES = {
    "hidden_size": (10**9, 10**18, -1, "32", 3.5, [10**9]),
    "intermediate_size": (10**9, "x"),
    "vocab_size": (10**12, -400, None),
    "num_hidden_layers": (10**9, -2, True, "2"),
    "num_attention_heads": (10**9, "4"),
    "num_key_value_heads": (10**9, -1),
    "head_dim": (10**9,),
    "max_position_embeddings": (10**18, -1),
    "num_labels": (10**9,),
    "partial_rotary_factor": (10**9, -1, "1"),
    "eos_token_id": ("7", 10**30, [["x"]], {"a": 1}),
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in SIZES.items() for value in values], ids=str)
def test_sizes_that_no_weight_has_are_refused_and_nothing_is_allocated(copy, runtime, key, value):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    change(copy, "config.json", **{key: value})
    said = refusal(copy, runtime)
    assert "config.json: " + key in said or value is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


@pytest.mark.parametrize(
    "fields",
    [
        {"num_attention_heads": 0},
        {"hidden_size": 0},
        {"hidden_size": 64},
        {"vocab_size": 399},
        {"num_hidden_layers": 0},
        {"num_hidden_layers": 3},
        {"num_key_value_heads": 3},
        {"head_dim": 7},
        {"pad_token_id": 2**30},
        {"rope_parameters": "x"},
        {"rope_parameters": {"rope_type": "evil", "rope_theta": 1e4}},
        {"rope_parameters": {"rope_type": "default", "rope_theta": "x"}},
        {"rope_parameters": {"rope_type": "yarn", "factor": "x", "rope_theta": 1e4}},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1e12}},
        {"layer_types": ["evil", "evil"]},
        {"hidden_act": "__import__"},
        {"dtype": "evil"},
        {"torch_dtype": "os"},
        {"quantization_config": {"quant_method": "evil"}},
        {"quantization_config": {"quant_method": "gptq", "bits": 4}},
        {"model_type": "../evil"},
        {"model_type": 7},
        {"architectures": 7},
    ],
    ids=str,
)
def test_a_configuration_of_junk_is_a_sentence_or_the_same_model(copy, runtime, fields):
    expected = {name: tuple(each.shape) for name, each in load(copy, runtime)[1].named_parameters()}
    change(copy, "config.json", **fields)
    try:
        found = load(copy, runtime)[1]
    except UserError as error:
        said = str(error)
    else:  # what nobody reads harms nobody: its weights are all from the file
        assert {name: tuple(each.shape) for name, each in found.named_parameters()} == expected
        said = f"{copy}: harmless"
    assert said.isprintable()
    assert said.startswith(str(copy))
    print(f"{fields}: {said.removeprefix(str(copy))}")


NO_JSON = {
    "empty": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"model_type": "\xff\xfe"}',
    "a list": b"[]",
    "a number": b"7",
    "nested": b'{"a":' * 100_000,
    "nested lists": b'{"a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "digits": b'{"hidden_size": ' + b"9" * 10_000 + b"}",
    "zeros": b"\x00" * 1000,
    "a NUL": b'{"model_type": "qwen3\\u0000"}',
}


@pytest.mark.parametrize("what", NO_JSON)
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "generation_config.json", "tokenizer.json"])
def test_a_file_that_is_no_json_object_is_a_sentence(copy, runtime, name, what):
    (copy / name).write_bytes(NO_JSON[what])
    if what == "a NUL" and name != "config.json" and name != "tokenizer.json":
        load(copy, runtime)  # nobody asks there
    else:
        refusal(copy, runtime)


def test_a_file_of_a_gigabyte_is_not_read(copy, runtime):
    with (copy / "config.json").open("wb") as file:
        file.truncate(2**31)
    assert "config.json: is longer than 64 MiB" in refusal(copy, runtime)


def test_a_pipe_is_not_waited_for(copy, runtime):
    (copy / "generation_config.json").unlink()
    os.mkfifo(copy / "generation_config.json")
    assert "generation_config.json: is no file" in refusal(copy, runtime)


def headers(good):
    """Heads that lie about a file of weights, by how they do it."""
    (length,) = struct.unpack("<Q", good[:8])
    head, body = json.loads(good[8 : 8 + length]), good[8 + length :]
    name = next(key for key in head if key != "__metadata__")

    def made(**changes):
        text = json.dumps({**head, name: {**head[name], **changes}}).encode()
        return struct.pack("<Q", len(text)) + text + body

    begin, end = head[name]["data_offsets"]
    other = next(key for key in head if key not in ("__metadata__", name))
    nested = b'{"a":' * 200_000
    yield "no bytes", b""
    yield "a short one", good[:7]
    yield "a length beyond the file", struct.pack("<Q", 2**63) + good[8:]
    yield "a length of nothing", struct.pack("<Q", 0) + good[8:]
    yield "a length cut in the head", struct.pack("<Q", length - 5) + good[8:]
    yield "a cut body", good[:-1]
    yield "a longer body", good + b"\x00"
    yield "a million millions of numbers", made(shape=[10**6, 10**6])
    yield "a huge size", made(shape=[2**63, 2])
    yield "a negative size", made(shape=[-1, *head[name]["shape"][1:]])
    yield "sizes of text", made(shape=["1"])
    yield "a dtype there isn't", made(dtype="F32x")
    yield "another dtype", made(dtype="F64")
    yield "overlapping offsets", made(data_offsets=head[other]["data_offsets"])
    yield "offsets turned round", made(data_offsets=[end, begin])
    yield "offsets beyond the file", made(data_offsets=[begin + 2**40, end + 2**40])
    yield "negative offsets", made(data_offsets=[-8, end - begin - 8])
    yield "offsets of text", made(data_offsets=["0", "8"])
    yield "one offset", made(data_offsets=[begin])
    yield "a head that is a list", struct.pack("<Q", 2) + b"[]" + body
    yield "a head that is nested", struct.pack("<Q", len(nested)) + nested + body
    yield "a head of no JSON", struct.pack("<Q", length) + b"\xff" * length + body
    yield "a pickle", pickle.dumps({"weight": [1.0]})


def test_heads_of_weights_that_lie_are_refused_before_any_number_is_read(copy, runtime, marker):
    path = copy / "model.safetensors"
    good = path.read_bytes()
    count = 0
    for how, bad in headers(good):
        path.write_bytes(bad)
        said = refusal(copy, runtime)
        assert said.startswith(f"{path}: is no sound safetensors file") or how == "a dtype there isn't", (how, said)
        count += 1
    path.write_bytes(pickle.dumps(Payload(marker)))
    refusal(copy, runtime)
    print(f"{count + 1} heads of safetensors files that lie: each refused in a sentence")


def test_weights_of_another_shape_or_too_few_are_refused(copy, runtime):
    from safetensors.torch import load_file, save_file

    path = copy / "model.safetensors"
    good = load_file(path)
    names = sorted(good)
    some = {name: value for name, value in good.items() if name != names[3]}
    renamed = {f"evil.{name}": value for name, value in good.items()}
    reshaped = good | {names[0]: good[names[0]].reshape(1, -1)}
    for weights, problem in ((some, "lacks 1 of its weights"), (renamed, "lacks "), (reshaped, "can't be loaded")):
        save_file(weights, path, {"format": "pt"})
        assert problem in refusal(copy, runtime)


@pytest.fixture(scope="module")
def adapter(model_folder, tmp_path_factory, runtime):
    """A trained adapter as a cache keeps it."""
    folder = tmp_path_factory.mktemp("trained") / "lora"
    tune(model_folder, runtime, folder, training_of(make_examples(model_folder), "lora", 2))
    return folder


@pytest.mark.parametrize("use", [beside, merged])
def test_an_adapter_that_names_another_base_or_code_changes_nothing(
    adapter, model_folder, runtime, tmp_path, marker, use
):
    folder = shutil.copytree(adapter, tmp_path / "adapter")
    plant(folder, marker)
    change(folder, "adapter_config.json", base_model_name_or_path="/etc/evil", revision="../../x")
    with at_work():
        found = dict(use(load_weights(model_folder, runtime), folder, runtime).named_parameters())
        expected = dict(use(load_weights(model_folder, runtime), adapter, runtime).named_parameters())
    assert all(found[name].equal(expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("break_it", "problem"),
    [
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), "has no adapter_model.safetensors; pickled"),
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"\x80\x04"), "is no sound safetensors"),
        (lambda folder: (folder / "adapter_config.json").write_text("[]"), "adapter_config.json: holds no object"),
        (lambda folder: (folder / "adapter_config.json").unlink(), "adapter_config.json: is no file"),
        (
            lambda folder: change(
                folder, "adapter_config.json", auto_mapping={"parent_library": "evil", "base_model_class": "Evil"}
            ),
            "auto_mapping: names a library's code; remove that folder, and it is trained anew",
        ),
    ],
)
def test_an_adapter_that_is_none_of_ours_is_refused(
    adapter, model_folder, runtime, tmp_path, marker, break_it, problem
):
    folder = shutil.copytree(adapter, tmp_path / "adapter")
    plant(folder, marker)
    break_it(folder)
    with at_work(), pytest.raises(UserError) as caught:
        beside(load_weights(model_folder, runtime), folder, runtime)
    assert problem in str(caught.value)
    assert str(caught.value).isprintable()


def mutated(content, chance):
    """A file's content with a few bytes of its first thousands other than they were: cut, doubled, or by chance."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(min(len(changed), 3000))
        length = chance.choice((1, 1, 2, 8))
        new = chance.choice(
            (b"", bytes(chance.randrange(256) for _ in range(length)), b"9" * 12, b"-1", b'"x"', b"null")
        )
        changed[at : at + length] = new
    return bytes(changed)


def test_a_folder_whose_files_were_changed_by_chance_is_refused_or_the_model_that_it_says(
    copy, runtime, marker, faults
):
    names = ("config.json", "model.safetensors", "generation_config.json", "tokenizer_config.json")
    good = {name: (copy / name).read_bytes() for name in names}
    refused = 0
    for seed in range(count := faults(24, 600)):
        chance = random.Random(seed)
        name = names[seed % len(names)]
        (copy / name).write_bytes(mutated(good[name], chance))
        try:
            load(copy, runtime)
        except UserError as error:
            refused += 1
            said = str(error)
        else:
            said = str(copy)
        assert said.isprintable(), seed
        assert said.startswith(str(copy)), (seed, said)
        (copy / name).write_bytes(good[name])
    print(f"{count} folders changed by chance: {refused} refused in a sentence, {count - refused} loaded, 0 tracebacks")
    assert 0 < refused < count


@pytest.mark.parametrize(
    ("modules", "problem"),
    [
        ([{"type": "evil_module.Evil", "path": ""}], "type of module 0: is 'evil_module.Evil', whose code is not run"),
        ([{"type": "os.system", "path": "touch x"}], "whose code is not run"),
        ([{"path": ""}], "type of module 0: is None"),
        ([{"type": "sentence_transformers.models.Pooling", "path": "../../etc"}], "leads out of the folder"),
        ([{"type": "sentence_transformers.models.Pooling", "path": "/etc"}], "leads out of the folder"),
        ({"type": "x"}, "is no list of modules"),
        (["x"], "is no list of modules"),
    ],
)
def test_an_embedder_of_anybodys_code_is_refused(tmp_path, marker, monkeypatch, modules, problem):
    (tmp_path / "evil_module.py").write_text(CODE.format(marker=str(marker)) + CLASSES, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    with pytest.raises(UserError, match=rf"^{tmp_path}/modules\.json") as caught:
        check_embedder(str(tmp_path))
    assert problem in str(caught.value)


def test_an_embedder_with_an_adapter_or_pickled_weights_is_refused(tmp_path, marker):
    (tmp_path / "modules.json").write_text("[]", encoding="utf-8")
    check_embedder(str(tmp_path))
    (tmp_path / "2_Dense").mkdir()
    (tmp_path / "2_Dense" / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(UserError, match="is pickled; save the weights as safetensors"):
        check_embedder(str(tmp_path))
    (tmp_path / "2_Dense" / "pytorch_model.bin").rename(tmp_path / "2_Dense" / "adapter_config.json")
    with pytest.raises(UserError, match="puts an adapter beside the weights; merge it into them"):
        check_embedder(str(tmp_path))


def test_a_look_at_a_folder_changes_nothing_in_it(copy, runtime, marker):
    plant(copy, marker)
    before = tree(copy)
    load(copy, runtime)
    assert tree(copy) == before
    assert SHAPE["hidden_size"] == 32

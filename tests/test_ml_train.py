"""Training: the loss falls, the same seed gives the same bytes whatever ran before, and a diverging one is an error."""

import json
from dataclasses import replace

import pytest
from models import FAST, SHAPE, VOCABULARY, bytes_in, make_examples, training_of, tune
from safetensors.torch import load_file

from pytest_ftbench.grid import Recipe, UserError

pytestmark = pytest.mark.torch

METHODS = [("nopeft", None), ("lora", 4)]
PICKLED = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}


@pytest.fixture(scope="module")
def rows(model_folder):
    return make_examples(model_folder)


@pytest.fixture
def run(model_folder, runtime, tmp_path, rows):
    """Trains on the dozen rows into a new folder; the folder and the facts."""
    count = iter(range(100))

    def train(method="nopeft", rank=None, recipe=FAST, seed=0, examples=rows, dtype="float32", **options):
        out = tmp_path / str(next(count))
        training = training_of(examples, method, rank, recipe, seed, **options)
        return out, tune(model_folder, replace(runtime, dtype=dtype), out, training)

    return train


# an adapter can't move the output embedding, whose random values keep any loss of this base above 5.4
@pytest.mark.parametrize(("method", "rank", "share"), [("nopeft", None, 0.75), ("lora", 16, 0.97)])
def test_the_loss_of_a_few_rows_falls(run, method, rank, share):
    options = {"lora_alpha": 64, "target_modules": "all-linear"} if method == "lora" else {}
    _, facts = run(method, rank, replace(FAST, num_train_epochs=6, lr_scheduler_type="constant"), **options)
    losses = facts["losses"]
    assert len(losses) == facts["steps"] == 18
    assert sum(losses[-3:]) < share * sum(losses[:3])
    assert facts["final_loss"] == losses[-1]
    assert facts["mean_loss"] == pytest.approx(sum(losses) / len(losses))


@pytest.mark.parametrize(("method", "rank"), METHODS)
def test_a_checkpoint_holds_safetensors_and_nothing_pickled(run, method, rank):
    out, _ = run(method, rank)
    files = {path.name for path in out.rglob("*")}
    wanted = {
        "nopeft": {"model.safetensors", "config.json"},
        "lora": {"adapter_model.safetensors", "adapter_config.json"},
    }
    assert wanted[method] <= files
    assert not {path.suffix for path in out.rglob("*")} & PICKLED
    assert all(path.is_file() for path in out.rglob("*"))


def test_the_files_of_an_adapter_are_the_adapter_alone(run):
    out, facts = run("lora", 4)
    tensors = load_file(out / "adapter_model.safetensors")
    assert all("lora_A" in name or "lora_B" in name for name in tensors)
    assert sum(tensor.numel() for tensor in tensors.values()) == facts["trainable_params"]
    # it has learnt: B starts at zero
    assert all(tensor.abs().max() > 0 for name, tensor in tensors.items() if "lora_B" in name)
    config = json.loads((out / "adapter_config.json").read_text(encoding="utf-8"))
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (4, 16, 0.1)


def weights_in_shape():
    """How many weights a Qwen3 of the tests' shape has: tied embedding, layers, last norm."""
    width, inner, head = SHAPE["hidden_size"], SHAPE["intermediate_size"], SHAPE["head_dim"]
    queries, keys = SHAPE["num_attention_heads"] * head, SHAPE["num_key_value_heads"] * head
    layer = width * (2 * queries + 2 * keys + 3 * inner) + 2 * head + 2 * width
    return VOCABULARY * width + SHAPE["num_hidden_layers"] * layer + width


@pytest.mark.parametrize(("method", "rank", "alpha"), [("nopeft", None, None), ("lora", 4, 16), ("lora", 2, 16)])
def test_the_facts_tell_how_it_was_trained(run, rows, method, rank, alpha):
    _, facts = run(method, rank)
    total = weights_in_shape()
    # per layer q and o join 32 and 64 features, k and v 32 and 32
    adapter = 0 if rank is None else 2 * rank * (2 * (32 + 64) + 2 * (32 + 32))
    assert facts["total_params"] == total + adapter
    assert facts["trainable_params"] == (adapter or total)
    assert (facts["learning_rate"], facts["alpha"], facts["rows"]) == (FAST.learning_rate, alpha, len(rows))
    assert facts["steps"] == 3
    assert facts["dtype"] == "float32"
    assert 0 < facts["seconds"] < 60


def test_the_same_seed_gives_the_same_bytes_whatever_was_done_in_between(run):
    import random

    import torch

    first = [run(*METHODS[0]), run(*METHODS[1])]
    torch.manual_seed(1234)
    random.seed(5)
    torch.rand(7)
    run("lora", 2, seed=3)
    # another precision leaves nothing behind either
    run(*METHODS[0], dtype="bfloat16")
    again = [run(*METHODS[1]), run(*METHODS[0])][::-1]
    for (before, facts), (after, same_facts) in zip(first, again, strict=True):
        assert bytes_in(before) == bytes_in(after)
        assert facts["losses"] == same_facts["losses"]


@pytest.mark.parametrize(("method", "rank"), METHODS)
def test_another_seed_gives_other_weights(run, method, rank):
    folders = [run(method, rank, seed=seed)[0] for seed in (0, 1)]
    name = "model.safetensors" if method == "nopeft" else "adapter_model.safetensors"
    assert bytes_in(folders[0])[name] != bytes_in(folders[1])[name]


@pytest.mark.parametrize(
    "change", [{"learning_rate": 2e-2}, {"weight_decay": 0.5}, {"lr_scheduler_type": "constant"}, {"warmup_ratio": 0.9}]
)
def test_another_recipe_gives_other_weights(run, change):
    assert (
        bytes_in(run()[0])["model.safetensors"] != bytes_in(run(recipe=replace(FAST, **change))[0])["model.safetensors"]
    )


@pytest.mark.parametrize(("method", "rank"), METHODS)
def test_one_row_eight_times_with_checkpointing_is_the_same_step_as_eight_rows_at_once(run, rows, method, rank):
    options = {"lora_dropout": 0.0} if method == "lora" else {}
    slow = replace(Recipe(), learning_rate=1e-2, num_train_epochs=3)
    fast = replace(slow, per_device_train_batch_size=8, gradient_accumulation_steps=1, gradient_checkpointing=False)
    # the losses after the first step tell whether that step was the same
    one, eight = (run(method, rank, recipe, examples=rows[:8], **options)[1]["losses"] for recipe in (slow, fast))
    assert one == pytest.approx(eight, abs=1e-4)
    assert one[0] - one[-1] > 0.01


@pytest.mark.parametrize(("method", "rank", "dtype"), [("nopeft", None, "bfloat16"), ("lora", 4, "bfloat16+float32")])
def test_a_base_in_bfloat16_is_trained_as_such_and_the_facts_say_so(run, method, rank, dtype):
    out, facts = run(method, rank, dtype="bfloat16")
    assert facts["dtype"] == dtype
    [file] = out.glob("*.safetensors")
    assert {str(tensor.dtype) for tensor in load_file(file).values()} == {f"torch.{dtype.rpartition('+')[2]}"}


@pytest.mark.parametrize(("method", "rank"), METHODS)
def test_a_loss_that_is_no_number_ends_the_training_with_the_step_it_was_in(run, tmp_path, method, rank):
    with pytest.raises(UserError, match=r"^training step [2-9]: the loss is (nan|inf); lower the learning rate\.$"):
        run(method, rank, replace(FAST, learning_rate=1e30, num_train_epochs=4))
    assert bytes_in(tmp_path / "0") == {}


def test_a_recipe_without_a_step_is_refused(run, tmp_path):
    with pytest.raises(UserError, match=r"^recipe\.num_train_epochs: makes no training step"):
        run(recipe=replace(FAST, num_train_epochs=0))
    assert bytes_in(tmp_path / "0") == {}

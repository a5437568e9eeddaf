"""Every method trains, and answers the same merged and unmerged, quantized or not, at the precision it says."""

from dataclasses import replace

import pytest
from models import FAST, make_examples, training_of, tune

from pytest_ftbench import lab
from pytest_ftbench.grid import METHODS, DataSpec, EvaluationSpec, MethodSpec, ModelSpec, Suite, UserError
from pytest_ftbench.ml.adapters import adapter_fields, beside, merged, peft_config
from pytest_ftbench.ml.base import BaseModel, live_dtype, load_tokenizer, load_weights, parameter_count
from pytest_ftbench.ml.checkpoint import Checkpoint, load_decoder
from pytest_ftbench.ml.prompts import Renderer
from pytest_ftbench.ml.runtime import at_work
from pytest_ftbench.ml.workbench import Workbench
from pytest_ftbench.store import Store
from pytest_ftbench.tasks import get_task

pytestmark = pytest.mark.torch

RANK = 4
# a method of PEFT's that the registry doesn't have, and its options
NANO = lab.model_folder("nano")  # bitsandbytes wants matrices larger than the tiny model's
LOHA = ("loha", {"alpha": 16, "target_modules": ["q_proj", "v_proj"]})
ADAPTERS = [*((name, {}) for name, method in METHODS.items() if method.peft_type), LOHA]
# far enough in a few steps for each method: vectors move slower than matrices
RATES = {"ia3": 0.3, "vera": 0.3}


def trained(method, options, folder, machine, out):
    """A method's checkpoint after a dozen steps, and the facts."""
    recipe = replace(FAST, learning_rate=RATES.get(method, 3e-2), num_train_epochs=4)
    rank = RANK if method == "loha" or METHODS[method].rank_field else None
    facts = tune(folder, machine, out, training_of(make_examples(folder), method, rank, recipe, **options))
    return out, facts


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def machine(runtime, request):
    return replace(runtime, dtype=request.param)


@pytest.fixture(scope="module", params=ADAPTERS, ids=lambda param: param[0])
def adapter(request, model_folder, machine, tmp_path_factory):
    out = tmp_path_factory.mktemp("methods") / request.param[0]
    return request.param[0], *trained(*request.param, model_folder, machine, out)


def logits(model, folder):
    """What a model says after each token of some prompts, without the padding."""
    import torch

    tokenizer = load_tokenizer(folder)
    task, renderer = get_task("arc"), Renderer(tokenizer, "off")
    prompts = [renderer.prompt(task.messages(row)) for row in lab.rows("arc", "train", 6)]
    batch = tokenizer(prompts, padding=True, return_tensors="pt", add_special_tokens=False)
    with torch.inference_mode():
        return model.eval()(**batch).logits[batch["attention_mask"].bool()].float()


def far(one, other):
    """The largest difference of two tensors."""
    return (one - other).abs().max().item()


def test_the_loss_falls_and_the_weights_move_beyond_rounding(adapter, model_folder, machine):
    import torch

    _, folder, facts = adapter
    with at_work():
        base = dict(load_weights(model_folder, machine).named_parameters())
        whole = dict(merged(load_weights(model_folder, machine), folder, machine).named_parameters())
    assert facts["losses"][-1] < facts["losses"][0] - 0.1
    rounding = torch.finfo(machine.torch_dtype).eps
    moved = [name for name in base if far(whole[name], base[name]) > 8 * rounding * base[name].abs().max()]
    assert moved
    assert all(name.endswith("_proj.weight") for name in moved)


def test_merged_it_computes_what_it_does_beside_the_base(adapter, model_folder, machine, record_property):
    name, folder, _ = adapter
    with at_work():
        before = logits(load_weights(model_folder, machine), model_folder)
        apart = logits(beside(load_weights(model_folder, machine), folder, machine), model_folder)
        together = merged(load_weights(model_folder, machine), folder, machine)
        assert live_dtype(together.parameters()) == machine.dtype
        buffers = dict(load_weights(model_folder, machine).named_buffers())
        assert {name: buffer.dtype for name, buffer in together.named_buffers()} == {
            name: buffer.dtype for name, buffer in buffers.items()
        }
        gap, effect = far(logits(together, model_folder), apart), far(before, apart)
    record_property(f"{name} {machine.dtype}: gap of merged to unmerged logits", gap)
    print(f"{name} {machine.dtype}: {gap:.2g} of an effect of {effect:.2g}")
    assert effect > 0.1
    assert gap < (1e-4 if machine.dtype == "float32" else effect / 4)


def test_the_facts_say_what_it_was_trained_in_and_how_large_it_is(adapter, model_folder, machine):
    name, folder, facts = adapter
    with at_work():
        base = load_weights(model_folder, machine)
    count = sum(map(parameter_count, base.parameters()))
    quantization = METHODS[name].quantization if name in METHODS else None
    assert facts["quantization"] == quantization
    assert facts["base_dtype"] == (f"{machine.dtype}+{quantization}" if quantization else machine.dtype)
    # whatever the base is in, adapters learn in float32: these methods differ in nothing that isn't said
    assert facts["dtype"].split("+") == sorted({"float32", *facts["base_dtype"].split("+")})
    assert facts["trainable_params"] < 0.5 * facts["total_params"]
    # AdaLoRA keeps the rank of each layer among its parameters
    others = facts["total_params"] - count - facts["trainable_params"]
    assert 0 <= others <= 8 * (name == "adalora")
    assert facts["merged_bytes"] == count * machine.torch_dtype.itemsize
    assert facts["checkpoint_bytes"] == (folder / "adapter_model.safetensors").stat().st_size


def test_a_quantized_model_of_four_bits_counts_all_its_parameters(runtime):
    with at_work():
        plain, packed = (load_weights(NANO, runtime, quantization) for quantization in (None, "nf4"))
    assert sum(map(parameter_count, packed.parameters())) == sum(p.numel() for p in plain.parameters())
    assert sum(p.numel() for p in packed.parameters()) < sum(p.numel() for p in plain.parameters())
    assert live_dtype(packed.parameters()) == "float32+nf4"
    assert packed.get_memory_footprint() < plain.get_memory_footprint()


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_quantized_weights_are_near_the_ones_they_stand_for(runtime, quantization):
    with at_work():
        exact = logits(load_weights(NANO, runtime), NANO)
        model = load_weights(NANO, runtime, quantization)
        near = logits(model, NANO)
    assert live_dtype(model.parameters()) == f"float32+{quantization}"
    assert 0 < far(exact, near) < (0.1 if quantization == "int8" else 0.5) * exact.abs().max()


def test_each_form_of_an_adapter_is_the_one_asked_for(runtime, tmp_path):
    folder, facts = trained("qlora", {}, NANO, runtime, tmp_path / "out")
    checkpoint = Checkpoint(BaseModel("nano", NANO, ""), "", folder, facts)
    forms = [("merged", None), ("unmerged", None), ("unmerged", "nf4"), ("requantized", "nf4"), ("requantized", "int8")]
    with at_work():
        models = {form: load_decoder(checkpoint, runtime, 4, *form).model for form in forms}
        dtypes = {form: live_dtype(model.parameters()) for form, model in models.items()}
        said = {form: logits(model, NANO) for form, model in models.items()}
    assert dtypes == {form: "float32" if form[1] is None else f"float32+{form[1]}" for form in forms}
    assert far(said["merged", None], said["unmerged", None]) < 1e-3
    # the adapter beside the weights it was trained on, and these with it rounded again, are different models
    assert far(said["unmerged", "nf4"], said["requantized", "nf4"]) > 1e-3
    assert [hasattr(models[form, "nf4"], "peft_config") for form in ("unmerged", "requantized")] == [True, False]


@pytest.fixture
def suite():
    return Suite(
        name="mine",
        place=NANO / "mine.toml",
        models=(ModelSpec("nano", str(NANO)),),
        methods=(
            MethodSpec("base"),
            MethodSpec("nopeft"),
            MethodSpec("qlora", (RANK,), train_quantization="nf4"),
            MethodSpec("lora", (RANK,)),
        ),
        train_tasks=("arc",),
        eval_tasks=("arc",),
        quantizations=(None, "nf4"),
        recipe=FAST,
        data=DataSpec(train_samples=8, test_samples=4),
        evaluation=EvaluationSpec(max_new_tokens=4, latency_prompts=1, latency_warmup=0, reasoning="off"),
        device="cpu",
    )


def test_a_checkpoint_is_trained_once_however_it_is_quantized_later(suite, runtime, tmp_path):
    lines = []
    bench = Workbench(suite, Store(tmp_path), runtime, lines.append)
    records = {cell.id: bench.measure(cell) for cell in suite.cells()}
    assert sorted(records) == sorted(
        f"nano-{way}" for name in ("base", "nopeft", "lora-r4", "qlora-r4") for way in _ways(name)
    )
    assert sum("trained in" in line for line in lines) == 3
    forms = {id: record.provenance("adapter") for id, record in records.items()}
    assert forms == {
        id: None
        if "base" in id or "nopeft" in id
        else "merged"
        if "nf4" not in id
        else "unmerged"
        if "qlora" in id
        else "requantized"
        for id in records
    }
    for id, record in records.items():
        assert record.eval_dtype == ("float32+nf4" if "nf4" in id else "float32")
        assert record.memory_gib["eval_process"] is not None
    assert records["nano-qlora-r4-arc-to-arc"].train["quantization"] == "nf4"
    assert records["nano-lora-r4-nf4-arc-to-arc"].train["quantization"] is None


def _ways(name):
    of = "base-to-arc" if name == "base" else "arc-to-arc"
    return (f"{name}-{of}", f"{name}-nf4-{of}") if name != "base" else (of, "base-nf4-to-arc")


@pytest.mark.filterwarnings("ignore:Position ids are not supported")
def test_a_prompt_that_is_no_change_of_weights_says_that_it_cant_be_merged(model_folder, runtime, tmp_path):
    training = training_of(make_examples(model_folder), "prompt_tuning", num_virtual_tokens=4)
    tune(model_folder, runtime, tmp_path / "out", training)
    with at_work():
        with pytest.raises(UserError, match=r'PROMPT_TUNING: can\'t be merged .*adapters = "unmerged"'):
            merged(load_weights(model_folder, runtime), tmp_path / "out", runtime)
        model = beside(load_weights(model_folder, runtime), tmp_path / "out", runtime)
        decoder = load_decoder(
            Checkpoint(BaseModel("tiny", model_folder, ""), "", tmp_path / "out"), runtime, 4, "unmerged", None
        )
        assert len(decoder.answers(["a", "b"], 2, print)) == 2
    assert live_dtype(model.parameters()) == "float32"


@pytest.mark.parametrize(
    ("options", "rank", "expected"),
    [
        ({}, 8, {"r": 8, "lora_alpha": 16, "use_rslora": False}),
        ({"lora_alpha": "2r", "use_rslora": True}, 64, {"r": 64, "lora_alpha": 128, "use_rslora": True}),
        ({"lora_alpha": "r"}, 4, {"lora_alpha": 4}),
        ({"target_modules": "attention"}, 4, {"target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}),
        ({"target_modules": "all-linear"}, 4, {"target_modules": "all-linear"}),
    ],
)
def test_options_follow_the_rank(options, rank, expected):
    assert adapter_fields(MethodSpec("lora", (rank,), options), rank).items() >= expected.items()


def test_adaloras_schedule_is_a_share_of_the_steps():
    config = peft_config(MethodSpec("adalora", (8,)), 8, 100)
    assert (config.target_r, config.init_r, config.total_step, config.tinit, config.tfinal) == (8, 12, 100, 10, 30)
    assert peft_config(MethodSpec("adalora", (8,), {"tinit": 5, "tfinal": 0}), 8, 100).tinit == 5
    with pytest.raises(UserError, match=r"methods.adalora.init_r: leaves no rank to prune; begin above the rank"):
        peft_config(MethodSpec("adalora", (8,), {"init_r": 8}), 8, 100)
    with pytest.raises(UserError, match=r"methods.adalora: a training of 1 steps leaves none .* train for longer"):
        peft_config(MethodSpec("adalora", (8,)), 8, 1)


def test_adaloras_penalty_draws_its_factors_to_orthogonal_ones(model_folder, runtime, tmp_path):
    import torch
    from safetensors.torch import load_file

    distances = []
    for weight in (0.0, 10.0):
        options = {"orth_reg_weight": weight, "tfinal": 0.5}
        folder, facts = trained("adalora", options, model_folder, runtime, tmp_path / str(weight))
        factors = load_file(folder / "adapter_model.safetensors")
        products = [factor @ factor.T for name, factor in factors.items() if "lora_A" in name]
        distances.append(sum((product - torch.eye(len(product))).norm().item() for product in products))
        # it is no part of the loss told
        assert facts["losses"][0] < 7
    assert distances[1] < 0.5 * distances[0]


def test_adalora_shares_its_ranks_out(model_folder, runtime, tmp_path):
    folder, _ = trained("adalora", {}, model_folder, runtime, tmp_path / "out")
    from peft import PeftConfig

    ranks = [sum(kept) for kept in PeftConfig.from_pretrained(folder).rank_pattern.values()]
    assert len(ranks) == 8
    assert sum(ranks) <= RANK * len(ranks)
    assert len(set(ranks)) > 1


def test_a_method_peft_has_not_is_one_sentence():
    from pytest_ftbench.grid import Method

    spec = MethodSpec("mine", own=Method("mine", "mine", peft_type="MINE"))
    with pytest.raises(UserError, match=r"methods.mine.peft_type: PEFT has no MINE; known are .*LORA"):
        peft_config(spec, None, 1)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("lokr", {"alpha": 16, "target_modules": ["q_proj", "v_proj"]}),
        ("oft", {"target_modules": ["q_proj"], "oft_block_size": 8, "r": 0}),
    ],
)
def test_other_methods_of_pefts_train_and_merge(method, options, model_folder, runtime, tmp_path):
    recipe = replace(FAST, learning_rate=3e-2, num_train_epochs=4)
    facts = tune(
        model_folder,
        runtime,
        tmp_path / "out",
        training_of(make_examples(model_folder), method, None, recipe, **options),
    )
    assert facts["losses"][-1] < facts["losses"][0] - 0.03  # a rotation of one matrix moves little
    assert facts["alpha"] == options.get("alpha")
    with at_work():
        apart = logits(beside(load_weights(model_folder, runtime), tmp_path / "out", runtime), model_folder)
        together = logits(merged(load_weights(model_folder, runtime), tmp_path / "out", runtime), model_folder)
    assert far(apart, together) < 1e-4

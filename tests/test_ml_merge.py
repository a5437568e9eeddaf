"""A merged adapter: in the base's dtype, computing what the adapter beside its base computes."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
from models import FAST, VOCABULARY, at_work, make_examples, training_of, tune

from pytest_ftbench import lab
from pytest_ftbench.analysis import flags, set_flags
from pytest_ftbench.grid import Cell, CellRecord, Thresholds
from pytest_ftbench.ml.adapters import merged
from pytest_ftbench.ml.base import live_dtype, load_tokenizer, load_weights
from pytest_ftbench.ml.generate import Decoder
from pytest_ftbench.ml.probe import MergeProbe
from pytest_ftbench.ml.prompts import Renderer
from pytest_ftbench.tasks import get_task

pytestmark = pytest.mark.torch

TARGETS = {"q_proj", "k_proj", "v_proj", "o_proj"}


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def dtype(request):
    return request.param


@pytest.fixture(scope="module")
def machine(runtime, dtype):
    return replace(runtime, dtype=dtype)


@pytest.fixture(scope="module")
def adapter(model_folder, machine, tmp_path_factory):
    """The folder of an adapter trained far from where it began."""
    out = tmp_path_factory.mktemp("adapters") / "lora"
    recipe = replace(FAST, learning_rate=5e-2, num_train_epochs=3)
    tune(model_folder, machine, out, training_of(make_examples(model_folder), "lora", 4, recipe))
    return out


@pytest.fixture
def base(model_folder, machine):
    with at_work():
        return load_weights(model_folder, machine)


@pytest.fixture
def whole(model_folder, adapter, machine):
    with at_work():
        return merged(load_weights(model_folder, machine), adapter, machine)


def test_every_parameter_keeps_the_dtype_of_the_base(base, whole, dtype):
    assert live_dtype(base.parameters()) == live_dtype(whole.parameters()) == dtype
    assert {str(parameter.dtype) for parameter in whole.parameters()} == {f"torch.{dtype}"}


def test_nothing_of_the_adapter_is_left(base, whole):
    assert type(whole) is type(base)
    assert list(whole.state_dict()) == list(base.state_dict())


def test_the_targets_differ_from_the_base_beyond_rounding_and_nothing_else_does(base, whole):
    import torch

    old = dict(base.named_parameters())
    step = torch.finfo(next(base.parameters()).dtype).eps
    for name, parameter in whole.named_parameters():
        change = (parameter.float() - old[name].float()).abs().max()
        if name.split(".")[-2] in TARGETS:
            assert change > 8 * step * old[name].float().abs().max(), name
        else:
            assert change == 0, name


def test_the_merged_weights_are_base_plus_scaled_product_to_the_last_digit(adapter, base, whole):
    import torch
    from safetensors.torch import load_file

    factors, old = load_file(adapter / "adapter_model.safetensors"), dict(base.named_parameters())
    targets = {name: parameter for name, parameter in whole.named_parameters() if name.split(".")[-2] in TARGETS}
    for name, parameter in targets.items():
        stem = f"base_model.model.{name.removesuffix('.weight')}"
        a, b = (factors[f"{stem}.lora_{which}.weight"].double() for which in "AB")
        expected = old[name].double() + 16 / 4 * b @ a
        # one rounding to the base's dtype after a few of the product's in float32
        units = torch.finfo(parameter.dtype).eps + 4 * torch.finfo(torch.float32).eps
        rounding = units * (old[name].double().abs() + 16 / 4 * b.abs() @ a.abs())
        assert ((parameter.double() - expected).abs() <= rounding).all(), name
    assert len(targets) == 2 * len(TARGETS)


def test_merged_and_unmerged_logits_agree(model_folder, machine, adapter, whole, dtype):
    import torch
    from peft import PeftModel

    with at_work():
        tokenizer = load_tokenizer(model_folder)
        unmerged = PeftModel.from_pretrained(load_weights(model_folder, machine), adapter).eval()
        task, renderer = get_task("arc"), Renderer(tokenizer, "off")
        prompts = [renderer.prompt(task.messages(row)) for row in lab.rows("arc", "train", 6)]
        batch = tokenizer(prompts, padding=True, return_tensors="pt", add_special_tokens=False)
        with torch.inference_mode():
            together, beside = whole.eval()(**batch).logits, unmerged(**batch).logits
            with unmerged.disable_adapter():
                before = unmerged(**batch).logits
    kept = batch["attention_mask"].bool()
    difference, effect = ((together - other)[kept].abs().max().item() for other in (beside, before))
    # the adapter matters, or the agreement would mean nothing
    assert effect > 0.1
    assert difference < (1e-4 if dtype == "float32" else effect / 4)


def test_a_merged_model_answers_as_the_adapter_beside_its_base_does(model_folder, runtime, adapter):
    from peft import PeftModel

    task = get_task("arc")
    with at_work():
        tokenizer = load_tokenizer(model_folder)
        prompts = [Renderer(tokenizer, "off").prompt(task.messages(row)) for row in lab.rows("arc", "train", 5)]
        # in float32, where rounding tips no greedy choice
        models = [
            merged(load_weights(model_folder, runtime), adapter, runtime),
            PeftModel.from_pretrained(load_weights(model_folder, runtime), adapter),
            load_weights(model_folder, runtime),
        ]
        together, beside, before = (Decoder(model, tokenizer, 8).answers(prompts, 5, print) for model in models)
    assert together == beside != before


def probed(model_folder, adapter, machine, tokens=((5, 6, 7), (9, 8))):
    """What a probe finds of merging."""
    probe = MergeProbe(tokens)
    with at_work():
        whole = merged(load_weights(model_folder, machine), adapter, machine, probe)
    return probe.found, whole


def test_a_probe_finds_no_more_than_rounding_in_a_merged_adapter(model_folder, adapter, machine, whole, dtype):
    import torch

    found, probed_model = probed(model_folder, adapter, machine)
    assert found["logit_std"] > 0.01
    assert found["max_logit_gap"] < found["logit_std"] * (1e-3 if dtype == "float32" else 0.5)
    assert found["argmax_flips"] == 0 or dtype == "bfloat16"
    # it leaves the model as it would be without
    for (name, parameter), expected in zip(probed_model.named_parameters(), whole.parameters(), strict=True):
        assert torch.equal(parameter, expected), name


def test_a_probe_sees_an_adapter_that_is_merged_wrongly(model_folder, adapter, machine, monkeypatch):
    import torch
    from peft.tuners.lora import layer

    right = layer.Linear.get_delta_weight
    found, _ = probed(model_folder, adapter, machine)
    monkeypatch.setattr(layer.Linear, "get_delta_weight", lambda self, name: 2 * right(self, name))
    wrong, _ = probed(model_folder, adapter, machine)
    assert wrong["max_logit_gap"] > 5 * found["max_logit_gap"]
    assert wrong["logit_std"] == found["logit_std"]
    monkeypatch.setattr(layer.Linear, "get_delta_weight", lambda self, name: torch.zeros_like(right(self, name)))
    assert probed(model_folder, adapter, machine)[0]["max_logit_gap"] > 5 * found["max_logit_gap"]


def test_a_probe_without_prompts_finds_nothing(model_folder, adapter, machine):
    assert probed(model_folder, adapter, machine, ())[0] is None


class Fixed:
    """A model whose logits are given: with its adapter, and of its base."""

    device = "cpu"

    def __init__(self, logits, base=None, dtype="float32"):
        import torch

        self.logits, self.base = torch.tensor([logits]), None if base is None else torch.tensor([base])
        self.dtype = getattr(torch, dtype)

    def eval(self):
        return self

    def __call__(self, input_ids):
        return self

    @contextmanager
    def disable_adapter(self):
        self.logits, self.base = self.base, self.logits
        yield
        self.logits, self.base = self.base, self.logits


def test_a_probes_numbers_are_those_of_its_logits():
    import torch

    probe = MergeProbe([[1, 2]])
    probe.unmerged(Fixed([[1.0, 2.0], [4.0, 1.0]], [[1.0, 2.0], [0.0, 1.0]]))
    assert probe.found is None
    probe.merged(Fixed([[1.0, 2.0], [1.0, 2.0]]))
    assert probe.found == {
        "relative_rms": pytest.approx((10 / 4) ** 0.5 / (16 / 4) ** 0.5),
        "max_logit_gap": 3.0,
        "logit_std": pytest.approx(torch.tensor([1.0, 2.0, 4.0, 1.0]).std().item()),
        "argmax_flips": 0.5,
    }
    probe.requantized(Fixed([[1.0, 2.0], [0.0, 1.0]]))
    assert probe.found["requantized_rms"] == 1


@pytest.mark.parametrize(("dtype", "flips", "known"), [("bfloat16", 0.0, False), ("float32", 0.5, True)])
def test_what_rounding_explains_is_neither_a_flip_nor_an_effect(dtype, flips, known):
    probe = MergeProbe([[1, 2]])
    probe.unmerged(Fixed([[4.0, 3.9], [4.0, 1.0]], [[4.1, 3.8], [4.1, 1.1]], dtype))
    probe.merged(Fixed([[3.9, 4.0], [4.0, 1.0]], None, dtype))
    assert probe.found["argmax_flips"] == flips
    assert (probe.found["relative_rms"] is not None) == known


def test_an_adapter_that_changes_nothing_has_no_relative_change():
    probe = MergeProbe([[1]])
    probe.unmerged(Fixed([[4.0, 3.0]], [[4.0, 3.0]]))
    probe.merged(Fixed([[3.0, 4.0]]))
    assert probe.found["relative_rms"] is None


@pytest.fixture(scope="module", params=["lora", "dora"])
def trained(request, model_folder, machine, tmp_path_factory):
    """The folder of an adapter trained as far as adapters are."""
    out = tmp_path_factory.mktemp("adapters") / request.param
    tune(model_folder, machine, out, training_of(make_examples(model_folder), request.param, 4, FAST))
    return out


@pytest.mark.parametrize(("factor", "fires"), [(1, False), (0, True), (2, True), (-1, True)])
def test_v14_is_silent_on_right_merges_and_fires_on_lost_and_doubled_ones(
    model_folder, trained, machine, monkeypatch, factor, fires
):
    from peft.tuners.lora import layer

    right = layer.Linear.get_delta_weight
    monkeypatch.setattr(layer.Linear, "get_delta_weight", lambda self, name: factor * right(self, name))
    prompts = [[(7 * place + 3 * start) % (VOCABULARY - 10) + 5 for place in range(32)] for start in range(4)]
    found, _ = probed(model_folder, trained, machine, prompts)
    record = CellRecord.of(Cell("nano", "lora", "arc", "arc", 4), extra={"provenance": {"merge": found}})
    set_flags([record], flags([record], {}, Thresholds()))
    assert ("V14" in record.flags) == fires, found

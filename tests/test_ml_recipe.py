"""Every value of a recipe reaches TRL's trainer, its optimizer, its scheduler, its batches; LoRA's reach PEFT."""

import math
from collections import Counter
from dataclasses import fields, replace

import pytest
from models import at_work, make_examples, trainer_of, training_of

from pytest_ftbench.grid import RECIPES, MethodSpec, Recipe, UserError
from pytest_ftbench.ml.adapters import peft_config

pytestmark = pytest.mark.torch

ODD = Recipe(
    name="odd",
    learning_rate=3e-4,
    lr_scheduler_type="cosine",
    warmup_ratio=0.3,
    weight_decay=0.07,
    max_grad_norm=0.25,
    per_device_train_batch_size=3,
    gradient_accumulation_steps=2,
    num_train_epochs=2.5,
    max_length=444,
    packing=True,
    gradient_checkpointing=False,
    optim="rmsprop",
)
# where TRL's configuration has each field of a recipe
ARGUMENTS = {
    "learning_rate": "learning_rate",
    "lr_scheduler_type": "lr_scheduler_type",
    "warmup_ratio": "warmup_steps",
    "weight_decay": "weight_decay",
    "max_grad_norm": "max_grad_norm",
    "per_device_train_batch_size": "per_device_train_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "num_train_epochs": "num_train_epochs",
    "max_length": "max_length",
    "packing": "packing",
    "gradient_checkpointing": "gradient_checkpointing",
    "optim": "optim",
}
NAMES = [field.name for field in fields(Recipe) if field.name != "name"]


@pytest.fixture(scope="module")
def rows(model_folder):
    return make_examples(model_folder)


@pytest.fixture
def make(model_folder, runtime, tmp_path, rows):
    """Makes a trainer on the dozen rows, or on those given."""

    def trainer(recipe, method="nopeft", rank=None, seed=0, examples=rows, **options):
        with at_work():
            return trainer_of(
                model_folder, runtime, tmp_path, training_of(examples, method, rank, recipe, seed, **options)
            )

    return trainer


@pytest.fixture(scope="module")
def odd(model_folder, runtime, tmp_path_factory, rows):
    """A trainer that has run the odd recipe, but for packing, which would change how many steps there are."""
    training = training_of(rows, recipe=replace(ODD, packing=False), seed=11)
    with at_work():
        trainer = trainer_of(model_folder, runtime, tmp_path_factory.mktemp("odd"), training)
        trainer.train()
    return trainer


def batches(trainer):
    with at_work():
        return list(trainer.get_train_dataloader())


def test_every_field_of_a_recipe_is_covered_here():
    assert set(ARGUMENTS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_odd_recipe_has_another_value_than_the_default(name):
    assert getattr(ODD, name) != getattr(Recipe(), name)


@pytest.mark.parametrize("recipe", [ODD, Recipe()], ids=["odd", "published"])
def test_every_value_of_a_recipe_reaches_the_trainers_arguments(make, recipe):
    arguments = make(recipe, seed=11).args
    read = {name: getattr(arguments, ARGUMENTS[name]) for name in NAMES}
    assert read == {name: getattr(recipe, name) for name in NAMES}
    assert (arguments.seed, arguments.data_seed) == (11, 11)


def test_the_published_recipe_is_that_of_the_studies():
    assert RECIPES["published"].as_dict() == {
        "name": "published",
        "learning_rate": 1e-5,
        "lr_scheduler_type": "linear",
        "warmup_ratio": 0.06,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 8,
        "num_train_epochs": 1.0,
        "max_length": 1024,
        "packing": False,
        "gradient_checkpointing": True,
        "optim": "adamw_torch_fused",
    }


def test_steps_are_epochs_times_rows_over_batch_and_accumulation(odd, make):
    # 12 rows in batches of 3, two batches to a step, two and a half epochs
    assert odd.state.global_step == 5
    published = make(replace(Recipe(), gradient_checkpointing=False))
    with at_work():
        assert published.train().global_step == math.ceil(12 / 8)


def test_the_learning_rate_rises_to_its_value_and_falls_as_the_scheduler_says(odd):
    logged = [entry["learning_rate"] for entry in odd.state.log_history if "loss" in entry]
    # 0.3 of 5 steps are 2 of warm-up, the other 3 half a cosine
    expected = [0, 1 / 2, 1, *((1 + math.cos(math.pi * step / 3)) / 2 for step in (1, 2))]
    assert logged == pytest.approx([ODD.learning_rate * share for share in expected])


@pytest.mark.parametrize(("ratio", "warm"), [(0.0, 0), (0.06, 1), (0.25, 2), (0.5, 3), (1.0, 6)])
def test_the_warm_up_is_a_fraction_of_the_steps(make, ratio, warm):
    assert make(replace(Recipe(), warmup_ratio=ratio)).args.get_warmup_steps(6) == warm


def test_optimizer_and_weight_decay_are_those_of_the_recipe(odd):
    import torch

    optimizer = getattr(odd.optimizer, "optimizer", odd.optimizer)
    assert type(optimizer) is torch.optim.RMSprop
    decayed, others = optimizer.param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (ODD.weight_decay, 0.0)
    assert decayed["initial_lr"] == others["initial_lr"] == ODD.learning_rate
    # norms and biases don't decay
    assert {parameter.dim() for parameter in decayed["params"]} == {2}
    assert {parameter.dim() for parameter in others["params"]} == {1}


@pytest.mark.parametrize(("optim", "fused"), [("adamw_torch_fused", True), ("adamw_torch", None)])
def test_the_published_optimizer_is_the_fused_adamw(make, optim, fused):
    import torch

    trainer = make(replace(Recipe(), optim=optim))
    with at_work():
        optimizer = trainer.create_optimizer()
    assert type(optimizer) is torch.optim.AdamW
    assert optimizer.defaults["fused"] is fused
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0}
    assert {group["lr"] for group in optimizer.param_groups} == {1e-5}


@pytest.mark.parametrize("limit", [1e-3, 1e-2])
def test_gradients_are_clipped_to_their_maximal_norm(make, limit):
    import torch

    # plain SGD moves the weights by the learning rate times the clipped gradient
    trainer = make(replace(ODD, optim="sgd", max_grad_norm=limit, weight_decay=0.0, packing=False, warmup_ratio=0.0,
                           lr_scheduler_type="constant", gradient_accumulation_steps=4, num_train_epochs=1,
                           learning_rate=1.0))  # fmt: skip
    before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    with at_work():
        assert trainer.train().global_step == 1
    moved = [parameter.detach() - old for parameter, old in zip(trainer.model.parameters(), before, strict=True)]
    assert torch.cat([change.flatten() for change in moved]).norm().item() == pytest.approx(limit, rel=1e-2)


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize(("method", "rank"), [("nopeft", None), ("lora", 2)])
def test_gradient_checkpointing_is_on_while_training_just_where_the_recipe_says(make, rows, method, rank, wanted):
    from transformers import TrainerCallback

    seen = []

    class Look(TrainerCallback):
        def on_step_end(self, args, state, control, model, **_):
            layers = [module for module in model.modules() if hasattr(module, "gradient_checkpointing")]
            seen.append((model.is_gradient_checkpointing, {layer.gradient_checkpointing for layer in layers}))

    trainer = make(Recipe(gradient_checkpointing=wanted), method, rank, examples=rows[:2])
    trainer.add_callback(Look())
    with at_work():
        trainer.train()
    assert seen == [(wanted, {wanted})]


def test_a_batch_has_the_recipes_size_and_labels_on_the_completions_alone(odd, rows):
    answers = {tuple(example.input_ids): example.completion_mask for example in rows}
    found = []
    for batch in batches(odd):
        assert batch["input_ids"].shape[0] == ODD.per_device_train_batch_size
        each = zip(batch["input_ids"].tolist(), batch["labels"].tolist(), batch["attention_mask"].tolist(), strict=True)
        for ids, labels, attention in each:
            length = sum(attention)
            assert attention == [1] * length + [0] * (len(ids) - length)
            mask = answers[tuple(ids[:length])]
            assert labels[:length] == [token if mine else -100 for token, mine in zip(ids[:length], mask, strict=True)]
            assert set(labels[length:]) <= {-100}
            found.append(tuple(ids[:length]))
    assert Counter(found) == Counter(list(answers))


@pytest.mark.parametrize("method", ["nopeft", "lora"])
def test_another_seed_is_another_order_of_the_rows(make, method):
    rank = 2 if method == "lora" else None
    orders = []
    for seed in (0, 0, 1):
        trainer = make(replace(Recipe(), per_device_train_batch_size=1), method, rank, seed)
        orders.append([batch["input_ids"].tolist() for batch in batches(trainer)])
    assert orders[0] == orders[1] != orders[2]


def test_packing_fills_sequences_up_to_the_maximum_length_and_keeps_every_label(make, rows):
    packed = batches(make(replace(ODD, per_device_train_batch_size=1)))
    assert len(packed) < len(rows) / 2
    labels, ids = [], []
    for batch in packed:
        assert batch["input_ids"].shape[1] <= ODD.max_length
        ids += batch["input_ids"].flatten().tolist()
        labels += [label for label in batch["labels"].flatten().tolist() if label != -100]
    assert Counter(ids) == Counter(token for example in rows for token in example.input_ids)
    trained = [
        token
        for example in rows
        for token, mine in zip(example.input_ids, example.completion_mask, strict=True)
        if mine
    ]
    assert Counter(labels) == Counter(trained)


def test_the_model_is_trained_whole_without_a_method_of_peft(make):
    trainer = make(Recipe())
    assert peft_config(MethodSpec("nopeft"), None, 1) is None
    assert not hasattr(trainer.model, "peft_config")
    assert all(parameter.requires_grad for parameter in trainer.model.parameters())


def lora_layers(model):
    from peft.tuners.lora import Linear

    return {name: module for name, module in model.named_modules() if isinstance(module, Linear)}


ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
ODD_LORA = {"lora_alpha": 5, "lora_dropout": 0.25, "target_modules": ["up_proj", "q_proj"]}
ALL_LINEAR = {"lora_dropout": 0.0, "target_modules": "all-linear"}


@pytest.mark.parametrize(
    ("rank", "options", "alpha", "dropout", "targets"),
    [
        (8, {}, 16, 0.1, ATTENTION),
        (3, ODD_LORA, 5, 0.25, {"up_proj", "q_proj"}),
        (2, ALL_LINEAR, 16, 0.0, ATTENTION | {"up_proj", "gate_proj", "down_proj"}),
    ],
    ids=["published", "odd", "all-linear"],
)
def test_rank_alpha_dropout_and_targets_are_those_of_the_live_layers(make, rank, options, alpha, dropout, targets):
    from torch.nn import Dropout

    model = make(Recipe(), "lora", rank, **options).model
    layers = lora_layers(model)
    assert {name.rpartition(".")[2] for name in layers} == targets
    assert len(layers) == 2 * len(targets)
    for layer in layers.values():
        assert (layer.r["default"], layer.lora_alpha["default"]) == (rank, alpha)
        assert layer.scaling["default"] == alpha / rank
        found = layer.lora_dropout["default"]
        assert found.p == dropout if dropout else not isinstance(found, Dropout)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name for name in trained if "lora_A" not in name and "lora_B" not in name} == set()
    assert sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad) == sum(
        rank * (layer.in_features + layer.out_features) for layer in layers.values()
    )


def test_an_option_that_peft_does_not_know_is_a_sentence(make):
    with pytest.raises(UserError, match=r"methods\.lora: PEFT refuses it \(.*no_such_option.*; correct its options"):
        make(Recipe(), "lora", 8, no_such_option=1)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"target_modules": ["q_porj"]}, "Target modules {'q_porj'} not found"),
        ({"lora_dropout": 1.5}, "dropout probability"),
    ],
)
def test_an_option_that_only_the_model_can_refuse_is_a_sentence(make, options, reason):
    with pytest.raises(UserError, match=rf"^recipe 'published': it or the method is refused \(.*{reason}.*\); correct"):
        make(Recipe(), "lora", 8, **options)


@pytest.mark.parametrize(("field", "value"), [("optim", "adamm"), ("lr_scheduler_type", "linaer")])
def test_a_name_that_only_the_trainer_can_refuse_is_a_sentence(make, field, value):
    with pytest.raises(UserError, match=rf"^recipe 'published': it or the method is refused \(.*{value}.*\); correct"):
        make(replace(Recipe(), **{field: value}))

"""Tiny models for the tests of the ml room, and what those do with them again and again."""

from pytest_ftbench import lab
from pytest_ftbench.grid import METHODS, Method, MethodSpec, Recipe
from pytest_ftbench.ml.adapters import peft_config
from pytest_ftbench.ml.base import load_tokenizer, load_weights
from pytest_ftbench.ml.prompts import Renderer, training_examples
from pytest_ftbench.ml.runtime import at_work
from pytest_ftbench.ml.scratch import make_tokenizer, make_weights
from pytest_ftbench.ml.sft import Training, make_trainer
from pytest_ftbench.ml.train import train
from pytest_ftbench.tasks import get_task

SHAPE = lab.SHAPES["nano"] | {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "head_dim": 16,
    "initializer_range": 0.02,
}
VOCABULARY = 400

# a few steps that move the weights far
FAST = Recipe(
    name="fast",
    learning_rate=1e-2,
    per_device_train_batch_size=4,
    gradient_accumulation_steps=1,
    gradient_checkpointing=False,
)

# everywhere in the ml room that a name stands for loading a model or its tokenizer
_LOADERS = {
    "trainer": ("load_weights", "load_tokenizer", "load_decoder"),
    "workbench": ("load_decoder",),
    "checkpoint": ("load_weights", "load_tokenizer"),
    "probe": ("load_tokenizer",),
}


def forbid_loading(monkeypatch):
    """Let whatever loads a model, or its tokenizer, fail the test."""

    def load(*_, **__):
        raise AssertionError("a model was loaded")

    for module, names in _LOADERS.items():
        for name in names:
            monkeypatch.setattr(f"pytest_ftbench.ml.{module}.{name}", load)


def make_folder(folder, dtype="float32"):
    """The folder of a model with random weights and a tokenizer that knows the world's words."""
    texts = []
    for name in lab.TASKS:
        task = get_task(name)
        for row in lab.rows(name, "train", 40):
            texts += [message["content"] for message in task.messages(row)] + [task.target(row)]
    with at_work():
        make_weights(SHAPE, make_tokenizer(texts, VOCABULARY, folder), 0, folder, dtype)
    return folder


def make_examples(folder, task="arc", count=12, reasoning="off"):
    """The first training examples of a task in the world."""
    with at_work():
        renderer = Renderer(load_tokenizer(folder), reasoning)
        return training_examples(renderer, get_task(task), lab.rows(task, "train", count), 1024)[0]


def training_of(examples, method="nopeft", rank=None, recipe=FAST, seed=0, **options):
    """A training as the workbench would ask for it."""
    own = Method(method, method, peft_type=method.upper(), rank_field=rank and "r") if method not in METHODS else None
    spec = MethodSpec(method, (rank,), options, own=own)
    adapter = peft_config(spec, rank, recipe.steps(len(examples)))
    return Training(examples, recipe, adapter, seed, quantization=spec.trained_on)


def trainer_of(folder, runtime, scratch, training):
    """TRL's trainer, before its first step."""
    return make_trainer(load_weights(folder, runtime), load_tokenizer(folder), training, runtime, scratch)


def tune(folder, runtime, out, training, say=print):
    """Train into a folder made for it; the facts."""
    out.mkdir()
    with at_work():
        model = load_weights(folder, runtime, training.quantization)
        return train(model, load_tokenizer(folder), training, runtime, out, say)


def bytes_in(folder):
    """Every file's content by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}

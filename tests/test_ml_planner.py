"""A planned training says the declared one's losses, takes its memory from it, and falls back on it where it must."""

import random
from dataclasses import replace

import pytest
from models import FAST, SHAPE, bytes_in, make_examples, make_trainer, make_weights, training_of, tune

from pytest_ftbench import lab
from pytest_ftbench.grid import Recipe
from pytest_ftbench.ml import course as courses
from pytest_ftbench.ml.base import load_tokenizer, load_weights
from pytest_ftbench.ml.memory import is_shortage
from pytest_ftbench.ml.packing import TokenRow, token_rows
from pytest_ftbench.ml.planned_step import PackedLoss
from pytest_ftbench.ml.planner import Needs, as_declared, choose
from pytest_ftbench.ml.runtime import at_work

pytestmark = pytest.mark.torch

# a rate at which the last of a few steps tells whether those before were the same
PUBLISHED = replace(Recipe(), learning_rate=3e-3, num_train_epochs=2)
NO_DROPOUT = {"nopeft": {}, "ia3": {}, "vera": {"vera_dropout": 0.0}}
METHODS = ["nopeft", "lora", "dora", "vera", "ia3", "adalora"]
GIB = 2**30


@pytest.fixture(scope="module")
def rows(model_folder):
    """Rows of many lengths."""
    tasks = ("arc", "squad", "openmath")
    return [example for task in tasks for example in make_examples(model_folder, task, count=6)]


def prepared(rows, method="nopeft", recipe=PUBLISHED, dropout=False, **options):
    """A training of a method, with dropout or without."""
    if not dropout:
        options = NO_DROPOUT.get(method, {"lora_dropout": 0.0}) | options
    return training_of(rows, method, None if method in ("nopeft", "ia3") else 4, recipe, **options)


@pytest.fixture
def run(model_folder, runtime, tmp_path):
    """Trains into a new folder; the facts."""
    count = iter(range(100))

    def train(training, folder=model_folder, machine=runtime):
        return tune(folder, machine, tmp_path / str(next(count)), training)

    return train


@pytest.fixture
def declared(run, monkeypatch):
    """Trains as TRL does it."""

    def train(training, **places):
        with monkeypatch.context() as patch:
            patch.setattr(courses, "obstacle", lambda *_: "asked for")
            return run(training, **places)

    return train


def apart(one, other):
    """The largest difference of two trainings' losses at a step."""
    return max(abs(a - b) for a, b in zip(one["losses"], other["losses"], strict=True))


@pytest.mark.parametrize("dropout", [False, True], ids=["", "dropout"])
@pytest.mark.parametrize("method", METHODS)
def test_the_losses_are_those_of_the_declared_way(run, declared, rows, method, dropout):
    # each its own, for AdaLoRA writes into its configuration
    slow, fast = (way(prepared(rows, method, dropout=dropout)) for way in (declared, run))
    assert (slow["plan"]["layout"], fast["plan"]["layout"]) == ("declared", "packed")
    assert len(fast["losses"]) == fast["steps"] == slow["steps"] == 6
    assert apart(slow, fast) <= 1e-5
    drops = dropout and method not in ("nopeft", "ia3", "vera")
    assert fast["plan"]["masks"] == ("declared" if drops else "none")
    assert fast["losses"][-1] != fast["losses"][0]
    assert [point["epoch"] for point in fast["points"]] == [point["epoch"] for point in slow["points"]]


def test_dropout_as_declared_is_dropout(run, rows):
    with_it, without = (run(prepared(rows, "lora", dropout=dropout)) for dropout in (True, False))
    assert apart(with_it, without) > 1e-5


@pytest.mark.parametrize("method", ["nopeft", "lora"])
def test_a_recipe_that_pads_has_its_own_losses(run, declared, rows, method):
    recipe = replace(
        PUBLISHED, per_device_train_batch_size=3, gradient_accumulation_steps=2, gradient_checkpointing=False
    )
    training = prepared(rows[:-1], method, replace(recipe, num_train_epochs=1.5), dropout=True)
    slow, fast = declared(training), run(training)
    assert apart(slow, fast) <= 1e-5
    assert fast["plan"]["rows"] == 3
    assert fast["points"][-1]["epoch"] == pytest.approx(slow["points"][-1]["epoch"])


def test_four_bits_are_planned_to_bfloat16s_precision(run, declared, runtime):
    folder = lab.model_folder("nano")  # bitsandbytes wants matrices larger than the tiny model's
    training = prepared(make_examples(folder), "qlora")
    slow, fast = declared(training, folder=folder), run(training, folder=folder)
    assert fast["plan"]["layout"] == "packed"
    # the first step has a rate of zero
    assert fast["losses"][:2] == pytest.approx(slow["losses"][:2], abs=1e-5)
    assert apart(slow, fast) < 1e-2


def test_a_plan_gives_the_same_bytes_again(run, rows, tmp_path):
    training = prepared(rows, "lora", dropout=True)
    first = run(training)
    random.seed(3)
    again = run(training)
    assert first["losses"] == again["losses"]
    assert first["plan"]["why"].partition(" GiB")[0] == again["plan"]["why"].partition(" GiB")[0]
    name = "adapter_model.safetensors"
    assert bytes_in(tmp_path / "0")[name] == bytes_in(tmp_path / "1")[name]


@pytest.mark.parametrize(
    ("training", "why"),
    [
        ({"method": "loha", "alpha": 16, "target_modules": ["q_proj"]}, "the fast way doesn't know LOHA"),
        ({"recipe": replace(PUBLISHED, packing=True)}, "the recipe packs rows itself"),
    ],
    ids=["method", "packing"],
)
def test_what_the_fast_way_does_not_know_is_done_as_declared(run, rows, training, why):
    plan = run(prepared(rows, dropout=True, **training))["plan"]
    assert (plan["layout"], plan["rows"], plan["checkpointing"]) == ("declared", 1, True)
    assert plan["why"] == why


def test_an_attention_that_is_more_than_causal_is_done_as_declared(declared, run, rows, model_folder, tmp_path):
    shape = SHAPE | {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
    folder = tmp_path / "window"
    with at_work():
        tokenizer = load_tokenizer(model_folder)
        tokenizer.save_pretrained(folder)
        make_weights(shape, tokenizer, 0, folder)
    training = prepared(rows)
    facts = run(training, folder=folder)
    assert facts["plan"]["layout"] == "declared"
    assert facts["plan"]["why"].startswith("the fast way doesn't know this model (its attention is more than causal")
    assert facts["losses"] == declared(training, folder=folder)["losses"]


def test_a_fast_way_that_says_another_loss_is_not_taken(run, declared, rows, monkeypatch):
    call = PackedLoss.__call__
    monkeypatch.setattr(PackedLoss, "__call__", lambda *given: call(*given) * 1.001)
    training = prepared(rows)
    facts = run(training)
    assert facts["plan"]["layout"] == "declared"
    assert facts["plan"]["why"].startswith("the fast way says a loss of ")
    assert facts["losses"] == declared(training)["losses"]


def short_of_memory(monkeypatch, most, error):
    """Let a pass over more than so many rows run out of memory, but for the probe's."""
    call = PackedLoss.__call__

    def scarce(self, packed, segments=None):
        if len(packed.lengths) > most and self.armed:
            raise error
        return call(self, packed, segments)

    def follow(self):
        self._loss.armed = True
        return follow_plan(self)

    follow_plan = courses.Course._follow
    monkeypatch.setattr(PackedLoss, "armed", False, raising=False)
    monkeypatch.setattr(PackedLoss, "__call__", scarce)
    monkeypatch.setattr(courses.Course, "_follow", follow)


def shortage():
    import torch

    return torch.OutOfMemoryError("CUDA out of memory.")


@pytest.mark.parametrize("method", ["nopeft", "adalora"])
@pytest.mark.parametrize(
    ("most", "layout", "passes"), [(2, "packed", 2), (0, "declared", 1)], ids=["smaller", "declared"]
)
def test_out_of_memory_costs_no_training(run, declared, rows, monkeypatch, method, most, layout, passes):
    slow = declared(prepared(rows, method, dropout=True))
    short_of_memory(monkeypatch, most, shortage())
    facts = run(replace(prepared(rows, method, dropout=True), snapshots=(1,)))
    assert (facts["plan"]["layout"], facts["plan"]["rows"]) == (layout, passes)
    assert " rows per pass, without checkpointing; " in f"{facts['plan']['why']}; "
    assert apart(slow, facts) <= (1e-5 if most else 0)
    assert [point["epoch"] for point in facts["points"]] == [1, 2]


def test_another_error_is_no_shortage(run, rows, monkeypatch):
    short_of_memory(monkeypatch, 2, RuntimeError("a kernel failed"))
    with pytest.raises(RuntimeError, match="a kernel failed"):
        run(prepared(rows))


def test_what_is_a_shortage():
    assert is_shortage(shortage())
    assert is_shortage(MemoryError())
    assert is_shortage(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."))
    assert not is_shortage(ValueError("out of memory"))


@pytest.fixture
def ready(model_folder, runtime, tmp_path, rows):
    """A trainer before its first step, the rows it has, and a scratch folder."""

    def make(method, recipe=PUBLISHED):
        with at_work():
            model, tokenizer = load_weights(model_folder, runtime), load_tokenizer(model_folder)
            trainer = make_trainer(model, tokenizer, prepared(rows, method, recipe, dropout=True), runtime, tmp_path)
            return trainer, token_rows(trainer.train_dataset)

    return make


@pytest.mark.parametrize("method", ["nopeft", "lora", "adalora"])
def test_the_probe_of_memory_leaves_everything_as_it_was(ready, runtime, tmp_path, method):
    import torch

    trainer, rows = ready(method)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    numbers = torch.get_rng_state()
    with at_work():
        kept = courses.KeptWeights(trainer.model, runtime, tmp_path)
        state = random.getstate(), torch.get_rng_state()
        with courses.declared_steps(trainer, rows, kept, runtime, tmp_path):
            moved = [name for name, tensor in trainer.model.state_dict().items() if not tensor.equal(before[name])]
            assert trainer.model.is_activation_checkpointing
        assert (random.getstate(), torch.get_rng_state().tolist()) == (state[0], state[1].tolist())
    assert moved
    assert torch.get_rng_state().equal(numbers)
    after = trainer.model.state_dict()
    assert after.keys() == before.keys()
    assert all(tensor.equal(before[name]) for name, tensor in after.items())
    assert trainer.optimizer is trainer.lr_scheduler is None
    assert all(parameter.grad is None for parameter in trainer.model.parameters())
    assert not trainer.model.is_activation_checkpointing


@pytest.mark.parametrize(("method", "steps_seen"), [("nopeft", 0), ("loha", 6)])
def test_memory_is_read_after_the_declared_steps_alone(model_folder, runtime, tmp_path, rows, method, steps_seen):
    from pytest_ftbench.ml.train import train

    options = {"alpha": 16, "target_modules": ["q_proj"]} if method == "loha" else {}
    done, read = [], []

    def read_peak():
        read.append(len(done))
        return {"allocated": 1.0}

    with at_work():
        training = prepared(rows, method, dropout=True, **options)
        given = load_weights(model_folder, runtime), load_tokenizer(model_folder), training, runtime, tmp_path
        facts = train(*given, print, done.append, read_peak)
    assert read == [steps_seen]
    assert facts["peak_memory_gib"] == {"allocated": 1.0}


def needs(activations=1e5, free=100 * GIB, trained=10**8, **others):
    return Needs(activations, trained, free, "none", **others)


@pytest.mark.parametrize(
    ("device", "free", "length", "steps", "found"),
    [
        ("cpu", 100, 100, 100, (8, False, False)),
        ("cpu", 100, 200, 100, (4, False, False)),
        ("cpu", 100, 1000, 100, (1, False, False)),
        ("cuda", 100, 200, 100, (8, False, True)),
        ("cuda", 100, 200, 2, (8, False, False)),
        ("cuda", 0.4, 200, 100, (4, False, False)),
        ("cuda", 0.29, 200, 100, (1, True, False)),
    ],
    ids=["cpu", "long", "longer", "cuda", "short", "scarce", "scarcer"],
)
def test_the_plan_follows_from_device_memory_and_length(runtime, device, free, length, steps, found):
    lengths = [length] * 8 * steps
    plan = choose(replace(runtime, device=device), Recipe(), lengths, needs(free=int(free * GIB)), device == "cuda")
    assert (plan.rows, plan.checkpointing, plan.graphed) == found


def test_a_suite_that_wants_no_plan_has_none(run, rows):
    done = run(replace(prepared(rows), planning="off"))
    assert done["plan"]["layout"] == "declared"
    assert done["plan"]["why"] == "the suite wants no plan"


def test_a_refusal_is_the_declared_way(runtime):
    plan = choose(runtime, Recipe(), [200] * 80, needs(refused="it says another loss"), False)
    assert plan == as_declared(Recipe(), runtime.threads, "it says another loss")


def test_each_smaller_plan_takes_less_until_it_is_the_declared_one(runtime):
    machine = replace(runtime, device="cuda")
    plan = choose(machine, Recipe(), [200] * 800, needs(), True)
    found = []
    while plan is not None:
        found.append((plan.rows, plan.checkpointing, plan.graphed, plan.layout))
        plan = plan.smaller(Recipe())
    assert found == [
        (8, False, True, "packed"),
        *((rows, False, False, "packed") for rows in (8, 4, 2, 1)),
        (1, True, False, "packed"),
        (1, True, False, "declared"),
    ]


@pytest.mark.parametrize("method", ["nopeft", "lora"])
@pytest.mark.parametrize("count", [8, 3])
def test_a_graphs_buffer_holds_the_step(ready, runtime, method, count, monkeypatch):
    """What a CUDA graph computes from its buffer, computed here: the gradients of the rows and nothing else."""
    import torch

    from pytest_ftbench.ml import segments
    from pytest_ftbench.ml.graphs import StepGraphs
    from pytest_ftbench.ml.planned_step import PlannedStep

    def flash(query, key, value, scaling, told):
        lengths = told.bounds.diff().tolist()
        return segments._each(query, key, value, scaling, segments.Segments(lengths))

    trainer, rows = ready(method)
    with at_work():
        loss = PackedLoss(trainer.model, runtime)
        loss.model.eval()
        parameters = [parameter for parameter in loss.model.parameters() if parameter.requires_grad]
        plan = as_declared(Recipe(), 1, "")
        eager = PlannedStep(loss, rows, replace(plan, rows=8, layout="packed"), 8, None)(list(range(count)))
        expected = [parameter.grad.clone() for parameter in parameters]
        trainer.model.zero_grad()
        monkeypatch.setattr(segments, "_flash", flash)
        graphs, shape = StepGraphs(loss, parameters, 8, 100), (1536, 128)
        values = torch.tensor(graphs._values(rows[:count], shape), dtype=torch.int32)
        with segments.rows_apart(loss.model):
            found = graphs._compute(values, shape)
    assert found.item() == pytest.approx(eager.item(), abs=1e-5)
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-4)


def test_a_row_knows_where_its_targets_are_predicted():
    row = TokenRow.of([5, 6, 7, 8], [-100, -100, 7, 8])
    assert (row.at, row.labels, len(row)) == ([1, 2], [7, 8], 4)
    # nothing stands before the first token
    assert TokenRow.of([5, 6], [5, 6]).at == [0]


def test_nothing_of_a_plan_outlives_it(run, rows):
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    before = list(ALL_ATTENTION_FUNCTIONS)
    run(prepared(rows, recipe=replace(FAST, num_train_epochs=1)))
    assert list(ALL_ATTENTION_FUNCTIONS) == before

"""Trains one checkpoint with TRL's SFTTrainer and PEFT, exactly as the recipe says; a plan says how it is computed."""

import contextlib
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ftbench.grid import DivergedError, UserError
from pytest_ftbench.ml.base import live_dtype, parameter_count
from pytest_ftbench.ml.countdown import Countdown
from pytest_ftbench.ml.course import Course
from pytest_ftbench.ml.memory import Peak
from pytest_ftbench.ml.outlay import Outlay
from pytest_ftbench.ml.runtime import Runtime
from pytest_ftbench.ml.sft import Training, make_trainer
from pytest_ftbench.ml.snapshots import Snapshots, Stopwatch, save

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from trl import SFTTrainer

GiveWay = Callable[[Callable[[], AbstractContextManager[None]]], None]
"""Lets others go first between two steps, within a block that stops the clock."""


def train(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    training: Training,
    runtime: Runtime,
    folder: Path,
    say: Callable[[str], None],
    give_way: GiveWay = lambda _: None,
    read_peak: Callable[[], Peak] | None = None,
    outlay: Outlay | None = None,
) -> dict[str, Any]:
    """Train a model, save the adapter or the weights into a folder, and return the record's ``train`` object.

    The learning rate, seconds, steps and losses are those of the run. Read from the live model are parameter counts,
    ``dtype`` of all its parameters and ``base_dtype`` of those that an adapter stands beside. ``points`` says what was
    reached at each snapshot and at the end, ``plan`` how it was computed. ``give_way`` is called after each step. With
    ``read_peak``, which reads the peaks since the model was loaded, ``peak_memory_gib`` is what the recipe takes as it
    is declared. The ``outlay`` is told what it takes as soon as that is known. Raises :class:`DivergedError` for a loss
    or a weight that is not finite, :class:`UserError` where nothing was trained.
    """
    with tempfile.TemporaryDirectory() as scratch, _deterministic(runtime):
        cached, base = model.config.use_cache, list(model.parameters())
        trainer = make_trainer(model, tokenizer, training, runtime, Path(scratch))
        sizes = _parameters(trainer.model, base, runtime)
        if outlay is not None:
            outlay.know(trainer.model.parameters(), training.recipe)
        course = Course(trainer, training, runtime, Path(scratch), read_peak, outlay)
        facts = course.run(lambda: _run(trainer, training, runtime, folder, cached, say, give_way))
        save(trainer.model, folder, cached)
    return {
        **facts,
        **sizes,
        "checkpoint_bytes": sum(file.stat().st_size for file in folder.glob("*.safetensors")),
        **_declared(training, runtime),
        "plan": course.plan.as_dict(),
        **({} if course.peak is None else {"peak_memory_gib": course.peak}),
    }


def _run(
    trainer: "SFTTrainer",
    training: Training,
    runtime: Runtime,
    folder: Path,
    cached: bool,
    say: Callable[[str], None],
    give_way: GiveWay,
) -> dict[str, Any]:
    """One training from its first step to its last."""
    watch, stopwatch = _Watch(say), Stopwatch(runtime)
    snapshots = Snapshots(training.snapshots, folder, watch.losses, cached, stopwatch)
    callbacks = [
        _epoch_callback(training),
        watch.callback(),
        snapshots.callback(),
        _break_callback(lambda: give_way(stopwatch.paused)),
    ]
    for callback in callbacks:
        trainer.add_callback(callback)
    try:
        outcome = trainer.train()
        if not watch.losses:
            raise UserError("recipe.num_train_epochs", "makes no training step", "give a number above 0")
        end = snapshots.point(trainer.state)
        _check_weights(trainer.model)
    except DivergedError as error:
        error.seconds = stopwatch.seconds()
        error.share = trainer.state.global_step / trainer.state.max_steps
        raise
    finally:
        for callback in callbacks:
            trainer.remove_callback(callback)
    return {
        "seconds": end["seconds"],
        "steps": outcome.global_step,
        "final_loss": watch.losses[-1],
        "mean_loss": outcome.training_loss,
        "losses": watch.losses,
        "points": [*snapshots.points, end],
    }


def _declared(training: Training, runtime: Runtime) -> dict[str, Any]:
    """What of the record's ``train`` object was known beforehand."""
    return {
        "learning_rate": training.recipe.learning_rate,
        "alpha": getattr(training.adapter, "lora_alpha", getattr(training.adapter, "alpha", None)),
        "use_rslora": getattr(training.adapter, "use_rslora", None),
        "quantization": training.quantization,
        "rows": len(training.examples),
        "device_name": runtime.device_name,
        "threads": runtime.threads,
    }


class _Watch:
    """Follows a training: collects the loss of each step, stops at one that isn't finite, says how far it is."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.losses: list[float] = []
        self._countdown = Countdown(say)

    def callback(self) -> Any:
        """The watch as a callback of the Trainer; made here so that importing this module imports no library."""
        from transformers import TrainerCallback

        watch = self

        class Callback(TrainerCallback):  # type: ignore[misc] # transformers is Any to mypy
            def on_log(self, _args: Any, state: Any, _control: Any, logs: Any = None, **_: Any) -> None:
                if logs and "loss" in logs:
                    watch.step(float(logs["loss"]), state.global_step, state.max_steps)

        return Callback()

    def step(self, loss: float, step: int, steps: int) -> None:
        """Take note of one optimizer step."""
        if not math.isfinite(loss):
            raise DivergedError(f"training step {step}", f"the loss is {loss}", "lower the learning rate")
        self.losses.append(loss)
        self._countdown.reached(step, steps, f"step {step} of {steps}, loss {loss:.3f}")


def _epoch_callback(training: Training) -> Any:
    """A callback of the Trainer that says amid an epoch how much of it is done as the recipe's own batches would say.

    Under a plan a batch is a whole step.
    """
    from transformers import TrainerCallback

    recipe = training.recipe
    batches = -(-len(training.examples) // recipe.per_device_train_batch_size)
    passes = recipe.gradient_accumulation_steps

    class Callback(TrainerCallback):  # type: ignore[misc] # transformers is Any to mypy
        def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            if not recipe.packing:
                epochs, step = divmod(state.global_step, -(-batches // passes))
                state.epoch = epochs + step * passes / batches

    return Callback()


def _break_callback(take_break: Callable[[], None]) -> Any:
    """A callback of the Trainer that takes a break after each optimizer step."""
    from transformers import TrainerCallback

    class Callback(TrainerCallback):  # type: ignore[misc] # transformers is Any to mypy
        def on_step_end(self, *_: Any, **__: Any) -> None:
            take_break()

    return Callback()


@contextlib.contextmanager
def _deterministic(runtime: Runtime) -> Iterator[None]:
    """Choose deterministic kernels where there are any, so that a key stands for one checkpoint; undone afterwards."""
    if runtime.device == "cpu":
        yield
        return
    import torch

    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    settings: Any = torch.utils.deterministic
    filled = settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    # a kernel for each new tensor, and nothing here reads what nobody wrote
    settings.fill_uninitialized_memory = False
    try:
        with warnings.catch_warnings():
            # what has no deterministic kernel says so in every step
            warnings.filterwarnings("ignore", message=".*determinis", category=UserWarning)
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        settings.fill_uninitialized_memory = filled


def _check_weights(model: Any) -> None:
    """Refuse weights that the last update, whose loss nobody sees, has driven out of range."""
    import torch

    for name, parameter in model.named_parameters():
        if parameter.requires_grad and not torch.isfinite(parameter).all():
            raise DivergedError(f"training, {name}", "holds a number that is not finite", "lower the learning rate")


def _parameters(model: Any, base: Sequence["torch.nn.Parameter"], runtime: Runtime) -> dict[str, Any]:
    """What is trained and what there is: counts, dtypes, and the bytes of the whole base in the runtime's dtype."""
    return {
        "trainable_params": sum(parameter_count(p) for p in model.parameters() if p.requires_grad),
        "total_params": sum(map(parameter_count, model.parameters())),
        "merged_bytes": sum(map(parameter_count, base)) * runtime.torch_dtype.itemsize,
        "dtype": live_dtype(model.parameters()),
        "base_dtype": live_dtype(base),
    }

"""Trains one checkpoint with TRL's SFTTrainer and PEFT, exactly as the recipe says."""

import contextlib
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ftbench.grid import Recipe, UserError, first_line
from pytest_ftbench.ml.adapters import adalora_callback
from pytest_ftbench.ml.base import live_dtype, parameter_count
from pytest_ftbench.ml.countdown import Countdown
from pytest_ftbench.ml.prompts import Example
from pytest_ftbench.ml.runtime import Runtime
from pytest_ftbench.ml.snapshots import Snapshots, Stopwatch, save

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from trl import SFTConfig, SFTTrainer

GiveWay = Callable[[Callable[[], AbstractContextManager[None]]], None]
"""Lets others go first between two steps, within a block that stops the clock."""


class DivergedError(UserError):
    """A training whose loss or weights are finite no more: its learning rate is too high.

    It trained for ``seconds``, a ``share`` of all its steps and so about as many ``tokens``.
    """

    seconds = 0.0
    share = 1.0
    tokens = 0


@dataclass(frozen=True)
class Training:
    """What one training needs beside the model: examples, recipe, adapter (None: full fine-tuning), seed.

    ``snapshots`` are the epochs after which it is saved on its way; ``quantization`` is the model's own.
    """

    examples: Sequence[Example]
    recipe: Recipe
    adapter: "PeftConfig | None"
    seed: int
    snapshots: tuple[int, ...] = ()
    quantization: str | None = None


def train(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    training: Training,
    runtime: Runtime,
    folder: Path,
    say: Callable[[str], None],
    give_way: GiveWay = lambda _: None,
) -> dict[str, Any]:
    """Train a model, save the adapter or the weights into a folder, and return the record's ``train`` object.

    The learning rate, seconds, steps and losses are those of the run. Read from the live model are parameter counts,
    ``dtype`` of all its parameters and ``base_dtype`` of those that an adapter stands beside. ``points`` says what was
    reached at each snapshot and at the end. ``give_way`` is called after each step. Raises :class:`DivergedError` for a
    loss or a weight that is not finite, :class:`UserError` where nothing was trained.
    """
    with tempfile.TemporaryDirectory() as scratch, _deterministic(runtime):
        cached, base = model.config.use_cache, list(model.parameters())
        trainer = make_trainer(model, tokenizer, training, runtime, Path(scratch))
        watch = _Watch(say)
        trainer.add_callback(watch.callback())
        sizes = _parameters(trainer.model, base, runtime)
        stopwatch = Stopwatch(runtime)
        snapshots = Snapshots(training.snapshots, folder, watch.losses, cached, stopwatch)
        trainer.add_callback(snapshots.callback())
        trainer.add_callback(_break_callback(lambda: give_way(stopwatch.paused)))
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
        save(trainer.model, folder, cached)
    return {
        "seconds": end["seconds"],
        "steps": outcome.global_step,
        "final_loss": watch.losses[-1],
        "mean_loss": outcome.training_loss,
        "losses": watch.losses,
        "points": [*snapshots.points, end],
        **sizes,
        "checkpoint_bytes": sum(file.stat().st_size for file in folder.glob("*.safetensors")),
        **_declared(training, runtime),
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


def make_trainer(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    training: Training,
    runtime: Runtime,
    scratch: Path,
) -> "SFTTrainer":
    """The trainer for a recipe. The examples come tokenised; TRL builds the labels from their completion masks.

    Raises :class:`UserError` for a value that only TRL or PEFT can tell is wrong, such as a target module there isn't.
    """
    from datasets import Dataset
    from trl import SFTTrainer

    rows = [{"input_ids": e.input_ids, "completion_mask": e.completion_mask} for e in training.examples]
    try:
        trainer = SFTTrainer(
            model=model,
            args=trainer_arguments(training.recipe, training.seed, runtime, scratch),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=training.adapter,
        )
    except (TypeError, ValueError) as error:
        raise UserError(
            f"recipe {training.recipe.name!r}",
            f"it or the method is refused ({first_line(error)})",
            "correct that value",
        ) from error
    # TRL brings adapters on quantized weights to bfloat16, others are in float32: all learn at one precision here
    for parameter in trainer.model.parameters():
        if parameter.requires_grad and training.adapter is not None:
            parameter.data = parameter.data.float()
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    if hasattr(trainer.model, "update_and_allocate"):
        trainer.add_callback(adalora_callback())
    return trainer


def trainer_arguments(recipe: Recipe, seed: int, runtime: Runtime, scratch: Path) -> "SFTConfig":
    """TRL's configuration of a recipe."""
    from trl import SFTConfig

    arguments = SFTConfig(
        output_dir=str(scratch),
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.lr_scheduler_type,
        # below 1, Transformers 5 reads warmup_steps as the fraction that warmup_ratio was before; 1 would be one step
        warmup_steps=min(recipe.warmup_ratio, math.nextafter(1, 0)),
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        per_device_train_batch_size=recipe.per_device_train_batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        num_train_epochs=recipe.num_train_epochs,
        max_length=recipe.max_length,
        packing=recipe.packing,
        gradient_checkpointing=recipe.gradient_checkpointing,
        optim=recipe.optim,
        completion_only_loss=True,
        bf16=runtime.dtype == "bfloat16",
        use_cpu=runtime.device == "cpu",
        seed=seed,
        data_seed=seed,
        logging_steps=1,
        logging_nan_inf_filter=False,  # the default hides steps whose loss is NaN
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=runtime.device == "cuda",
    )
    # on a machine of several GPUs the Trainer would spread the batch over them, which is another recipe
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


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
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings():
            # what has no deterministic kernel says so in every step
            warnings.filterwarnings("ignore", message=".*determinis", category=UserWarning)
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


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

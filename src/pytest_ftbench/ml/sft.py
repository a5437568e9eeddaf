"""TRL's trainer for a recipe, which computes steps as TRL does or, under a plan, as that says."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ftbench.grid import Recipe, UserError, first_line
from pytest_ftbench.ml.adapters import adalora_callback
from pytest_ftbench.ml.prompts import Example
from pytest_ftbench.ml.runtime import Runtime

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from trl import SFTConfig, SFTTrainer


@dataclass(frozen=True)
class Training:
    """What one training needs beside the model: examples, recipe, adapter (None: full fine-tuning), seed.

    ``snapshots`` are the epochs after which it is saved on its way; ``quantization`` is the model's own. ``planning``
    says whether it may be computed by a plan: ``on`` or ``off``.
    """

    examples: Sequence[Example]
    recipe: Recipe
    adapter: "PeftConfig | None"
    seed: int
    snapshots: tuple[int, ...] = ()
    quantization: str | None = None
    planning: str = "on"


def trainer_class() -> type["SFTTrainer"]:
    """TRL's trainer that can follow a plan; made here so that importing this module imports no library.

    Under a plan it goes by whole steps: one batch of row numbers is one step, whose gradients ``planned`` computes. All
    else is the Trainer's own: order, schedule, clipping, optimizer, callbacks.
    """
    from trl import SFTTrainer

    class PlannedTrainer(SFTTrainer):  # type: ignore[misc] # trl is Any to mypy
        planned: Callable[[list[int]], Any] | None = None
        declared_data: Any = None

        def follow(self, recipe: Recipe, planned: Callable[[list[int]], Any] | None, checkpointing: bool) -> None:
            """Compute steps by ``planned`` from now on, as declared where it is None."""
            if self.declared_data is None:
                self.declared_data = vars(self)["train_dataset"], vars(self)["data_collator"]
            data = self.declared_data
            rows, passes = recipe.per_device_train_batch_size, recipe.gradient_accumulation_steps
            self.train_dataset, self.data_collator = data
            if planned is not None:
                rows, passes = rows * passes, 1
                self.train_dataset = range(len(data[0]))
                self.data_collator = lambda indices: {"rows": indices}
            self.planned = planned
            self._train_batch_size, self.args.gradient_accumulation_steps = rows, passes
            for name in ("gradient_checkpointing", "activation_checkpointing"):
                if hasattr(self.args, name):
                    setattr(self.args, name, checkpointing)

        def begin_anew(self) -> None:
            """Forget whatever a training before has left here, but for the weights."""
            self.optimizer = self.lr_scheduler = None
            self.model.zero_grad()
            if self.args.device.type == "cuda":  # a training begins with that, which goes through all there is
                self.accelerator.free_memory()
            self._metrics["train"].clear()
            self._total_train_tokens = 0

        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
            if self.planned is None:
                return super().training_step(model, inputs, num_items_in_batch)
            if not model.training:
                model.train()
            return self.planned(inputs["rows"])

        def floating_point_ops(self, inputs: Any) -> int:
            # the estimate goes through all parameters in every step, and nobody asks for it
            return 0 if self.planned is not None else super().floating_point_ops(inputs)

    return PlannedTrainer


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

    rows = [{"input_ids": e.input_ids, "completion_mask": e.completion_mask} for e in training.examples]
    try:
        trainer = trainer_class()(
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

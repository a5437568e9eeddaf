"""How a checkpoint is trained. Field names are those of Transformers' ``TrainingArguments`` and TRL's ``SFTConfig``."""

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """The training recipe; the defaults are ``published``, the one the studies share for every method.

    ``warmup_ratio`` is a fraction of all steps, ``max_length`` is in tokens.
    """

    name: str = "published"
    learning_rate: float = 1e-5
    lr_scheduler_type: str = "linear"
    warmup_ratio: float = 0.06
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    per_device_train_batch_size: int = 1
    gradient_accumulation_steps: int = 8
    num_train_epochs: float = 1.0
    max_length: int = 1024
    packing: bool = False
    gradient_checkpointing: bool = True
    # the studies leave the optimizer to Transformers' default, which is the fused AdamW
    optim: str = "adamw_torch_fused"

    def steps(self, rows: int) -> int:
        """How many optimizer steps it takes on so many rows."""
        batches = -(-rows // self.per_device_train_batch_size)
        each = max(1, -(-batches // self.gradient_accumulation_steps))
        return math.ceil(self.num_train_epochs * each)

    def as_dict(self) -> dict[str, Any]:
        """Every field by name, plain values."""
        return asdict(self)


RECIPES = {"published": Recipe()}

TUNED = "tuned"
"""The recipe whose learning rates are chosen: each way's by a sweep of its own. All else of it is as in another."""

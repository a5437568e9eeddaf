"""The ways of fine-tuning a model. A further one is one more entry here; nothing else has to know its name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


@dataclass(frozen=True)
class Method:
    """What the grid and the trainer need to know of a method.

    ``peft_type`` is PEFT's own name of it (None: no adapter), ``rank_field`` the field of its config that takes the
    rank (None: it has no rank), ``defaults`` the other fields of the config, overridable in a suite.
    """

    name: str
    label: str
    trains: bool = True
    peft_type: str | None = None
    rank_field: str | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)


METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method("base", "Base", trains=False),
        Method("nopeft", "NoPeft"),
        Method(
            "lora",
            "LoRA",
            peft_type="LORA",
            rank_field="r",
            # alpha, dropout and targets of the studies (shared recipe of "When to Tune, When to Scale", section 2)
            defaults={"lora_alpha": 16, "lora_dropout": 0.1, "target_modules": ATTENTION},
        ),
    )
}


def method_label(name: str) -> str:
    """How tables call a method; a name from elsewhere stands for itself."""
    return METHODS[name].label if name in METHODS else name

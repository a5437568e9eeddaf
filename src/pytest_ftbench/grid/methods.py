"""The ways of fine-tuning a model. A further one is one more entry here; nothing else has to know its name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PROMPTS = frozenset({"PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "ADAPTION_PROMPT", "CPT"})
"""PEFT's types that change no weights: there is nothing to merge."""

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
"""What ``target_modules = "attention"`` means: the projections that the studies adapt."""

MULTIPLE_OF_RANK = re.compile(r"(\d+(?:\.\d+)?)?r")
"""A text such as ``2r``, which stands for twice the rank."""


def may_follow_rank(option: str) -> bool:
    """Whether an option of PEFT's may be a multiple of the rank: an alpha, or the rank to begin at."""
    return option.endswith("alpha") or option == "init_r"


# The rates that a sweep begins around, in multiples of full fine-tuning's. LoRA and its kin: about 10 (Schulman and
# Thinking Machines Lab 2025, "LoRA Without Regret"). VeRA: ten times LoRA's (Kopiczko et al. 2024, tables of
# hyperparameters). IA³: 3e-3, a hundred and more times what full fine-tuning takes (Liu et al. 2022, section 3.3).
# Prompts: 0.3 in Lester et al. 2021 (arXiv:2104.08691), with Adafactor; a thousand is a guess that stays below it.
_ADAPTER_RATE = 10.0
_PROMPT_RATE = 1000.0
_RATES = {"VERA": 100.0, "IA3": 100.0}


@dataclass(frozen=True)
class Method:
    """What the grid and the trainer need to know of a method.

    ``peft_type`` is PEFT's own name of it (None: no adapter), ``rank_field`` the field of its config that takes the
    rank (None: it has no rank), ``defaults`` the other fields of the config, overridable in a suite; a text such as
    ``2r`` is a multiple of the rank. ``quantization`` is what the base's weights are in while it is trained (None: they
    stay as they are). ``fixed`` are fields that make it the method it is.
    """

    name: str
    label: str
    trains: bool = True
    peft_type: str | None = None
    rank_field: str | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    quantization: str | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rate_factor(self) -> float:
        """By how much its best learning rate is expected to be above full fine-tuning's."""
        if self.peft_type is None:
            return 1.0
        return _PROMPT_RATE if self.peft_type in PROMPTS else _RATES.get(self.peft_type, _ADAPTER_RATE)


# Alpha, dropout and targets of the studies (shared recipe of "When to Tune, When to Scale", section 2), which name one
# set for LoRA and its kin; rsLoRA scales by alpha / sqrt(r) (Kalajdzievski 2023, arXiv:2312.03732), LoRA by alpha / r.
_LORA = {"lora_alpha": 16, "lora_dropout": 0.1, "target_modules": ATTENTION, "use_rslora": False}

METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method("base", "Base", trains=False),
        Method("nopeft", "NoPeft"),
        Method("lora", "LoRA", peft_type="LORA", rank_field="r", defaults=_LORA),
        # Liu et al. 2024, arXiv:2402.09353
        Method("dora", "DoRA", peft_type="LORA", rank_field="r", defaults=_LORA, fixed={"use_dora": True}),
        # Kopiczko et al. 2024, arXiv:2310.11454: vectors begin at 0.1, no dropout; the seed is PEFT's own default
        Method(
            "vera",
            "VeRA",
            peft_type="VERA",
            rank_field="r",
            defaults={"vera_dropout": 0.0, "target_modules": ATTENTION, "d_initial": 0.1, "projection_prng_key": 0},
        ),
        # Dettmers et al. 2023, arXiv:2305.14314: a base in NF4 with double quantization; all else as for LoRA here, so
        # that the two differ in this alone
        Method("qlora", "QLoRA", peft_type="LORA", rank_field="r", defaults=_LORA, quantization="nf4"),
        # Liu et al. 2022, arXiv:2205.05638: keys, values and the inner activations of the feed-forward layers
        Method(
            "ia3",
            "IA³",
            peft_type="IA3",
            defaults={
                "target_modules": ("k_proj", "v_proj", "down_proj"),
                "feedforward_modules": ("down_proj",),
            },
        ),
        # Zhang et al. 2023, arXiv:2303.10512: begins at 1.5 times its final average rank, and prunes after a tenth of
        # the steps until three tenths before the end (the paper's schedules, roughly)
        Method(
            "adalora",
            "AdaLoRA",
            peft_type="ADALORA",
            rank_field="target_r",
            defaults={
                "lora_alpha": 16,
                "lora_dropout": 0.1,
                "target_modules": ATTENTION,
                "init_r": "1.5r",
                "tinit": 0.1,
                "tfinal": 0.3,
                "deltaT": 1,
                "beta1": 0.85,
                "beta2": 0.85,
                "orth_reg_weight": 0.5,
            },
        ),
    )
}


def method_label(name: str) -> str:
    """How tables call a method; a name from elsewhere stands for itself."""
    return METHODS[name].label if name in METHODS else name

"""How a training is computed: fast, and with the losses that the recipe's own way gives.

The recipe says how a checkpoint is trained: which rows make a step, what its loss is divided by, the schedule,
clipping, dropout. How a step's gradients come about is the plan's: rows in one pass or in several, one after the other
in one sequence or one by one, activations kept or computed again, launched one by one or as a graph. A plan changes the
order in which sums are rounded and nothing else. Where that isn't certain the recipe is done as it is declared.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pytest_ftbench.grid import Recipe
from pytest_ftbench.ml.runtime import Runtime

DECLARED, PACKED = "declared", "packed"
_KNOWN = ("LORA", "VERA", "IA3", "ADALORA")
_GIB = 2**30
_SHARE = 0.7  # of the free memory that activations may take: neither a part of it nor the need is known exactly
_STATES = 3  # gradients and AdamW's two moments, of the size of what is trained
# on a CPU, rows in one pass gain 15 to 70 % over rows one by one, up to about so many tokens: more leave its caches
# (hidden widths of 128, 256, 512 and 1024, one core)
_CPU_TOKENS = 800
# a step saves a tenth of a second by a graph, recording one takes half a second, and there are a few
_STEPS_FOR_GRAPHS = 30


@dataclass(frozen=True)
class Plan:
    """How each step is computed: ``rows`` per pass, in their order; ``layout`` ``packed``, or ``declared`` as TRL does.

    ``masks`` says whose random numbers adapters' dropout has: ``none``, ``declared`` ones, or ``others`` of the same
    distribution. ``why`` says in words why so.
    """

    rows: int
    layout: str
    checkpointing: bool
    graphed: bool
    threads: int
    masks: str
    why: str
    order: str = "as drawn"

    def as_dict(self) -> dict[str, Any]:
        """The record's ``train.plan``."""
        return asdict(self)

    def smaller(self, recipe: Recipe) -> "Plan | None":
        """What takes less memory, None after the declared way."""
        if self.layout == DECLARED:
            return None
        told = f"{self.why}; then out of memory with {self.in_words()}"
        if self.graphed:
            return replace(self, graphed=False, why=told)
        if self.rows > 1:
            return replace(self, rows=self.rows // 2, why=told)
        if not self.checkpointing:
            return replace(self, checkpointing=True, why=told)
        return as_declared(recipe, self.threads, told, self.masks)

    def in_words(self) -> str:
        """The plan in a phrase."""
        if self.layout == DECLARED:
            return "the declared way"
        graph = ", graphed" if self.graphed else ""
        return f"{self.rows} rows per pass{graph}, {'with' if self.checkpointing else 'without'} checkpointing"


@dataclass(frozen=True)
class Needs:
    """What a probe has found out: ``activations`` in bytes per token, ``trained`` bytes, ``free`` bytes on the device.

    ``masks`` says whose random numbers dropout would have, ``refused`` why the fast way can't be taken (None: it can).
    """

    activations: float
    trained: int
    free: int
    masks: str
    refused: str | None = None


def as_declared(recipe: Recipe, threads: int, why: str, masks: str = "declared") -> Plan:
    """The recipe done as TRL does it."""
    rows, checkpointing = recipe.per_device_train_batch_size, recipe.gradient_checkpointing
    return Plan(rows, DECLARED, checkpointing, False, threads, "declared" if masks == "others" else masks, why)


def obstacle(trainer: Any, recipe: Recipe, quantization: str | None) -> str | None:
    """Why a training can't be planned, seen without computing anything; None where it can."""
    model = trainer.model
    configs = list(getattr(model, "peft_config", {}).values())
    unknown = sorted({config.peft_type.value for config in configs} - set(_KNOWN))
    if unknown:
        return f"the fast way doesn't know {', '.join(unknown)}"
    if recipe.packing:
        return "the recipe packs rows itself"
    if quantization == "int8":
        return "int8 looks for outliers over all rows of a pass"
    if any(word in recipe.optim for word in ("lomo", "layerwise", "schedule_free")):
        return f"{recipe.optim} is part of the backward pass"
    if getattr(model.config.get_text_config(), "attention_dropout", 0):
        return "its attention drops weights"
    return "its loss has a part of its routers" if getattr(trainer, "aux_loss_enabled", False) else None


def choose(runtime: Runtime, recipe: Recipe, lengths: Sequence[int], needs: Needs, graphs: bool) -> Plan:
    """The plan for rows of these ``lengths`` in tokens; ``graphs`` says that steps can be recorded as CUDA graphs."""
    if needs.refused is not None:
        return as_declared(recipe, runtime.threads, needs.refused)
    whole = min(recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps, len(lengths))
    longest = sorted(lengths, reverse=True)[:whole]
    spare = _SHARE * (needs.free - _STATES * needs.trained)
    rows, reasons = whole, ["rows one after the other, for padding costs time"]
    if runtime.device == "cpu":
        while rows > 1 and rows * sum(lengths) > _CPU_TOKENS * len(lengths):
            rows //= 2
        if rows < whole:
            reasons.append(f"{rows} of {whole} rows a pass, for more tokens leave the caches")
    while rows > 1 and needs.activations * sum(longest[:rows]) > spare:
        rows //= 2
    need = needs.activations * sum(longest[:rows])
    checkpointing = need > spare
    amount = f"{need / _GIB:.2g} GiB of activations"
    # how much else is free differs from run to run, and what decides nothing should not make records differ
    said = f"checkpointing for {amount} beside {needs.free / _GIB:.3g} GiB free"
    reasons.append(said if checkpointing else f"no checkpointing, for {amount} are no matter")
    if needs.masks == "others":
        reasons.append("dropout by other random numbers of the same distribution")
    graphed = graphs and rows == whole and not checkpointing and recipe.steps(len(lengths)) >= _STEPS_FOR_GRAPHS
    if graphed:
        reasons.append("graphed, for the device waits for launches")
    return Plan(rows, PACKED, checkpointing, graphed, runtime.threads, needs.masks, "; ".join(reasons))

"""From a method of the suite to PEFT's configuration, and from a trained adapter back to a model that answers."""

import math
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ftbench.grid import ATTENTION, MULTIPLE_OF_RANK, MethodSpec, UserError, first_line, may_follow_rank
from pytest_ftbench.ml.base import one_sentence
from pytest_ftbench.ml.model_files import check_adapter
from pytest_ftbench.ml.probe import MergeProbe
from pytest_ftbench.ml.runtime import Runtime

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig
    from transformers import PreTrainedModel


def adapter_fields(spec: MethodSpec, rank: int | None) -> dict[str, Any]:
    """The fields of a method's PEFT configuration: its defaults, the suite's options over them, and the rank."""
    method = spec.method
    fields = {**method.defaults, **spec.options, **method.fixed}
    fields = {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}
    if fields.get("target_modules") == "attention":
        fields["target_modules"] = list(ATTENTION)
    if method.rank_field is not None and rank is not None:
        fields = {key: _times_rank(value, rank) if may_follow_rank(key) else value for key, value in fields.items()}
        fields[method.rank_field] = rank
    return fields


def _times_rank(value: Any, rank: int) -> Any:
    """The multiple of the rank that a text such as ``1.5r`` means; whatever else it is, the value itself."""
    found = MULTIPLE_OF_RANK.fullmatch(value) if isinstance(value, str) else None
    return value if found is None else math.ceil(float(found[1] or 1) * rank)


def peft_config(spec: MethodSpec, rank: int | None, steps: int) -> "PeftConfig | None":
    """PEFT's configuration of a method for a training of so many steps; None where it trains the weights themselves.

    Raises :class:`UserError` where PEFT has no such method or refuses an option.
    """
    method = spec.method
    if method.peft_type is None:
        return None
    from peft import PeftType, TaskType, get_peft_config

    if method.peft_type not in PeftType.__members__:
        raise UserError(
            f"methods.{spec.name}.peft_type", f"PEFT has no {method.peft_type}", f"known are {', '.join(PeftType)}"
        )
    fields = adapter_fields(spec, rank)
    if method.peft_type == "ADALORA":
        fields |= _schedule(spec.name, fields, steps)
    try:
        return get_peft_config({"peft_type": method.peft_type, "task_type": TaskType.CAUSAL_LM, **fields})
    except (TypeError, ValueError) as error:
        raise UserError(
            f"methods.{spec.name}", f"PEFT refuses it ({first_line(error)})", "correct its options"
        ) from error


def _schedule(name: str, fields: Mapping[str, Any], steps: int) -> dict[str, int]:
    """AdaLoRA's schedule in steps, of which parts may be given as fractions of all."""
    given = {key: fields.get(key, 0) for key in ("tinit", "tfinal")}
    parts = {key: int(part if part >= 1 else part * steps) for key, part in given.items()}
    # it prunes for good at one step, by what it has seen at those before
    if steps - parts["tfinal"] - parts["tinit"] < 2:
        raise UserError(
            f"methods.{name}", f"a training of {steps} steps leaves none to share ranks out in", "train for longer"
        )
    if fields.get("init_r", 12) <= fields.get("target_r", 8):  # PEFT's own defaults
        raise UserError(f"methods.{name}.init_r", "leaves no rank to prune", "begin above the rank, as in 1.5r")
    return {"total_step": steps, **parts}


def beside(model: "PreTrainedModel", folder: Path, runtime: Runtime) -> "PreTrainedModel":
    """A base model with the adapter in a folder beside its weights, in the dtype of the runtime."""
    own = set(model.buffers())
    adapted: PreTrainedModel = _adapted(model, folder, runtime)
    _cast((*adapted.parameters(), *(buffer for buffer in adapted.buffers() if buffer not in own)), runtime)
    return adapted


def merged(
    model: "PreTrainedModel", folder: Path, runtime: Runtime, probe: MergeProbe | None = None
) -> "PreTrainedModel":
    """A base model with the adapter in a folder merged into its weights, in the base's own dtype.

    The product is computed with the adapter as it was trained; it and the sum are rounded to the base's dtype. Whatever
    PEFT leaves in another dtype is brought back: a base in two dtypes costs the memory of the larger. A ``probe`` is
    shown the model before and after.

    Raises :class:`UserError` for an adapter that changes no weights, such as a prompt.
    """
    adapted = _adapted(model, folder, runtime)
    if probe is not None:
        probe.unmerged(adapted)
    try:
        whole: PreTrainedModel = adapted.merge_and_unload()
    except (AttributeError, NotImplementedError) as error:
        name = adapted.active_peft_config.peft_type.value
        raise UserError(
            name, f"can't be merged into the weights ({first_line(error)})", 'give its method adapters = "unmerged"'
        ) from error
    _cast(whole.parameters(), runtime)
    if probe is not None:
        probe.merged(whole)
    return whole


def _cast(tensors: Iterable["torch.Tensor"], runtime: Runtime) -> None:
    """Bring tensors to the runtime's dtype where they are; quantized ones are bytes and stay.

    A model's own buffers are not among them: the frequencies of positions are in float32 whatever the weights are in.
    """
    for tensor in tensors:
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(runtime.torch_dtype)


def _adapted(model: "PreTrainedModel", folder: Path, runtime: Runtime) -> Any:
    """A model with the adapter in a folder beside its weights, as it was saved."""
    from peft import PeftModel

    check_adapter(folder)
    with warnings.catch_warnings(), one_sentence(folder, "adapter", "remove that folder, and it is trained anew"):
        # of AdaLoRA's ranks, which are for its own layers: PEFT looks for LoRA's too
        warnings.filterwarnings("ignore", message="The following rank_pattern keys did not match")
        return PeftModel.from_pretrained(model, folder, torch_device=runtime.device)


def adalora_callback() -> Any:
    """What AdaLoRA needs of its training beside the loss; made here so that importing this module imports no library.

    Before the first gradients of a step, those of its penalty, which PEFT adds to a loss that TRL doesn't use: the mean
    distance of its factors from orthogonal ones, times ``orth_reg_weight`` (Zhang et al. 2023, equation 4, as PEFT has
    it). It is no part of the losses told. After the step, while gradients are there, the ranks are shared out anew.
    """
    from transformers import TrainerCallback

    class Callback(TrainerCallback):  # type: ignore[misc] # transformers is Any to mypy
        def on_step_begin(self, _args: Any, _state: Any, _control: Any, model: Any = None, **_: Any) -> None:
            (model.active_peft_config.orth_reg_weight * _far_from_orthogonal(model)).backward()

        def on_optimizer_step(self, _args: Any, state: Any, _control: Any, model: Any = None, **_: Any) -> None:
            model.base_model.update_and_allocate(state.global_step + 1)

    return Callback()


def _far_from_orthogonal(model: Any) -> "torch.Tensor":
    """The mean Frobenius distance of AdaLoRA's factors' products with themselves from the identity."""
    import torch

    products = [
        factor @ factor.T if "lora_A" in name else factor.T @ factor
        for name, factor in model.named_parameters()
        if "lora_A" in name or "lora_B" in name
    ]
    return torch.stack(
        [torch.linalg.norm(p - torch.eye(len(p), device=p.device, dtype=p.dtype)) for p in products]
    ).mean()

"""From a method of the suite to PEFT's configuration, and from a trained adapter back to plain weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ftbench.grid import METHODS, MethodSpec, UserError
from pytest_ftbench.ml.runtime import Runtime

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel


def adapter_fields(spec: MethodSpec, rank: int | None) -> dict[str, Any]:
    """The fields of a method's PEFT configuration: its defaults, the suite's options over them, and the rank."""
    method = METHODS[spec.name]
    fields = {key: list(value) if isinstance(value, tuple) else value for key, value in method.defaults.items()}
    fields |= spec.options
    if method.rank_field is not None:
        fields[method.rank_field] = rank
    return fields


def peft_config(spec: MethodSpec, rank: int | None) -> "PeftConfig | None":
    """PEFT's configuration of a method; None where it trains the weights themselves.

    Raises :class:`UserError` where PEFT refuses an option.
    """
    method = METHODS[spec.name]
    if method.peft_type is None:
        return None
    from peft import TaskType, get_peft_config

    try:
        return get_peft_config(
            {"peft_type": method.peft_type, "task_type": TaskType.CAUSAL_LM, **adapter_fields(spec, rank)}
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"methods.{spec.name}", f"PEFT refuses it ({error})", "correct its options") from error


def merged(model: "PreTrainedModel", folder: Path, runtime: Runtime) -> "PreTrainedModel":
    """A base model with the adapter in a folder merged into its weights, in the base's own dtype.

    The product is computed with the adapter as it was trained (float32); it and the sum are rounded to the base's
    dtype. Whatever PEFT leaves in another dtype is brought back: a base in two dtypes costs the memory of the larger.
    """
    from peft import PeftModel

    adapted = PeftModel.from_pretrained(model, folder, torch_device=runtime.device)
    whole: PreTrainedModel = adapted.merge_and_unload()
    return whole.to(runtime.torch_dtype)

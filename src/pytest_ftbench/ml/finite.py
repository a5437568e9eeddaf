"""Numbers that are none: a weight or a logit that isn't finite.

The largest of logits among which one is NaN is that one, so that a broken model answers with the same token again and
again: a score of nothing, which nothing would tell from a bad model's.
"""

from typing import TYPE_CHECKING, Any

from pytest_ftbench.grid import DivergedError, UserError

if TYPE_CHECKING:
    import torch

    from pytest_ftbench.ml.base import BaseModel

_FLOATS = ("float16", "bfloat16", "float32", "float64")


def not_finite(model: "torch.nn.Module") -> str | None:
    """The first parameter with a number that isn't finite; quantized ones are no floats, and aren't looked at."""
    import torch

    named = [(name, each.detach()) for name, each in model.named_parameters() if _is_float(each)]
    if not named:
        return None
    # one pass over each, without a copy; a NaN is both the least and the largest
    extremes = torch.stack([torch.stack(each.aminmax()).double() for _, each in named])
    fine = extremes.isfinite().all(dim=1).tolist()
    return next((name for (name, _), is_fine in zip(named, fine, strict=True) if not is_fine), None)


def _is_float(parameter: "torch.nn.Parameter") -> bool:
    return parameter.numel() > 0 and str(parameter.dtype).removeprefix("torch.") in _FLOATS


def check_base(model: "torch.nn.Module", base: "BaseModel") -> None:
    """Refuse a base model whose weights aren't finite: nothing can be learnt from it, nor asked of it."""
    if (name := not_finite(model)) is not None:
        raise UserError(
            f"model {base.name!r} in {base.folder}", f"{name} holds a number that is not finite", "take another copy"
        )


def check_tuned(model: "torch.nn.Module", base: "BaseModel") -> None:
    """Refuse a tuned model whose weights aren't finite, such as one whose adapter is too large for its dtype."""
    if (name := not_finite(model)) is not None:
        raise DivergedError(
            f"model {base.name!r}, tuned",
            f"{name} holds a number that is not finite",
            "lower the learning rate or use a wider --ftbench-dtype",
        )


def name_of(model: Any) -> str:
    """Where a model came from, or what it is."""
    return str(getattr(getattr(model, "config", None), "name_or_path", "") or type(model).__name__)


def check_logits(logits: "torch.Tensor", name: str) -> None:
    """Refuse a model's logits that aren't numbers: an answer by them would be one token again and again."""
    if bool(logits.isnan().any()):
        raise DivergedError(
            f"model {name}",
            "its logits are not numbers (NaN), and no answer follows from them",
            "take another copy of it or a wider --ftbench-dtype",
        )

"""Attention of rows that stand one after the other in one sequence: each row to itself alone, without a mask.

A block mask over the whole sequence says the same and costs the square of its length. It is known to Transformers under
a name of its own, only while a forward pass of this package runs.
"""

import contextlib
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from pytest_ftbench.ml.runtime import Runtime

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_NAME = "ftbench_segments"
_HEADS = 256  # dimensions per head that flash attention has kernels for
_AMPERE = (8, 0)


class UnknownAttentionError(ValueError):
    """An attention that is more than the causal one over a row."""


@contextlib.contextmanager
def rows_apart(model: "PreTrainedModel") -> Iterator[None]:
    """Let a model's layers attend within the rows that its forward pass is told of as ``segments``."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    config = model.config
    before = config._attn_implementation
    ALL_ATTENTION_FUNCTIONS[_NAME] = _attention
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        del ALL_ATTENTION_FUNCTIONS[_NAME]


class Segments:
    """Where rows end. ``bounds`` of shape (rows + 1,), int32 on the device, is where flash attention can be used."""

    def __init__(
        self, lengths: Sequence[int], longest: int | None = None, bounds: "torch.Tensor | None" = None
    ) -> None:
        self.lengths = list(lengths)
        self.longest = longest or max(lengths)
        self.bounds = bounds


def flash_attends(model: "PreTrainedModel", runtime: Runtime) -> bool:
    """Whether torch's flash attention takes a model's heads on a device."""
    import torch

    if runtime.device != "cuda" or runtime.dtype not in ("bfloat16", "float16"):
        return False
    config = model.config.get_text_config()
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return head <= _HEADS and head % 8 == 0 and torch.cuda.get_device_capability() >= _AMPERE


def _attention(
    module: Any,
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    _mask: Any,
    dropout: float = 0.0,
    scaling: float | None = None,
    segments: Segments | None = None,
    **others: Any,
) -> tuple["torch.Tensor", None]:
    """What Transformers calls: tensors of shape (1, heads, tokens, width of a head) to (1, tokens, heads, width).

    Raises :class:`UnknownAttentionError` for a window that is shorter than a row, or anything else beside the scale.
    """
    if segments is None or dropout or not getattr(module, "is_causal", True):
        raise UnknownAttentionError("rows can't be told apart in its attention")
    window = others.get("sliding_window")
    if (window and segments.longest > window) or any(
        others.get(name) is not None for name in ("softcap", "s_aux", "position_bias", "cache")
    ):
        raise UnknownAttentionError("its attention is more than causal")
    if segments.bounds is not None:
        return _flash(query, key, value, scaling, segments), None
    return _each(query, key, value, scaling, segments), None


def _each(
    query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor", scaling: float | None, segments: Segments
) -> "torch.Tensor":
    """One causal attention after the other."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention as attend

    parts = zip(*(torch.split(tensor, segments.lengths, dim=2) for tensor in (query, key, value)), strict=True)
    grouped = query.shape[1] != key.shape[1]
    found = [attend(q, k, v, is_causal=True, scale=scaling, enable_gqa=grouped) for q, k, v in parts]
    return torch.cat(found, dim=2).transpose(1, 2).contiguous()


def _flash(
    query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor", scaling: float | None, segments: Segments
) -> "torch.Tensor":
    """All rows by one kernel, which reads where they end on the device: their lengths may change under a CUDA graph."""
    import torch

    bounds, longest = segments.bounds, segments.longest
    begun, ended = _strict_backward()
    heads = begun.apply(*(tensor[0].transpose(0, 1) for tensor in (query, key, value)))
    found = torch.ops.aten._flash_attention_forward(
        *heads, bounds, bounds, longest, longest, 0.0, True, False, scale=scaling
    )
    return ended.apply(found[0])[None]  # type: ignore[no-any-return] # an operator's result is Any


@cache
def _strict_backward() -> tuple[Any, Any]:
    """Two functions that change nothing; what stands between them is strictly deterministic in its backward pass.

    Flash attention adds up in any order unless deterministic algorithms are asked for strictly, which nothing else here
    need bear: a training asks for those there are.
    """
    import torch

    def ask(strictly: bool) -> None:
        if torch.are_deterministic_algorithms_enabled():
            torch.use_deterministic_algorithms(True, warn_only=not strictly)

    class Begun(torch.autograd.Function):
        @staticmethod
        def forward(_context: Any, *tensors: torch.Tensor) -> Any:
            return tuple(tensor.view_as(tensor) for tensor in tensors)

        @staticmethod
        def backward(_context: Any, *gradients: torch.Tensor) -> Any:
            ask(strictly=False)
            return gradients

    class Ended(torch.autograd.Function):
        @staticmethod
        def forward(_context: Any, tensor: torch.Tensor) -> Any:
            return tensor.view_as(tensor)

        @staticmethod
        def backward(_context: Any, gradient: torch.Tensor) -> Any:
            ask(strictly=True)
            return gradient

    return Begun, Ended

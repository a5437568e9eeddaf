"""The last layer's feed-forward block, for the tokens that something is predicted at and no others.

No later layer looks at the rest. Of a model of four layers that is a sixth of the arithmetic; of one of thirty it is
not worth the trouble on a GPU, which waits for other things.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pytest_ftbench.ml.dropout import dropouts

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@contextlib.contextmanager
def targets_alone(model: "PreTrainedModel", at: "torch.Tensor") -> Iterator[None]:
    """Let the last block work at ``at`` alone, different places in a sequence, while the block runs."""
    import torch

    block = _last_block(model)
    if block is None or not len(at):
        yield
        return
    whole = block.forward

    def forward(hidden: "torch.Tensor") -> "torch.Tensor":
        return torch.zeros_like(hidden).index_copy(1, at, whole(hidden.index_select(1, at)))

    block.forward = forward
    try:
        yield
    finally:
        del block.forward


def _last_block(model: "PreTrainedModel") -> Any:
    """The last layer's block where it goes token by token; None where that isn't known, or where it drops anything.

    What it drops is drawn for all tokens.
    """
    layers: Any = getattr(model.base_model, "layers", None)
    block = getattr(layers[-1], "mlp", None) if layers else None
    if block is None or not type(block).__name__.endswith("MLP") or dropouts(block):
        return None
    return block

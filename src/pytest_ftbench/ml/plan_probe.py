"""What a plan has to know of a model before its first step: whether the fast way agrees, and what it takes.

The two are shown the same two rows without dropout, and must say the same loss and gradients. Nothing of the model is
changed, and random numbers go on as if none had been drawn.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_ftbench.grid import first_line
from pytest_ftbench.ml.dropout import SameMasks, dropouts, nothing_dropped
from pytest_ftbench.ml.memory import free_bytes, is_shortage
from pytest_ftbench.ml.packing import IGNORED, TokenRow, pack
from pytest_ftbench.ml.planned_step import PackedLoss
from pytest_ftbench.ml.planner import Needs
from pytest_ftbench.ml.runtime import own_randomness

if TYPE_CHECKING:
    import torch

# how far losses and gradients of the same rows may be apart, as shares: rounding, in the precision they are computed in
_EXACT, _ROUNDED = (1e-5, 1e-3), (2e-2, 0.2)


def probe(loss: PackedLoss, rows: Sequence[TokenRow], masks: SameMasks) -> Needs:
    """Look at the longest and the shortest row."""
    few = [max(rows, key=len), min(rows, key=len)]
    trained = sum(p.numel() * p.element_size() for p in loss.model.parameters() if p.requires_grad)
    dropping = bool(dropouts(loss.model))
    kept, refused = 0, None
    try:
        with own_randomness():
            kept = _activations(loss, few, masks)
        with own_randomness():
            refused = _disagreement(loss, few)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # two rows have no place without checkpointing; or a kernel isn't there
        short = is_shortage(error)
        refused = "no memory for two rows" if short else f"the fast way doesn't know this model ({first_line(error)})"
    told = "none" if not dropping else "declared" if loss.runtime.device == "cpu" and masks.known else "others"
    if told == "others" and loss.runtime.device == "cpu":
        refused = refused or "whose turn a dropout is can't be told"
    return Needs(kept / sum(map(len, few)), trained, free_bytes(loss.runtime), told, refused)


def _activations(loss: PackedLoss, rows: Sequence[TokenRow], masks: SameMasks) -> int:
    """The bytes that a forward pass keeps for the backward one; on the way, who drops what is seen."""
    import torch

    own = {p.untyped_storage().data_ptr() for p in (*loss.model.parameters(), *loss.model.buffers())}
    seen: dict[int, torch.Tensor] = {}

    def keep(tensor: "torch.Tensor") -> "torch.Tensor":
        # detached: what keeps a result for its own gradient would keep itself. It is held, for its place is taken again
        place = tensor.untyped_storage().data_ptr()
        if place not in own:
            seen[place] = tensor.detach()
        return tensor.detach()

    loss.model.train()
    packed, hooks = pack(rows, loss.runtime.device), torch.autograd.graph.saved_tensors_hooks(keep, lambda each: each)
    with masks.learning(), loss.layers_for(packed), hooks:
        loss(packed)
    return sum(tensor.untyped_storage().nbytes() for tensor in seen.values())


def _disagreement(loss: PackedLoss, rows: Sequence[TokenRow]) -> str | None:
    """Why the fast way is not to be trusted with this model, None where it says and learns what TRL does."""
    import torch

    parameters = [parameter for parameter in loss.model.parameters() if parameter.requires_grad]
    rounded = loss.runtime.dtype != "float32" or getattr(loss.model, "is_quantized", False)
    near, alike = _ROUNDED if rounded else _EXACT
    try:
        with nothing_dropped(loss.model):
            packed = pack(rows, loss.runtime.device)
            with loss.layers_for(packed):
                found = loss(packed)
                torch.autograd.backward(found)
            fast, length, declared = found.item(), _norm(parameters), 0.0
            for row in rows:
                told = _declared(loss, row)
                # what is left of the gradients is their difference
                torch.autograd.backward(-told)
                declared += told.item()
            rest = _norm(parameters)
    finally:
        for parameter in parameters:
            parameter.grad = None
    if not abs(fast - declared) <= near * max(1.0, abs(declared)):
        return f"the fast way says a loss of {fast:.6g} where the declared one says {declared:.6g}"
    if not rest <= alike * length:
        return f"the fast way's gradients are {rest / length:.2g} of their length from the declared ones"
    return None


def _norm(parameters: "Sequence[torch.nn.Parameter]") -> float:
    import torch

    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return torch.nn.utils.get_total_norm(gradients).item()


def _declared(loss: PackedLoss, row: TokenRow) -> "torch.Tensor":
    """What TRL's forward pass says of a row by itself."""
    import torch

    labels = [IGNORED] * len(row)
    for at, label in zip(row.at, row.labels, strict=True):
        labels[at + 1] = label
    ids, wanted = (torch.tensor([each], device=loss.runtime.device) for each in (row.ids, labels))
    given: dict[str, Any] = {"attention_mask": torch.ones_like(ids), "labels": wanted, "use_cache": False}
    with loss.autocast():
        found = loss.model(input_ids=ids, fused_lm_head=True, **given)
    return -found.log_probs.sum()  # type: ignore[no-any-return] # transformers is Any to mypy

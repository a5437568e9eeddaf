"""Adapters' dropout in a planned step: the very masks that the declared way draws, in its order.

The declared way draws row by row and, within a row, module by module; a step over all rows at once would draw module by
module, and so other numbers. On a CPU they are drawn beforehand in the declared order, by the same calls, which costs
what it costs there. On CUDA that would be a thousand small kernels a step: there, the numbers are others of the same
distribution, and the record says so.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def dropouts(model: "torch.nn.Module") -> "list[torch.nn.Dropout]":
    """The modules that drop anything."""
    import torch

    return [module for module in model.modules() if isinstance(module, torch.nn.Dropout) and module.p > 0]


@contextlib.contextmanager
def nothing_dropped(model: "torch.nn.Module") -> Iterator[None]:
    """Compute without dropout, and go on as before.

    All else stays in training: bitsandbytes packs weights anew for answering, and they aren't the same afterwards.
    """
    modules = [module for module in dropouts(model) if module.training]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module in modules:
            module.train()


class SameMasks:
    """Draws what each dropout of a model drops, in ``micro_batch`` rows at a time as a recipe declares them."""

    def __init__(self, model: "torch.nn.Module", micro_batch: int) -> None:
        self.modules = dropouts(model)
        self.micro_batch = micro_batch
        self._order: list[tuple[Any, int, torch.dtype]] = []

    @property
    def known(self) -> bool:
        """Whether each was seen to work once in a forward pass: else there is no saying who draws when."""
        return sorted(id(module) for module, _, _ in self._order) == sorted(map(id, self.modules))

    @contextlib.contextmanager
    def learning(self) -> Iterator[None]:
        """See in one forward pass in which order they come, on what."""

        def see(module: Any, given: Any) -> None:
            self._order.append((module, given[0].shape[-1], given[0].dtype))

        self._order.clear()
        hooks = [module.register_forward_pre_hook(see) for module in self.modules]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def draw(self, lengths: Sequence[int]) -> "list[list[torch.Tensor]]":
        """For each module, for each row of a step the factors of its numbers, of shape (length, width)."""
        import torch
        from torch.nn.functional import dropout

        drawn: list[list[torch.Tensor]] = [[] for _ in self._order]
        for start in range(0, len(lengths), self.micro_batch):
            batch = lengths[start : start + self.micro_batch]
            for masks, (module, width, dtype) in zip(drawn, self._order, strict=True):
                # padded on the right as TRL pads: padding takes random numbers as well
                factors = dropout(torch.ones(len(batch), max(batch), width, dtype=dtype), module.p)
                masks += [factors[row, :length] for row, length in enumerate(batch)]
        return drawn

    @contextlib.contextmanager
    def applied(self, drawn: "list[list[torch.Tensor]]", rows: slice) -> Iterator[None]:
        """Let the modules drop what was drawn for some rows of the step, which stand one after the other."""
        import torch

        for (module, _, _), masks in zip(self._order, drawn, strict=True):
            module.forward = torch.cat(masks[rows])[None].mul
        try:
            yield
        finally:
            for module in self.modules:
                del module.forward

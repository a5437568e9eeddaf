"""Whether merging an adapter changes what is computed: logits of a few prompts before it and after.

In exact arithmetic they are the same. What is left is rounding, of the sum of weights to the base's dtype; a gap that
is large beside the spread of the logits themselves says that something else was merged than was trained.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_ftbench.grid import Cell
from pytest_ftbench.ml.base import BaseModel, load_tokenizer
from pytest_ftbench.ml.prompts import Renderer
from pytest_ftbench.ml.rows import RowSource
from pytest_ftbench.tasks import get_task

if TYPE_CHECKING:
    import torch

PROBES = 4
"""How many prompts are looked at."""

_POSITIONS = 32  # the last ones of each: the logits of a vocabulary of 150,000 take 0.6 MB each


def probe_prompts(base: BaseModel, cell: Cell, rows: RowSource, reasoning: str) -> list[str]:
    """Rendered prompts to look at: of the task a cell was trained on, so that all of its checkpoint's have the same."""
    assert cell.train_task is not None
    task, renderer = get_task(cell.train_task), Renderer(load_tokenizer(base.folder), reasoning)
    return [renderer.prompt(task.messages(row)) for row in rows.train(task)[:PROBES]]


class MergeProbe:
    """Looks at a model with its adapter beside the weights, and again with it merged in; ``found`` says what it saw.

    ``found`` is the record's ``provenance.merge`` (None before both were seen): ``max_logit_gap``, the largest absolute
    difference of two logits; ``logit_std``, the standard deviation of the unmerged ones; ``argmax_flips``, the share of
    positions at which another token has the largest.
    """

    def __init__(self, prompts: Sequence[Sequence[int]]) -> None:
        self._prompts = [list(tokens[-_POSITIONS:]) for tokens in prompts[:PROBES] if tokens]
        self._beside: torch.Tensor | None = None
        self.found: dict[str, float] | None = None

    def unmerged(self, model: Any) -> None:
        """Take the logits of a model with its adapter beside the weights."""
        if self._prompts:
            self._beside = self._logits(model)

    def merged(self, model: Any) -> None:
        """Compare those of the same model with it merged in."""
        if self._beside is None:
            return
        beside, together = self._beside, self._logits(model)
        self._beside = None
        flips = together.argmax(dim=-1) != beside.argmax(dim=-1)
        self.found = {
            "max_logit_gap": float((together - beside).abs().max()),
            "logit_std": float(beside.std()),
            "argmax_flips": float(flips.float().mean()),
        }

    def _logits(self, model: Any) -> "torch.Tensor":
        """The logits at every position looked at, in float32, shape (positions, vocabulary), off the device."""
        import torch

        model.eval()
        # prompt by prompt: what a batch pads, some adapters see
        with torch.no_grad():
            each = [model(input_ids=torch.tensor([ids], device=model.device)).logits[0] for ids in self._prompts]
            return torch.cat(each).float().cpu()

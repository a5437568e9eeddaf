"""Whether merging an adapter changes what is computed: logits of a few prompts before it and after.

In exact arithmetic they are the same. What is left is rounding, of the sum of weights to the base's dtype. Whether that
is much is told by what the adapter itself does to the base's logits: a merge that lost or doubled it is off by as much
as that, one that only rounds by a fraction. In bfloat16 a small adapter's fraction is no small one (0.4 for an update
of 2 % of the weights), and of close logits rounding alone makes another the largest.
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

# so many steps of the dtype, at the size of the logits, are no more than rounding: between two of them, and on the
# whole, where what an adapter changes is as little as what its merge rounds
_STEPS_APART, _STEPS_IN_ALL = 4, 8
_POSITIONS = 32  # the last ones of each: the logits of a vocabulary of 150,000 take 0.6 MB each


def probe_prompts(base: BaseModel, cell: Cell, rows: RowSource, reasoning: str) -> list[str]:
    """Rendered prompts to look at: of the task a cell was trained on, so that all of its checkpoint's have the same."""
    assert cell.train_task is not None
    task, renderer = get_task(cell.train_task), Renderer(load_tokenizer(base.folder), reasoning)
    return [renderer.prompt(task.messages(row)) for row in rows.train(task)[:PROBES]]


class MergeProbe:
    """Looks at a model with its adapter beside the weights, and again with it merged in; ``found`` says what it saw.

    ``found`` is the record's ``provenance.merge`` (None before both were seen): ``relative_rms``, the root mean square
    of the logits' differences over that of what the adapter changes in its base's (None where that is no more than
    rounding); ``max_logit_gap``, the largest difference; ``logit_std``, the standard deviation of the unmerged ones;
    ``argmax_flips``, the share of positions at which another token has the largest by more than rounding explains.
    ``requantized_rms`` is as ``relative_rms``, of a model quantized after the merge.
    """

    def __init__(self, prompts: Sequence[Sequence[int]]) -> None:
        self._prompts = [list(tokens[-_POSITIONS:]) for tokens in prompts[:PROBES] if tokens]
        self._beside: torch.Tensor | None = None
        self._effect: float | None = None
        self._step = 0.0
        self.found: dict[str, float | None] | None = None

    def unmerged(self, model: Any) -> None:
        """Take the logits of a model with its adapter beside the weights, and of its base alone."""
        if not self._prompts:
            return
        import torch

        self._beside = self._logits(model)
        self._step = torch.finfo(model.dtype).eps
        with model.disable_adapter():
            effect = _rms(self._beside - self._logits(model))
        self._effect = effect if effect > _STEPS_IN_ALL * self._step * _rms(self._beside) else None

    def merged(self, model: Any) -> None:
        """Compare those of the same model with it merged in."""
        if self._beside is None:
            return
        beside, together = self._beside, self._logits(model)
        # by how much the token that is now the largest was below the one that was
        now = together.argmax(dim=-1, keepdim=True)
        margin = beside.amax(dim=-1) - beside.gather(-1, now).squeeze(-1)
        rounding = _STEPS_APART * self._step * beside.abs().amax(dim=-1)
        self.found = {
            "relative_rms": self._relative(together),
            "max_logit_gap": float((together - beside).abs().max()),
            "logit_std": float(beside.std()),
            "argmax_flips": float((margin > rounding).float().mean()),
        }

    def requantized(self, model: Any) -> None:
        """Compare those of the merged model once its weights are quantized again."""
        if self._beside is not None and self.found is not None:
            self.found["requantized_rms"] = self._relative(self._logits(model))

    def _relative(self, logits: "torch.Tensor") -> float | None:
        assert self._beside is not None
        return None if self._effect is None else _rms(logits - self._beside) / self._effect

    def _logits(self, model: Any) -> "torch.Tensor":
        """The logits at every position looked at, in float32, shape (positions, vocabulary), off the device."""
        import torch

        model.eval()
        # prompt by prompt: what a batch pads, some adapters see
        with torch.no_grad():
            each = [model(input_ids=torch.tensor([ids], device=model.device)).logits[0] for ids in self._prompts]
            return torch.cat(each).float().cpu()


def _rms(values: "torch.Tensor") -> float:
    return float(values.square().mean().sqrt())

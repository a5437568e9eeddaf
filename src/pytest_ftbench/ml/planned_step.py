"""One optimizer step's gradients, computed as a plan says instead of row by row.

The sum is the recipe's: of all rows' losses over the number of target tokens of the whole effective batch.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pytest_ftbench.ml.dropout import SameMasks
from pytest_ftbench.ml.graphs import StepGraphs
from pytest_ftbench.ml.last_layer import targets_alone
from pytest_ftbench.ml.packing import Packed, TokenRow, pack
from pytest_ftbench.ml.planner import Plan
from pytest_ftbench.ml.runtime import Runtime
from pytest_ftbench.ml.segments import Segments, flash_attends, rows_apart

if TYPE_CHECKING:
    import torch


class PackedLoss:
    """The summed loss of packed rows under a model that TRL would train, ``PeftModel`` or not."""

    def __init__(self, model: Any, runtime: Runtime) -> None:
        self.model = model.get_base_model() if hasattr(model, "peft_config") else model
        self.runtime = runtime
        self.flash = flash_attends(self.model, runtime)

    def __call__(self, packed: Packed, segments: Segments | None = None) -> "torch.Tensor":
        """The sum over the targets, in float32."""
        from torch.nn.functional import cross_entropy, linear

        with self.autocast():
            hidden = self.model.base_model(
                input_ids=packed.ids,
                position_ids=packed.positions,
                use_cache=False,
                segments=segments or self._segments(packed.lengths),
            ).last_hidden_state[0]
            # as TRL has it: the weights of the head, whatever adapters it may have
            head = self.model.get_output_embeddings()
            logits = linear(hidden.index_select(0, packed.at), head.weight, head.bias)
        return cross_entropy(logits.float(), packed.labels, reduction="sum")

    @contextlib.contextmanager
    def layers_for(self, packed: Packed) -> Iterator[None]:
        """Let the layers compute what is asked of packed rows, forward and backward."""
        on_cpu = self.runtime.device == "cpu"
        with rows_apart(self.model), targets_alone(self.model, packed.at) if on_cpu else contextlib.nullcontext():
            yield

    def _segments(self, lengths: list[int]) -> Segments:
        import torch

        if not self.flash:
            return Segments(lengths)
        bounds = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
        return Segments(lengths, bounds=bounds.to(self.runtime.device))

    def autocast(self) -> Any:
        """The precision that the Trainer computes a forward pass in."""
        import torch

        if self.runtime.dtype != "bfloat16":
            return contextlib.nullcontext()
        # what it keeps of weights it has cast would be of a CUDA graph's own memory
        return torch.autocast(self.runtime.device, torch.bfloat16, cache_enabled=False)


class PlannedStep:
    """Computes the gradients of steps under a plan; ``masks`` are given where dropout is to be the declared one."""

    def __init__(
        self, loss: PackedLoss, rows: Sequence[TokenRow], plan: Plan, step_rows: int, masks: SameMasks | None
    ) -> None:
        self.loss = loss
        self.rows = rows
        self.plan = plan
        self.masks = masks
        parameters = [parameter for parameter in loss.model.parameters() if parameter.requires_grad]
        most_targets = sum(sorted((len(row.labels) for row in rows), reverse=True)[:step_rows])
        self.graphs = StepGraphs(loss, parameters, step_rows, most_targets) if plan.graphed else None

    def __call__(self, indices: Sequence[int]) -> "torch.Tensor":
        """Add the gradients of a step's rows to the parameters'; the step's loss."""
        rows = [self.rows[index] for index in indices]
        if self.graphs is not None:
            with rows_apart(self.loss.model):
                found = self.graphs.step(rows)
            if found is not None:
                return found
        return self._eager(rows)

    def _eager(self, rows: list[TokenRow]) -> "torch.Tensor":
        import torch

        targets = max(1, sum(len(row.labels) for row in rows))
        drawn = None if self.masks is None else self.masks.draw([len(row) for row in rows])
        total = torch.zeros((), device=self.loss.runtime.device)
        for start in range(0, len(rows), self.plan.rows):
            part = slice(start, start + self.plan.rows)
            masked = self.masks.applied(drawn, part) if self.masks and drawn else contextlib.nullcontext()
            packed = pack(rows[part], self.loss.runtime.device)
            with masked, self.loss.layers_for(packed):
                loss = self.loss(packed) / targets
                torch.autograd.backward(loss)
            total += loss.detach()
        return total

"""A training step as CUDA graphs: launched as one piece, where a small model waits for its launches.

A graph has fixed shapes: a step's rows are packed into the next multiple of some tokens, what is left over is a row of
its own that nobody reads. Each shape is recorded when it first comes; all share their memory, for one runs at a time.
Gradients are added to tensors that stay where they are. All of it runs on a stream that isn't the default one.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pytest_ftbench.grid import first_line
from pytest_ftbench.ml.memory import is_shortage
from pytest_ftbench.ml.packing import Packed, TokenRow
from pytest_ftbench.ml.segments import Segments

if TYPE_CHECKING:
    import torch

_TOKENS, _TARGETS = 256, 64  # shapes are multiples of so many: fewer to record, a few percent of padding
_MOST = 16  # what comes after so many shapes isn't recorded
_FEW_TARGETS = 512  # no more than so many cost little where a step has fewer

Shape = tuple[int, int]


class StepGraphs:
    """The graphs of a model's training steps of at most so many rows; ``loss`` sums over targets.

    ``most_targets`` is what no step exceeds: where they are few, all graphs are for so many.
    """

    def __init__(
        self,
        loss: Callable[[Packed, Segments], "torch.Tensor"],
        parameters: "Sequence[torch.nn.Parameter]",
        step_rows: int,
        most_targets: int,
    ) -> None:
        self.loss = loss
        self.parameters = parameters
        self.step_rows = step_rows
        self.least_targets = most_targets if most_targets <= _FEW_TARGETS else 0
        self.graphs: dict[Shape, tuple[Any, torch.Tensor, torch.Tensor]] = {}
        self._gradients: list[torch.Tensor] = []
        self._pool: Any = None
        self.failed = ""

    def step(self, rows: Sequence[TokenRow]) -> "torch.Tensor | None":
        """Add the gradients of a step's rows; its loss, or None where no graph may be recorded for so long a step."""
        import torch

        tokens, targets = sum(map(len, rows)), sum(len(row.labels) for row in rows)
        # one token at least is left over, so that its row is never empty
        shape = (_up(tokens + 1, _TOKENS), _up(max(targets, self.least_targets), _TARGETS))
        if shape not in self.graphs and (len(self.graphs) >= _MOST or self.failed):
            return None
        values = torch.tensor(self._values(rows, shape), dtype=torch.int32)
        self._lend_gradients()
        if shape not in self.graphs:
            try:
                self.graphs[shape] = self._record(shape, values)
            except RuntimeError as error:
                if is_shortage(error):
                    raise
                self.failed = first_line(error)
            except BaseException:
                # what ends a cell amid a recording must not end the next one too
                self.recover()
                raise
            if self.failed:
                self.recover()
                return None
        graph, given, loss = self.graphs[shape]
        given.copy_(values)
        graph.replay()
        return loss

    def _values(self, rows: Sequence[TokenRow], shape: Shape) -> list[int]:
        """Everything that a step is computed from, in one list, for one copy to the device."""
        tokens, targets = shape
        ids = [token for row in rows for token in row.ids]
        lengths = [len(row) for row in rows]
        positions = [position for length in lengths for position in range(length)]
        bounds = [0]
        for length in lengths:
            bounds.append(bounds[-1] + length)
        at = [start + at for start, row in zip(bounds, rows, strict=False) for at in row.at]
        labels = [label for row in rows for label in row.labels]
        left, missing = tokens - len(ids), targets - len(at)
        # a step of fewer rows has empty ones at its end
        bounds += [tokens] * (self.step_rows + 2 - len(bounds))
        return [
            *(*ids, *[0] * left),
            *(*positions, *range(left)),
            *(*at, *[tokens - 1] * missing),
            *(*labels, *[-100] * missing),
            max(1, len(labels)),
            *bounds,
        ]

    def _compute(self, given: "torch.Tensor", shape: Shape) -> "torch.Tensor":
        """Forward and backward pass of what is in the buffer."""
        import torch

        tokens, targets = shape
        ends = [0, tokens, 2 * tokens, 2 * tokens + targets, 2 * tokens + 2 * targets]
        ids, positions, at, labels = (given[one:other].long() for one, other in pairwise(ends))
        count, bounds = given[ends[-1]].float(), given[ends[-1] + 1 :]
        packed = Packed(ids[None], positions[None], [], at, labels)
        loss = self.loss(packed, Segments([], tokens, bounds)) / count
        torch.autograd.backward(loss)
        return loss.detach()

    def _record(self, shape: Shape, values: "torch.Tensor") -> "tuple[Any, torch.Tensor, torch.Tensor]":
        import torch

        given = values.cuda()
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        before = [gradient.clone() for gradient in self._gradients] if self._given else None
        # kernels are chosen and workspaces made at the first sight of a shape, which can't be recorded
        self._compute(given, shape)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.current_stream()
        with torch.cuda.graph(graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"):
            loss = self._compute(given, shape)
        torch._foreach_zero_(self._gradients)
        if before is not None:
            torch._foreach_copy_(self._gradients, before)
        return graph, given, loss

    def recover(self) -> None:
        """Leave the device as if nothing had been tried: the step is computed otherwise."""
        import torch

        self.graphs.clear()
        torch.cuda.synchronize()
        # a recording that broke off leaves the random numbers' generator waiting for its end
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            torch.zeros(1, device="cuda")
        torch._foreach_zero_(self._gradients)

    def _lend_gradients(self) -> None:
        """Let the parameters' gradients be those that the graphs add to, with what is in them already."""
        import torch

        if not self._gradients:
            self._gradients = [torch.zeros_like(parameter) for parameter in self.parameters]
        pairs = list(zip(self.parameters, self._gradients, strict=True))
        self._given = any(parameter.grad is not None for parameter in self.parameters)
        torch._foreach_zero_([gradient for parameter, gradient in pairs if parameter.grad is None])
        for parameter, gradient in pairs:
            if parameter.grad is not None and parameter.grad is not gradient:
                gradient.copy_(parameter.grad)
            parameter.grad = gradient


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple

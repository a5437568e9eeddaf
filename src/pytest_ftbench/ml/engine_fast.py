"""The fast engine: a model's weights in a stack of its own, a cache that stays, and, on a GPU, recorded steps.

``cpu`` and ``graphs`` are the same code at two paces. On a CPU in float32 its tokens are those of ``generate()`` at
batch 1; in bfloat16 sums are rounded by how they are split, as they are between any two batch sizes, and now and then
the likeliest token changes with that: such answers are counted against batch 1 (``provenance.engine`` of a record).
"""

import math
from collections.abc import Callable, Collection, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pytest_ftbench.grid import first_line
from pytest_ftbench.ml.engine_cache import Cache
from pytest_ftbench.ml.engine_graphs import Graphs
from pytest_ftbench.ml.engine_stack import Shape, Stack, why_not
from pytest_ftbench.ml.engine_work import Pace, Reached, Work
from pytest_ftbench.ml.memory import is_shortage

if TYPE_CHECKING:
    import torch

_CPU = Pace(rows=64, tokens=384, look=1, stride=1)
_CUDA = Pace(rows=256, tokens=8192, look=8, stride=128, steps=(1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 160, 200, 256))
_OF_THE_CARD = 0.4  # at most so much of a GPU's memory is keys and values
_PROBE = 24  # tokens that a model and its stack are compared on
# a stack that computes something else is off by orders of magnitude more
_APART = {"float32": 1e-3, "bfloat16": 0.1, "float16": 0.1}


class Fast:
    """The engine of models of the Llama family, on a CPU in float32 or on a GPU."""

    def __init__(self, device: str) -> None:
        self.name = "graphs" if device == "cuda" else "cpu"
        self.pace = _CUDA if device == "cuda" else _CPU
        self.rows = self.pace.rows
        self._stack: Stack | None = None
        self._cache: Cache | None = None
        self._step: Callable[[int, int], None] | None = None
        self.without: str | None = None
        """Why its steps are made of torch's operations, in words."""

    def refuses(self, model: "torch.nn.Module") -> str | None:
        """Why it can't answer for a model, in words; None where it can."""
        device: Any = next(model.parameters()).device.type
        reason = why_not(model)
        if reason is None and device == "cpu" and str(next(model.parameters()).dtype) != "torch.float32":
            reason = "on a CPU only float32 is answered token by token as at batch 1"
        return reason

    def load(self, model: Any) -> str | None:
        """Answer for this model from now on. Returns what speaks against it, in words, once they were compared."""
        if self._stack is not None and self._stack.shape == Shape.of(model):
            self._stack.take(model)
            if self._cache is not None:
                self._cache.clear()
        else:
            self.release()
            self._stack = Stack(model, still=self.name == "graphs")
        return self._apart(model)

    def generate(
        self, prompts: Sequence[Sequence[int]], budget: int, ends: Collection[int], reached: Reached = lambda _: None
    ) -> list[list[int]]:
        """The new tokens of each prompt, the end token included; see ``Engine``."""
        import torch

        if not prompts:
            return []
        assert self._stack is not None
        with torch.inference_mode():
            while True:
                try:
                    cache, step = self.ready(len(prompts), max(map(len, prompts)) + budget)
                    work = Work(cache, self.pace, prompts, budget, ends)
                    work.run(step, reached)
                    return work.answers
                except Exception as error:
                    if not is_shortage(error):
                        raise
                    # where a third of a card is not to be had, there is a smaller cache, down to one row
                    if self.rows == 1:
                        raise
                    self.rows = max(1, self.rows // 2)
                self._drop_cache()

    def release(self) -> None:
        """Give back all that it holds on the device."""
        self._stack = None
        self._drop_cache()

    def told(self) -> dict[str, Any]:
        """What a record says of how it answered."""
        return {"name": self.name, "rows": self.rows}

    @property
    def recorded(self) -> tuple[int, float]:
        """How many steps are recorded, and the seconds that took."""
        return (len(self._step), self._step.seconds) if isinstance(self._step, Graphs) else (0, 0.0)

    def ready(self, rows: int, length: int) -> tuple[Cache, Callable[[int, int], None]]:
        """A cache of so many rows, or as many as there may be, and how its steps are taken."""
        assert self._stack is not None
        length = self.pace.room(length)
        rows = min(self.rows, self.pace.count(rows), self._most(length))
        cache = self._cache
        if cache is None or self._step is None or cache.rows < rows or cache.length < length:
            # what was there only ever grows
            rows, length = max(rows, cache.rows if cache else 0), max(length, cache.length if cache else 0)
            rows = min(rows, self._most(length))
            self._drop_cache()
            cache = self._cache = Cache(self._stack, rows, length)
            self._step = Graphs(cache, self._kernels(cache)) if self.name == "graphs" else cache.step
        return cache, self._step

    def _kernels(self, cache: Cache) -> Callable[[int, int], None] | None:
        """Steps of fewer kernels, where Triton is there and they come to the same; else None, and ``without`` why."""
        if find_spec("triton") is None:
            self.without = "there is no Triton"
            return None
        assert self._stack is not None
        width = self._stack.shape.width
        if width & (width - 1):
            self.without = f"heads are {width} wide"
            return None
        try:
            from pytest_ftbench.ml.engine_kernels import Kernels

            kernels = Kernels(cache)
            apart = _kernels_apart(cache, kernels)
        except (
            Exception
        ) as error:  # a compiler is missing, or the chip is too old: whatever it is, there is another way
            self.without = first_line(error)
            return None
        self.without = None if apart <= _APART[str(cache.keys.dtype).removeprefix("torch.")] else f"{apart:.2g} apart"
        return kernels if self.without is None else None

    def _most(self, length: int) -> int:
        """How many rows of a length may be kept on this device: the same number on every card of its kind."""
        assert self._stack is not None
        if self.name != "graphs":
            return self.rows
        import torch

        each = length * self._stack.shape.cache_bytes(self._stack.rope(1).element_size())
        whole = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        fitting = int(whole * _OF_THE_CARD) // each
        return max([count for count in self.pace.steps if count <= fitting], default=1)

    def _drop_cache(self) -> None:
        import torch

        self._cache = self._step = None

        if self.name == "graphs" and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()

    def _apart(self, model: Any) -> str | None:
        """Compare the logits of a short text with the model's own."""
        import torch

        assert self._stack is not None
        count = min(_PROBE, self._stack.shape.vocabulary)
        ids = torch.arange(count, device=model.device)[None] * (self._stack.shape.vocabulary // count)
        with torch.inference_mode():
            theirs = model(input_ids=ids, use_cache=False).logits[0].float()
            cache = Cache(self._stack, 1, self.pace.room(count))
            ours = self._stack.logits(cache.states(ids)).float()[0]
        apart = float((ours - theirs).square().mean().sqrt() / theirs.square().mean().sqrt().clamp_min(1e-9))
        limit = _APART[self._stack.shape.dtype.removeprefix("torch.")]
        return None if apart <= limit else f"its logits are {apart:.2g} from the model's own"


def _kernels_apart(cache: Cache, kernels: Any) -> float:
    """How far logits by the kernels are from those by the cache's own step, as a share of these, after a short text."""
    import torch

    count = min(_PROBE, cache.stack.shape.vocabulary)
    with torch.inference_mode():
        cache.prefill([list(range(count))], [0], cache.shared([]))
        cache.tokens[0] = 1  # whatever comes first, for both the same
        ours = cache.stack.logits_of(kernels.states(1)).float()
        theirs = cache.stack.logits(cache.states_of_step(1, min(cache.length, 2 * count))).float()
        cache.park([0])
    apart = float((ours - theirs).norm() / theirs.norm().clamp_min(1e-9))
    return apart if math.isfinite(apart) else math.inf

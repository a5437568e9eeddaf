"""Steps on a GPU as recorded graphs: what takes hundreds of launches is one.

A step is recorded for each count of rows and each length the first time that it is needed, which takes milliseconds.
What it reads and writes stays where it is, so that it holds for every prompt, task and checkpoint of the architecture.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pytest_ftbench.ml.engine_cache import Cache

if TYPE_CHECKING:
    import torch


class Graphs:
    """The recorded steps over one cache; calling it takes one. All of it inside ``torch.inference_mode()``.

    ``kernels`` are steps that need no length, where they can be had (None: the cache's own are recorded).
    """

    def __init__(self, cache: Cache, kernels: Callable[[int, int], None] | None) -> None:
        import torch

        self.cache = cache
        self._step = cache.step if kernels is None else kernels
        self._any_length = kernels is not None
        self.seconds = 0.0
        """How long all recording took."""
        self._graphs: dict[tuple[int, int], torch.cuda.CUDAGraph] = {}
        self._stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._pool: Any = None

    def __call__(self, rows: int, length: int) -> None:
        """Take the step of so many rows within a length."""
        length = self.cache.length if self._any_length else length
        graph = self._graphs.get((rows, length))
        if graph is None:
            graph = self._graphs[rows, length] = self._recorded(rows, length)
        graph.replay()

    def __len__(self) -> int:
        """How many are recorded."""
        return len(self._graphs)

    def _recorded(self, rows: int, length: int) -> "torch.cuda.CUDAGraph":
        import time

        import torch

        torch.cuda.synchronize()
        begun = time.perf_counter()
        cache, here = self.cache, torch.cuda.current_stream()
        tokens, positions = cache.tokens.clone(), cache.positions.clone()
        graph = torch.cuda.CUDAGraph()
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            # kernels are loaded and workspaces made at the first sight of a shape, which can't be recorded. What this
            # writes into the cache the step itself writes again
            self._step(rows, length)
            cache.tokens.copy_(tokens)
            cache.positions.copy_(positions)
            self._stream.synchronize()
            # other threads may go on with what they do
            given = {} if self._pool is None else {"pool": self._pool}
            graph.capture_begin(**given, capture_error_mode="thread_local")
            try:
                self._step(rows, length)
            finally:
                graph.capture_end()
        here.wait_stream(self._stream)
        if self._pool is None:
            self._pool = graph.pool()
        torch.cuda.synchronize()
        self.seconds += time.perf_counter() - begun
        return graph

"""How long one answer takes: full ``generate()`` calls at batch 1, as in the studies, with their token counts.

A latency without its token count says nothing, for a model that falls silent is "fast"; time per output token is what
compares. TPOT = (end-to-end − time to first token) / (tokens − 1).
"""

import statistics
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_ftbench.ml.generate import Decoder
from pytest_ftbench.ml.runtime import Runtime

if TYPE_CHECKING:
    import torch


def strided(count: int, wanted: int) -> list[int]:
    """Indices of at most ``wanted`` of ``count`` items, spread evenly: the first ones of a file are often alike."""
    wanted = min(wanted, count)
    return [index * count // wanted for index in range(wanted)]


def time_answers(decoder: Decoder, prompts: Sequence[str], warmup: int, runtime: Runtime) -> dict[str, Any]:
    """Time each prompt once after ``warmup`` untimed ones: samples in seconds, tokens, time to first token."""
    batches = [decoder.encode([prompt]) for prompt in prompts]
    # kernels are chosen and loaded at the first sight of a shape: the first checkpoint would pay for all that follow
    for batch in batches:
        decoder.generate(batch, max_new_tokens=2)
    for batch in batches[:warmup]:
        decoder.generate(batch)
    timed = [_time_one(decoder, batch, runtime) for batch in batches]
    return {
        "samples": [seconds for seconds, _, _ in timed],
        "ttft": [first for _, first, _ in timed],
        "tokens": [tokens for _, _, tokens in timed],
    }


def latency_summary(timed: dict[str, Any]) -> dict[str, Any]:
    """The record's ``latency_s`` object: seconds, over the timed prompts."""
    samples: list[float] = timed["samples"]
    if not samples:
        return {}
    each = zip(samples, timed["ttft"], timed["tokens"], strict=True)
    tpot = [(seconds - first) / (tokens - 1) for seconds, first, tokens in each if tokens > 1]
    return {
        "mean": statistics.fmean(samples),
        "median": statistics.median(samples),
        "stddev": statistics.stdev(samples) if len(samples) > 1 else None,
        "n": len(samples),
        "ttft_median": statistics.median(timed["ttft"]),
        "tpot_median": statistics.median(tpot) if tpot else None,
        "samples": samples,
        "tokens": timed["tokens"],
    }


def _time_one(decoder: Decoder, batch: dict[str, "torch.Tensor"], runtime: Runtime) -> tuple[float, float, int]:
    """Seconds end to end, seconds to the first token, and tokens of one answer."""
    clock = _FirstToken(runtime)
    runtime.synchronize()
    start = time.perf_counter()
    new = decoder.generate(batch, stopping_criteria=clock.criteria())
    runtime.synchronize()
    seconds = time.perf_counter() - start
    return seconds, clock.at - start, decoder.answer(new[0].tolist()).tokens


class _FirstToken:
    """Looks at the clock when the first token is there, and never stops the generation."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.at = 0.0
        self._go_on: torch.Tensor | None = None

    def criteria(self) -> Any:
        """The clock as what ``generate`` calls after each token."""
        from transformers import StoppingCriteriaList

        return StoppingCriteriaList([self])

    def __call__(self, input_ids: "torch.Tensor", _scores: Any, **_: Any) -> "torch.Tensor":
        if not self.at:
            self.runtime.synchronize()
            self.at = time.perf_counter()
            self._go_on = input_ids.new_zeros(input_ids.shape[0]).bool()
        assert self._go_on is not None
        return self._go_on

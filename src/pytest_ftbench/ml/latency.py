"""How long one answer takes: full ``generate()`` calls at batch 1, as in the studies, with their token counts.

A latency without its token count says nothing, for a model that falls silent is "fast"; time per output token is what
compares. TPOT = (end-to-end − time to first token) / (tokens − 1).

Natural length is the studies' protocol: an answer takes as many tokens as it takes. At a fixed length every answer has
exactly so many, so that methods are compared token by token. An answer's time is that of ``generate()`` alone: its
prompt is tokens on the device before.
"""

import statistics
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_ftbench.grid.latency import p95, stddev, tpot
from pytest_ftbench.ml.countdown import Countdown, Say
from pytest_ftbench.ml.generate import Decoder
from pytest_ftbench.ml.runtime import Runtime

if TYPE_CHECKING:
    import torch

PROTOCOL = "generate() at batch 1"
"""How an answer is timed, in words: a change of the code that changes what is timed changes them."""

_Batch = dict[str, "torch.Tensor"]


def strided(count: int, wanted: int) -> list[int]:
    """Indices of at most ``wanted`` of ``count`` items, spread evenly: the first ones of a file are often alike."""
    wanted = min(wanted, count)
    return [index * count // wanted for index in range(wanted)]


def time_answers(
    decoder: Decoder,
    prompts: Sequence[str],
    warmup: int,
    runtime: Runtime,
    say: Say = print,
    new_tokens: int | None = None,
) -> dict[str, Any]:
    """Time each prompt once after ``warmup`` untimed ones: samples in seconds, tokens, time to first token, texts.

    With ``new_tokens`` every answer has exactly so many, and the result says how many. ``say`` is given lines of
    progress.
    """
    batches = [decoder.encode([prompt]) for prompt in prompts]
    # kernels are chosen and loaded at the first sight of a shape: the first checkpoint would pay for all that follow
    for batch in batches:
        decoder.model.generate(**batch, max_new_tokens=2)
    _time_each("warmed up with", decoder, batches[:warmup], runtime, say, new_tokens)
    timed = _time_each("timed", decoder, batches, runtime, say, new_tokens)
    answers = [decoder.answer(tokens) for _, _, tokens in timed]
    return {
        "samples": [seconds for seconds, _, _ in timed],
        "ttft": [first for _, first, _ in timed],
        **(
            {"tokens": [answer.tokens for answer in answers], "texts": [answer.text for answer in answers]}
            if new_tokens is None
            else {"tokens": [len(tokens) for _, _, tokens in timed], "new_tokens": new_tokens}
        ),
    }


def time_one(
    decoder: Decoder, batch: _Batch, runtime: Runtime, new_tokens: int | None = None
) -> tuple[float, float, int]:
    """Seconds end to end, seconds to the first token, and tokens of one answer, of ``new_tokens`` if that is given."""
    seconds, first, tokens = _timed(decoder, batch, runtime, new_tokens)
    return seconds, first, decoder.answer(tokens).tokens if new_tokens is None else len(tokens)


def _timed(decoder: Decoder, batch: _Batch, runtime: Runtime, new_tokens: int | None) -> tuple[float, float, list[int]]:
    """As ``time_one``, with the tokens themselves."""
    clock = _FirstToken(runtime, batch["input_ids"])
    arguments = {**batch, "stopping_criteria": clock.criteria(), **_length(new_tokens)}
    runtime.synchronize()
    start = time.perf_counter()
    # as anybody calls it: the decoder's own inference mode takes 7 % off the time of a small model
    whole = decoder.model.generate(**arguments)
    runtime.synchronize()
    seconds = time.perf_counter() - start
    return seconds, clock.at - start, whole[0, batch["input_ids"].shape[1] :].tolist()


def latency_summary(timed: dict[str, Any]) -> dict[str, Any]:
    """The record's ``latency_s`` object: seconds, over the timed prompts; of a ``fixed`` length too where it is there.

    TPOT is a list like the samples, None where an answer has but one token. ``fast`` is the same by recorded steps, or
    says ``why`` it isn't there.
    """
    samples: list[float] = timed["samples"]
    if not samples:
        return {}
    per_token = [tpot(*each) for each in zip(samples, timed["ttft"], timed["tokens"], strict=True)]
    known = [seconds for seconds in per_token if seconds is not None]
    summary = {
        "mean": statistics.fmean(samples),
        "median": statistics.median(samples),
        "stddev": stddev(samples),
        "p95": p95(samples),
        "n": len(samples),
        "ttft_median": statistics.median(timed["ttft"]),
        "tpot_median": statistics.median(known) if known else None,
        "samples": samples,
        "ttft": timed["ttft"],
        "tpot": per_token,
        "tokens": timed["tokens"],
    }
    if "new_tokens" in timed:
        summary["new_tokens"] = timed["new_tokens"]
    if "why" in timed.get("fast", {}):
        summary["fast"] = timed["fast"]
    elif "fast" in timed:
        summary["fast"] = latency_summary(timed["fast"])
    return summary | ({"fixed": latency_summary(timed["fixed"])} if "fixed" in timed else {})


def _length(new_tokens: int | None) -> dict[str, Any]:
    """What ``generate`` is told of the length; without an end token it neither stops early nor looks for one.

    It has to be an argument: one that a GenerationConfig leaves at None is filled in from the model's own.
    """
    return {} if new_tokens is None else {"max_new_tokens": new_tokens, "eos_token_id": None}


def _time_each(
    done: str, decoder: Decoder, batches: Sequence[_Batch], runtime: Runtime, say: Say, new_tokens: int | None
) -> list[tuple[float, float, list[int]]]:
    """Time the answers one after the other, and say how many are ``done``."""
    what = f"{len(batches)} answers" if new_tokens is None else f"{len(batches)} answers of {new_tokens} tokens"
    countdown, timed = Countdown(say), []
    for batch in batches:
        timed.append(_timed(decoder, batch, runtime, new_tokens))
        countdown.reached(len(timed), len(batches), f"{done} {len(timed)} of {what}")
    return timed


class _FirstToken:
    """Looks at the clock when the first token is there, and never stops the generation."""

    def __init__(self, runtime: Runtime, prompts: "torch.Tensor") -> None:
        self.runtime = runtime
        self.at = 0.0
        # made before the clock runs, and given back as it is after every token
        self._go_on = prompts.new_zeros(len(prompts)).bool()

    def criteria(self) -> Any:
        """The clock as what ``generate`` calls after each token."""
        from transformers import StoppingCriteriaList

        return StoppingCriteriaList([self])

    def __call__(self, _tokens: "torch.Tensor", _scores: Any, **_: Any) -> "torch.Tensor":
        if not self.at:
            self.runtime.synchronize()
            self.at = time.perf_counter()
        return self._go_on

"""How long one answer takes where steps are recorded: an additional measurement, never in place of ``generate()``.

The keys and values of a prompt and its answer are in a cache that stays, and each token after the first is one replay
of a CUDA graph (``engine_graphs``); every token is read before the next is begun, so that an answer could be shown as
it grows. The studies timed ``generate()``, whose time at batch 1 is mostly that of launching operations: their numbers
compare with the eager columns, these with what a server takes.

On a CPU it isn't offered: nothing is recorded there, and what is launched is computed at once.
"""

import time
from collections.abc import Collection, Sequence
from typing import Any

from pytest_ftbench.ml.countdown import Countdown, Say
from pytest_ftbench.ml.engine_fast import Fast
from pytest_ftbench.ml.generate import Decoder

FAST_PROTOCOL = "recorded steps over a static cache at batch 1"
"""How such an answer is timed, in words."""


def time_fast(
    decoder: Decoder, prompts: Sequence[str], warmup: int, new_tokens: int | None, say: Say = print
) -> dict[str, Any]:
    """The ``fast`` timings of prompts, at their natural length and, with ``new_tokens``, at that one as ``fixed``.

    Where they can't be had, ``why``.
    """
    device = decoder.model.device.type
    if device != "cuda":
        return {"fast": {"why": "there is no GPU, and on a CPU there is nothing to record"}}
    engine = Fast(device)
    why = engine.refuses(decoder.model) or engine.load(decoder.model)
    if why is not None:
        say(f"not timed by recorded steps: {why}")
        return {"fast": {"why": why}}
    ids = decoder.tokenizer(list(prompts), add_special_tokens=False)["input_ids"]
    longest = max(map(len, ids)) + max(decoder.max_new_tokens, new_tokens or 0)
    engine.ready(1, longest)
    timed = _each(engine, ids, warmup, decoder.max_new_tokens, decoder.ends, say)
    if new_tokens is not None:
        timed["fixed"] = _each(engine, ids, warmup, new_tokens, (), say) | {"new_tokens": new_tokens}
    engine.release()
    return {"fast": timed}


def time_tokens(engine: Fast, prompt: Sequence[int], budget: int, ends: Collection[int]) -> tuple[float, float, int]:
    """Seconds end to end, seconds to the first token, and tokens of one answer."""
    import torch

    with torch.inference_mode():
        cache, step = engine.ready(1, len(prompt) + budget)
        nothing = cache.shared([])
        torch.cuda.synchronize()
        start = time.perf_counter()
        cache.prefill([prompt], [0], nothing)
        token, count, first = int(cache.tokens[0]), 1, time.perf_counter() - start
        while token not in ends and count < budget:
            step(1, engine.pace.room(len(prompt) + count))
            token, count = int(cache.tokens[0]), count + 1
        return time.perf_counter() - start, first, count


def _each(
    engine: Fast, prompts: Sequence[Sequence[int]], warmup: int, budget: int, ends: Collection[int], say: Say
) -> dict[str, Any]:
    """Time each prompt once, when all steps are recorded and ``warmup`` answers given."""
    import torch

    longest = max(map(len, prompts)) + budget
    with torch.inference_mode():
        cache, step = engine.ready(1, longest)
        for length in range(
            engine.pace.room(min(map(len, prompts))), engine.pace.room(longest) + 1, engine.pace.stride
        ):
            cache.park([0])
            step(1, min(length, cache.length))
    # kernels are chosen at the first sight of a prompt's length
    for prompt in prompts:
        time_tokens(engine, prompt, 2, ())
    for prompt in prompts[:warmup]:
        time_tokens(engine, prompt, budget, ends)
    countdown, timed = Countdown(say), []
    for prompt in prompts:
        timed.append(time_tokens(engine, prompt, budget, ends))
        countdown.reached(len(timed), len(prompts), f"timed {len(timed)} of {len(prompts)} answers by recorded steps")
    return {
        "samples": [seconds for seconds, _, _ in timed],
        "ttft": [first for _, first, _ in timed],
        "tokens": [tokens for _, _, tokens in timed],
    }

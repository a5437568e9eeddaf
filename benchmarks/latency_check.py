"""Whether the latency a cell reports is that of a bare ``generate()``: both, prompt by prompt, in one run.

    python benchmarks/latency_check.py                                        # embedded:nano, here
    python benchmarks/latency_check.py qwen --data DATA --device cuda --max-new-tokens 200 --rounds 5

Each round answers every prompt twice, once timed as a cell times it and once by a loop that shares nothing with it but
the model: tokens, arguments, clock and waiting for the device are its own. Which goes first alternates. The answers
must be of the same length, and in float32 the same. Prints the ratio of the medians, and the median of the paired ratios with a 95 % bootstrap interval;
exits with 1 where either is off by more than 2 %.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from pytest_ftbench.grid import DataSpec, ModelSpec
from pytest_ftbench.ml.base import find_base
from pytest_ftbench.ml.checkpoint import Checkpoint, load_decoder
from pytest_ftbench.ml.generate import Decoder
from pytest_ftbench.ml.latency import strided, time_one
from pytest_ftbench.ml.prompts import Renderer
from pytest_ftbench.ml.rows import RowSource
from pytest_ftbench.ml.runtime import Runtime, at_work
from pytest_ftbench.tasks import TASK_NAMES, get_task

LIMIT = 0.02
WARM_UPS = 2
DRAWS = 2000


@dataclass
class Pairs:
    """The seconds of the same answers, as a cell times them and as the bare loop does; tokens of each."""

    cell: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """A cell's time over the bare loop's, pair by pair."""
        return [ours / theirs for ours, theirs in zip(self.cell, self.bare, strict=True)]


def bare_generate(model: Any, tokenizer: Any, prompt: str, budget: int) -> tuple[float, list[int]]:
    """The seconds of one ``generate()`` call as anybody would time it, and the new tokens."""
    inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).to(model.device)
    on_cuda = model.device.type == "cuda"
    if on_cuda:
        torch.cuda.synchronize()
    begun = time.monotonic_ns()
    output = model.generate(
        input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, do_sample=False, max_new_tokens=budget
    )
    if on_cuda:
        torch.cuda.synchronize()
    ended = time.monotonic_ns()
    return (ended - begun) / 1e9, output[0, inputs.input_ids.shape[1] :].tolist()


def as_a_cell(decoder: Decoder, prompt: str, runtime: Runtime) -> tuple[float, int]:
    """The seconds and tokens of one answer as a cell's timings have them."""
    seconds, _, tokens = time_one(decoder, decoder.encode([prompt]), runtime)
    return seconds, tokens


def interleaved(decoder: Decoder, prompts: Sequence[str], runtime: Runtime, rounds: int, budget: int) -> Pairs:
    """Each prompt in each round, both ways, the one that goes first in turn; the first rounds warm up.

    Raises RuntimeError where the two ways give different answers.
    """
    pairs = Pairs()
    for number in range(-WARM_UPS, rounds):
        for index, prompt in enumerate(prompts):
            if bare_first := (number + index) % 2 == 1:
                bare, answer = bare_generate(decoder.model, decoder.tokenizer, prompt, budget)
            ours, tokens = as_a_cell(decoder, prompt, runtime)
            if not bare_first:
                bare, answer = bare_generate(decoder.model, decoder.tokenizer, prompt, budget)
            if number == -WARM_UPS and decoder.model.dtype is torch.float32:
                # in less, the same call may round otherwise from one time to the next
                check_same(decoder, prompt, answer)
            if tokens != len(answer):
                raise RuntimeError(f"prompt {index}: {tokens} tokens timed as a cell, {len(answer)} by the bare loop")
            if number >= 0:
                pairs.cell.append(ours)
                pairs.bare.append(bare)
                pairs.tokens.append(tokens)
    return pairs


def check_same(decoder: Decoder, prompt: str, answer: Sequence[int]) -> None:
    """Check, untimed, that a cell's answer to a prompt has the tokens of the bare loop's."""
    found = decoder.generate(decoder.encode([prompt]))[0].tolist()
    if found != list(answer):
        raise RuntimeError(f"a cell answers {found}, the bare loop {list(answer)}, to {prompt!r}")


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % bootstrap interval of the median."""
    draw = random.Random(0)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(DRAWS))
    return medians[DRAWS // 40], medians[-DRAWS // 40 - 1]


def report(pairs: Pairs) -> bool:
    """Print what was found; whether it keeps to the limit."""
    cell, bare = statistics.median(pairs.cell), statistics.median(pairs.bare)
    ratio, paired = cell / bare, statistics.median(pairs.ratios)
    low, high = interval(pairs.ratios)
    tokens = statistics.fmean(pairs.tokens)
    print(f"median as a cell {1000 * cell:.3f} ms, bare {1000 * bare:.3f} ms; mean tokens {tokens:.1f}")
    print(f"ratio of medians        {ratio:.4f}")
    print(f"median of paired ratios {paired:.4f} [{low:.4f}, {high:.4f}], n = {len(pairs.ratios)}")
    kept = abs(ratio - 1) <= LIMIT and abs(paired - 1) <= LIMIT
    print(f"limit {1 - LIMIT:.2f} to {1 + LIMIT:.2f}: {'ok' if kept else 'BROKEN'}")
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="embedded:nano", help="embedded:NAME, a folder or a Hub id")
    parser.add_argument("--data", default="embedded", help="a data folder (default: the embedded rows)")
    parser.add_argument("--task", default="squad", choices=TASK_NAMES)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    arguments = parser.parse_args()
    runtime = Runtime.choose(arguments.device, "auto")
    checkpoint = Checkpoint(find_base(ModelSpec("checked", arguments.model)), "")
    task = get_task(arguments.task)
    rows = RowSource(DataSpec(arguments.data)).test(task)
    with at_work():
        decoder = load_decoder(checkpoint, runtime, arguments.max_new_tokens, None, None)
        renderer = Renderer(decoder.tokenizer, "off")
        prompts = [renderer.prompt(task.messages(rows[index])) for index in strided(len(rows), arguments.prompts)]
        pairs = interleaved(decoder, prompts, runtime, arguments.rounds, arguments.max_new_tokens)
    print(f"{arguments.model} on {runtime.device_name}, {runtime.dtype}: {len(prompts)} prompts × {arguments.rounds}")
    return 0 if report(pairs) else 1


if __name__ == "__main__":
    sys.exit(main())

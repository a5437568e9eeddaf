"""Whether the latency a cell reports is that of a bare ``generate()``: both, prompt by prompt, in one run.

    python benchmarks/latency_check.py                                        # embedded:nano, here
    python benchmarks/latency_check.py qwen --data DATA --device cuda --max-new-tokens 200 --rounds 5

Each round answers every prompt twice, once timed as a cell times it and once by a loop with arguments, a clock and a
waiting for the device of its own, tokenizer and end tokens read anew from the model's folder. It shares the loaded
model, and so whatever else the cell's generation configuration on it says. Which goes first alternates. The answers
must be of the same length, and in float32 the same.

Prints the median of the paired ratios with a 95 % bootstrap interval, and exits with 1 where it is off by more than
2 %. The ratio of the medians stands beside it and decides nothing: it jumps between clusters of answer lengths.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

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


class BareLoop:
    """``generate()`` as anybody would time it, of answers that end as the model's folder says."""

    def __init__(self, model: Any, folder: Path, budget: int) -> None:
        self.model = model
        self.tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        self.arguments = {"do_sample": False, "max_new_tokens": budget, "eos_token_id": self._ends(folder)}

    def _ends(self, folder: Path) -> list[int]:
        """The end tokens of the folder's files: those of the generation, else of the model, and the tokenizer's."""
        named = (folder / "generation_config.json").is_file()
        configuration = (GenerationConfig if named else AutoConfig).from_pretrained(folder)
        ends = getattr(configuration, "eos_token_id", None)
        found = {*(ends if isinstance(ends, list) else [ends]), self.tokenizer.eos_token_id}
        return sorted(found - {None})

    def answer(self, prompt: str) -> tuple[float, list[int]]:
        """The seconds of one call, and the new tokens."""
        inputs = self.tokenizer(prompt, return_tensors="pt", add_special_tokens=False).to(self.model.device)
        on_cuda = self.model.device.type == "cuda"
        if on_cuda:
            torch.cuda.synchronize()
        begun = time.monotonic_ns()
        output = self.model.generate(input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, **self.arguments)
        if on_cuda:
            torch.cuda.synchronize()
        ended = time.monotonic_ns()
        return (ended - begun) / 1e9, output[0, inputs.input_ids.shape[1] :].tolist()


def as_a_cell(decoder: Decoder, prompt: str, runtime: Runtime) -> tuple[float, int]:
    """The seconds and tokens of one answer as a cell's timings have them."""
    seconds, _, tokens = time_one(decoder, decoder.encode([prompt]), runtime)
    return seconds, tokens


def interleaved(decoder: Decoder, loop: BareLoop, prompts: Sequence[str], runtime: Runtime, rounds: int) -> Pairs:
    """Each prompt in each round, both ways, the one that goes first in turn; the first rounds warm up.

    Raises RuntimeError where the two ways give different answers.
    """
    pairs = Pairs()
    for number in range(-WARM_UPS, rounds):
        for index, prompt in enumerate(prompts):
            if bare_first := (number + index) % 2 == 1:
                bare, answer = loop.answer(prompt)
            ours, tokens = as_a_cell(decoder, prompt, runtime)
            if not bare_first:
                bare, answer = loop.answer(prompt)
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
    print(f"median of paired ratios {paired:.4f} [{low:.4f}, {high:.4f}], n = {len(pairs.ratios)}")
    print(f"ratio of medians        {ratio:.4f}")
    kept = abs(paired - 1) <= LIMIT
    print(f"limit of the paired {1 - LIMIT:.2f} to {1 + LIMIT:.2f}: {'ok' if kept else 'BROKEN'}")
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
        loop = BareLoop(decoder.model, checkpoint.base.folder, arguments.max_new_tokens)
        pairs = interleaved(decoder, loop, prompts, runtime, arguments.rounds)
    print(f"{arguments.model} on {runtime.device_name}, {runtime.dtype}: {len(prompts)} prompts × {arguments.rounds}")
    return 0 if report(pairs) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Evaluation, side by side: the engine, ``generate()`` per prompt, ``generate()`` in batches; and time per token.

    python benchmarks/speed_eval.py --device cpu                          # embedded models, float32
    python benchmarks/speed_eval.py --device cuda --model qwen --data DATA  # a folder of benchmarks/shaped_model.py

On a CPU every prompt of the lab's tasks is answered as a suite answers it, and the answers must be the same token by
token. On a GPU the answers have exactly ``--tokens`` tokens, for random weights never end; per prompt a sample is
answered each round and taken for all, and the answers that differ from it are counted, not forbidden.

Each round takes every way once, in turn; a ratio is that of two ways in one round. Printed are the medians over the
rounds with 95 % bootstrap intervals, and the time to the first result: loading, recording and answering from nothing.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ratios import Ratios

from pytest_ftbench import lab
from pytest_ftbench.grid import DataSpec, ModelSpec
from pytest_ftbench.ml.base import end_tokens, find_base, load_tokenizer, load_weights
from pytest_ftbench.ml.engine_fast import Fast
from pytest_ftbench.ml.engine_plain import Plain
from pytest_ftbench.ml.latency import strided
from pytest_ftbench.ml.latency_fast import time_tokens
from pytest_ftbench.ml.prompts import Renderer
from pytest_ftbench.ml.rows import RowSource
from pytest_ftbench.ml.runtime import Runtime, at_work
from pytest_ftbench.tasks import get_task

BUDGET = 24  # what the embedded suite allows an answer
BATCH = {"cpu": 100, "cuda": 200}  # the embedded suite's, and the one asked of a GPU
PER_PROMPT, BATCHED, TPOT = {"cpu": 5.0, "cuda": 200.0}, {"cpu": 1.0, "cuda": 5.0}, 8.0


@dataclass
class Work:
    """Prompts for one model, and what ends an answer."""

    name: str
    model: Any
    prompts: list[list[int]]
    budget: int
    ends: frozenset[int]
    pad: int


def one_by_one(work: Work, indices: Sequence[int]) -> list[list[int]]:
    """What the studies' scripts do: ``generate()`` for each prompt."""
    plain = Plain(1, work.pad)
    plain.load(work.model)
    return [plain.generate([work.prompts[index]], work.budget, work.ends)[0] for index in indices]


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """How long a call takes until the device has done all of it, and what it returns."""
    wait: Callable[[], Any] = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    wait()
    begun = time.perf_counter()
    result = call()
    wait()
    return time.perf_counter() - begun, result


def compare(work: Work, device: str, rounds: int, sampled: int) -> bool:
    """Measure one model's prompts all ways and print what came of it; whether every limit is kept."""
    engine, plain = Fast(device), Plain(BATCH[device], work.pad)
    answers = first_result(work, engine)
    plain.load(work.model)
    indices, flips = strided(len(work.prompts), sampled * rounds), 0
    alone = Ratios("engine, against generate() per prompt", PER_PROMPT[device])
    batched = Ratios(f"engine, against generate() at batch {BATCH[device]}", BATCHED[device])
    one_by_one(work, indices[:1])
    for number in range(rounds):
        some = indices[number::rounds]
        ways: list[Callable[[], Any]] = [
            partial(engine.generate, work.prompts, work.budget, work.ends),
            partial(one_by_one, work, some),
            partial(plain.generate, work.prompts, work.budget, work.ends),
        ]
        taken = {way: seconds(ways[way]) for way in ((number + shift) % 3 for shift in range(3))}
        (fast, found), (single, expected), (many, _) = (taken[way] for way in range(3))
        assert found == answers, "the engine answered otherwise than before"
        flips += sum(found[index] != answer for index, answer in zip(some, expected, strict=True))
        single *= len(work.prompts) / len(some)
        alone.values.append(single / fast)
        batched.values.append(many / fast)
        speed = sum(map(len, found)) / fast
        print(
            f"  engine {fast:.3f} s ({speed:,.0f} tokens/s), per prompt {single:.1f} s, batched {many:.2f} s",
            flush=True,
        )
    print(f"answers other than generate()'s at batch 1: {flips} of {len(indices)}")
    for ratios in (alone, batched):
        print(ratios.line())
    return alone.kept and batched.kept and (flips == 0 or work.model.dtype is not torch.float32)


def first_result(work: Work, engine: Fast) -> list[list[int]]:
    """Load and answer from nothing, and print how long that took; the answers."""
    assert (why := engine.refuses(work.model)) is None, why
    loading, why = seconds(lambda: engine.load(work.model))
    assert why is None, why
    answering, answers = seconds(lambda: engine.generate(work.prompts, work.budget, work.ends))
    count, capture = engine.recorded
    print(f"\n{work.name}: {len(work.prompts)} prompts, {statistics.fmean(map(len, work.prompts)):.0f} tokens each")
    print(f"first result after {loading:.2f} s of loading and {answering:.2f} s of answering,")
    print(f"  {capture:.2f} s of them recording {count} steps", flush=True)
    found: list[list[int]] = answers
    return found


def compare_tokens(work: Work, rounds: int) -> bool:
    """Time per output token at batch 1: recorded steps against ``generate()``."""
    engine = Fast("cuda")
    engine.load(work.model)
    plain, ratios = Plain(1, work.pad), Ratios("time per token, fast mode against generate()", TPOT)
    plain.load(work.model)
    prompts = [work.prompts[index] for index in strided(len(work.prompts), rounds)]
    engine.ready(1, max(map(len, prompts)) + work.budget)
    cold, _ = seconds(lambda: time_tokens(engine, prompts[0], work.budget, ()))
    for prompt in prompts:
        time_tokens(engine, prompt, work.budget, ())
        whole, first, tokens = time_tokens(engine, prompt, work.budget, ())
        eager_first, _ = seconds(partial(plain.generate, [prompt], 1, ()))
        eager, _ = seconds(partial(plain.generate, [prompt], work.budget, ()))
        mine, theirs = (whole - first) / (tokens - 1), (eager - eager_first) / (tokens - 1)
        ratios.values.append(theirs / mine)
        print(
            f"  fast {1000 * mine:.3f} ms/token (TTFT {1000 * first:.1f}), eager {1000 * theirs:.2f} ms/token",
            flush=True,
        )
    print(f"first answer after {cold:.2f} s, {engine.recorded[1]:.2f} s of them recording {engine.recorded[0]} steps")
    print(ratios.line())
    return ratios.kept


def embedded(runtime: Runtime, name: str, task_name: str, count: int) -> Work:
    """A task of the lab for one of its models."""
    folder, task = lab.model_folder(name), get_task(task_name)
    tokenizer, model = load_tokenizer(folder), load_weights(folder, runtime).eval()
    renderer = Renderer(tokenizer, "off")
    prompts = [renderer.encode(renderer.prompt(task.messages(row))) for row in lab.rows(task_name, "test", count)]
    ends = frozenset(end_tokens(model, tokenizer))
    return Work(f"{name}, {task_name}", model, prompts, BUDGET, ends, tokenizer.pad_token_id)


def shaped(runtime: Runtime, folder: str, data: Path, count: int, longest: int, tokens: int) -> Work:
    """SQuAD prompts of at most so many tokens for a model of random weights; each answer has exactly so many."""
    base, task = find_base(ModelSpec("shaped", folder)), get_task("squad")
    tokenizer, model = load_tokenizer(base.folder), load_weights(base.folder, runtime).eval()
    renderer = Renderer(tokenizer, "off")
    # what is timed is not scored: training rows are prompts as well as any
    every = [renderer.encode(renderer.prompt(task.messages(row))) for row in RowSource(DataSpec(str(data))).train(task)]
    prompts = [prompt for prompt in every if len(prompt) <= longest][:count]
    return Work(Path(folder).name, model, prompts, tokens, frozenset(), tokenizer.pad_token_id)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--model", help="a model folder, for a GPU")
    parser.add_argument("--data", type=Path, help="a data folder, for a GPU")
    parser.add_argument("--models", default="nano,micro", help="embedded models, for a CPU")
    parser.add_argument("--tasks", default="arc,openmath,squad", help="tasks of the lab, for a CPU")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--longest", type=int, default=256, help="tokens of a prompt at most, on a GPU")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sampled", type=int, help="prompts per round that are answered one by one (all on a CPU)")
    arguments = parser.parse_args()
    runtime, kept = Runtime.choose(arguments.device, "auto"), []
    with at_work():
        print(f"{runtime.device_name}, torch {torch.__version__}, {runtime.dtype}, {torch.get_num_threads()} threads")
        if arguments.device == "cuda":
            if not arguments.model or not arguments.data:
                parser.error("a GPU needs --model and --data")
            work = shaped(
                runtime, arguments.model, arguments.data, arguments.prompts, arguments.longest, arguments.tokens
            )
            kept += [compare_tokens(work, arguments.rounds)]
            kept += [compare(work, "cuda", arguments.rounds, arguments.sampled or 1)]
        else:
            sampled = arguments.sampled or -(-arguments.prompts // arguments.rounds)
            for name in arguments.models.split(","):
                for task in arguments.tasks.split(","):
                    work = embedded(runtime, name, task, arguments.prompts)
                    kept.append(compare(work, "cpu", arguments.rounds, sampled))
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())

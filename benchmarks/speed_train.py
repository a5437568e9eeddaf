"""How fast a training is as planned, beside TRL's own ways, at the same losses: interleaved, as ratios of one run.

    python benchmarks/speed_train.py --device cpu                      # embedded:nano, float32
    python benchmarks/shaped_model.py qwen --shape qwen3-0.6b --data DATA --dtype bfloat16
    python benchmarks/speed_train.py --device cuda --model qwen --data DATA --steps 40 --few 3

In each round every way trains on the same rows from the same weights, each in turn first, and a round's ratio is that
of two medians of step times. With ``--few``, ways other than ours do so many steps in all rounds but the first,
which tells their losses. Prints the times and how far the losses are apart as a Markdown table.
"""

import argparse
import gc
import hashlib
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ratios import Ratios, told
from transformers import AutoModelForCausalLM, TrainerCallback

from pytest_ftbench import lab
from pytest_ftbench.grid import DataSpec, MethodSpec, Recipe
from pytest_ftbench.ml.adapters import peft_config
from pytest_ftbench.ml.base import load_tokenizer, load_weights
from pytest_ftbench.ml.memory import free, peak_memory, resident_level
from pytest_ftbench.ml.prompts import Example, Renderer, training_examples
from pytest_ftbench.ml.rows import RowSource
from pytest_ftbench.ml.runtime import Runtime, at_work
from pytest_ftbench.ml.sft import Training, make_trainer
from pytest_ftbench.ml.train import train
from pytest_ftbench.tasks import get_task

OURS = "as planned"
DECLARED = "TRL 1×8, checkpointing"
STEP_ROWS = 8
# how many times as long TRL has to take as declared, and at its best; how far a loss may be apart
LIMITS = {"cpu": (1.4, 1.0), "cuda": (30.0, 1.5)}
NEAR = {"float32": 1e-5, "bfloat16": 1e-3}
COLUMNS = ("way", "ms per step", "times as long as planned", "whole training, s", "final loss", "largest Δ of a step")


@dataclass
class Way:
    """A way to train: its recipe, whether with the Hub's kernels; what its rounds took and told.

    ``whole`` says that the first round is done to the end where the others aren't.
    """

    name: str
    recipe: Recipe
    kernels: bool = False
    whole: bool = True
    medians: list[float] = field(default_factory=list)
    wholes: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    weights: str = ""
    peak: dict[str, float | None] = field(default_factory=dict)


class Clock(TrainerCallback):  # type: ignore[misc] # transformers is Any to mypy
    """Looks at the clock after each step, when the device has done it, and ends a training early."""

    def __init__(self, runtime: Runtime, steps: int | None, of_process: bool = False) -> None:
        self.runtime, self.steps = runtime, steps
        self.now = time.process_time if of_process else time.perf_counter
        self.at: list[float] = []
        self.losses: list[float] = []

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Look at the clock."""
        self.look()
        if self.steps is not None and state.global_step >= self.steps:
            control.should_training_stop = True

    def on_log(self, _args: Any, _state: Any, _control: Any, logs: Any = None, **_: Any) -> None:
        """Take note of the step's loss."""
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))

    def look(self) -> None:
        """Take note of the time when the device has done its work."""
        self.runtime.synchronize()
        self.at.append(self.now())

    @property
    def step(self) -> float:
        """Median seconds from the end of one step to that of the next."""
        return statistics.median(end - start for start, end in zip(self.at, self.at[1:], strict=False))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--model", default="nano", help="an embedded model, or a folder (default: nano)")
    parser.add_argument("--data", default="embedded")
    parser.add_argument("--task", default="squad")
    parser.add_argument("--method", default="nopeft")
    parser.add_argument("--rank", type=int)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--few", type=int, help="steps of the slow ways in all rounds but the first")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--clock",
        choices=("wall", "process"),
        default="wall",
        help="process: CPU seconds of this process, where others work beside it on the same cores",
    )
    parser.add_argument("--only", nargs="*", default=[""], help="parts of the names of ways (default: all)")
    arguments = parser.parse_args()
    runtime = Runtime.choose(arguments.device, "auto")
    folder = lab.model_folder(arguments.model) if arguments.model in lab.SHAPES else Path(arguments.model)
    examples = rows(folder, arguments)
    lengths = [len(example.input_ids) for example in examples]
    print(f"{runtime.device_name}, {runtime.dtype}, {runtime.threads} threads; {arguments.model}, {arguments.method}")
    print(f"{len(examples)} rows of {arguments.task}, {statistics.fmean(lengths):.0f} tokens on average", flush=True)
    found = [way for way in ways(runtime) if way.name == OURS or any(part in way.name for part in arguments.only)]
    for number in range(arguments.rounds):
        for way in found[number % len(found) :] + found[: number % len(found)]:
            steps = None if way.name == OURS or (number == 0 and way.whole) else arguments.few
            do(way, folder, examples, arguments, runtime, steps)
            print(f"round {number + 1}: {way.name}: {way.medians[-1] * 1e3:.1f} ms per step", flush=True)
    print("\n".join(table(found)))
    return 0 if all(limits_kept(found, runtime)) else 1


def ways(runtime: Runtime) -> list[Way]:
    """Ours and TRL's: as published, without checkpointing, and the best stock settings that there are here."""
    published = Recipe(learning_rate=1e-5 if runtime.device == "cuda" else 2e-4)
    bare = replace(published, gradient_checkpointing=False)
    whole = replace(bare, per_device_train_batch_size=STEP_ROWS, gradient_accumulation_steps=1)
    found = [
        Way(OURS, published),
        Way(DECLARED, published),
        Way("TRL 1×8, no checkpointing", bare, whole=False),
        Way("TRL 8×1, no checkpointing", whole),
    ]
    if find_spec("kernels") is None:
        print("the kernels package isn't installed: TRL with use_kernels is left out")
    else:
        found.append(Way("TRL 8×1, no checkpointing, use_kernels", whole, kernels=True))
    return found


def rows(folder: Path, arguments: argparse.Namespace) -> list[Example]:
    """As many rows of the task as the steps take."""
    task = get_task(arguments.task)
    with at_work():
        renderer = Renderer(load_tokenizer(folder), "off")
        some = RowSource(DataSpec(arguments.data)).train(task)
        return training_examples(renderer, task, some, 1024)[0][: arguments.steps * STEP_ROWS]


def do(
    way: Way,
    folder: Path,
    examples: Sequence[Example],
    arguments: argparse.Namespace,
    runtime: Runtime,
    steps: int | None,
) -> None:
    """Train once, at most so many steps, and note what it took."""
    clock = Clock(runtime, steps, arguments.clock == "process")
    spec = MethodSpec(arguments.method, (arguments.rank,))
    adapter = peft_config(spec, arguments.rank, way.recipe.steps(len(examples)))
    training = Training(examples, way.recipe, adapter, 0)
    with at_work(runtime.threads), TemporaryDirectory() as scratch:
        level = resident_level(runtime, "trl", "peft")
        with peak_memory(runtime, level) as peak:
            if way.name == OURS:
                facts, weights = ours(folder, training, runtime, Path(scratch), clock, peak)
                whole = facts["seconds"]
                if not way.peak:
                    print(f"plan: {facts['plan']}")
                    way.peak = facts["peak_memory_gib"]
            else:
                whole = trls(way, folder, training, runtime, Path(scratch), clock)
                way.peak = way.peak or peak()
    gc.collect()
    free(runtime)
    way.medians.append(clock.step)
    if way.losses and way.name == OURS:
        same = clock.losses == way.losses and weights == way.weights
        print(f"the same losses and weights as in the first round: {same}")
    if way.name == OURS:
        way.weights = way.weights or weights
    if steps is None:
        way.wholes.append(whole)
    way.losses = way.losses or clock.losses


def ours(
    folder: Path, training: Training, runtime: Runtime, scratch: Path, clock: Clock, peak: Any
) -> tuple[dict[str, Any], str]:
    """As a cell trains; its facts, and the digest of the weights it saved."""
    tokenizer, model = load_tokenizer(folder), load_weights(folder, runtime)
    out = scratch / "out"
    out.mkdir()

    # the clock comes by the way that a cell's pauses come
    facts = train(model, tokenizer, training, runtime, out, print, lambda _: clock.look(), peak)
    clock.losses = facts["losses"]
    saved = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(out.glob("*.safetensors"))))
    return facts, saved.hexdigest()


def trls(way: Way, folder: Path, training: Training, runtime: Runtime, scratch: Path, clock: Clock) -> float:
    """As TRL trains by itself; its seconds."""
    given = {"use_kernels": True} if way.kernels else {}
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=runtime.torch_dtype, **given).to(runtime.device)
    trainer = make_trainer(model, load_tokenizer(folder), training, runtime, scratch)
    trainer.add_callback(clock)
    runtime.synchronize()
    start = time.perf_counter()
    trainer.train()
    runtime.synchronize()
    return time.perf_counter() - start


def limits_kept(found: Sequence[Way], runtime: Runtime) -> Iterator[bool]:
    """Print each limit and whether it is kept: times as long, and how far the declared way's losses are apart.

    Float32 losses are held at every step, others at the end.
    """
    planned, *others = found
    declared = next((way for way in others if way.name == DECLARED), None)
    best = min(
        (way for way in others if way is not declared), key=lambda way: statistics.median(way.medians), default=None
    )
    for way, least in zip((declared, best), LIMITS[runtime.device], strict=True):
        if way is not None:
            ratios = [theirs / own for theirs, own in zip(way.medians, planned.medians, strict=True)]
            limit = Ratios(f"{way.name}, times as long as planned", least, values=ratios)
            print(limit.line())
            yield limit.kept
    if declared is not None:
        start = 0 if runtime.dtype == "float32" else -1
        pairs = zip(declared.losses[start:], planned.losses[start:], strict=True)
        apart = max(abs(one - other) for one, other in pairs)
        kept = apart <= NEAR[runtime.dtype]
        print(f"losses {apart:.1e} apart, at most {NEAR[runtime.dtype]:g}  {'ok' if kept else 'BROKEN'}")
        yield kept


def table(found: Sequence[Way]) -> list[str]:
    """What the rounds took, as Markdown; the interval is a bootstrap's over the rounds' ratios, 95 %."""
    planned = found[0]
    lines = [f"| {' | '.join(COLUMNS)} | peak, GiB |", f"|{' --- |' * (len(COLUMNS) + 1)}"]
    for way in found:
        ratios = [theirs / own for theirs, own in zip(way.medians, planned.medians, strict=True)]
        # the first steps, where no more were done
        apart = max(abs(one - other) for one, other in zip(way.losses, planned.losses, strict=False))
        done = len(way.losses) == len(planned.losses)
        peak = ", ".join(f"{key} {value:.3f}" for key, value in way.peak.items() if value is not None)
        words = (
            way.name,
            f"{statistics.median(way.medians) * 1e3:.1f}",
            told(ratios),
            f"{statistics.median(way.wholes):.2f}" if way.wholes else "–",
            f"{way.losses[-1]:.5f}" if done else "–",
            f"{apart:.1e}",
            peak,
        )
        lines.append(f"| {' | '.join(words)} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())

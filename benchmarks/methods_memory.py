"""What each method takes on a GPU, beside what the third study published; and that no cell leaves anything there.

    python benchmarks/shaped_model.py qwen --shape qwen3-0.6b --data DATA --dtype bfloat16
    python benchmarks/methods_memory.py qwen DATA
    python benchmarks/methods_memory.py qwen DATA --only base lora-r256 --tokens 1000    # as long as the study's

runs the cells of suites/qwen3-methods.toml and prints a Markdown table: peaks of torch's allocator, GiB.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from pytest_ftbench.grid import Cell, CellRecord, Suite, load_suite, method_label
from pytest_ftbench.ml.memory import free
from pytest_ftbench.ml.runtime import Runtime
from pytest_ftbench.ml.workbench import Workbench
from pytest_ftbench.store import Store
from pytest_ftbench.tasks import TASK_NAMES

SUITE = Path(__file__).parent / "suites" / "qwen3-methods.toml"
PEAKS = ("train_allocated", "train_reserved", "eval_allocated", "eval_reserved")
# Table 1 of "Supervised Fine-Tuning of LLMs with Parameter-Efficient Methods", trained on OpenMath, in the order of
# PEAKS; its adapters stood beside, and were merged into, a base in float32
PUBLISHED = {
    ("base", None): (None, None, 1.329, 1.486),
    ("nopeft", None): (5.346, 5.688, 1.329, 1.428),
    ("lora", 256): (4.446, 5.855, 2.523, 2.754),
    ("lora", 512): (5.676, 5.693, 2.523, 2.754),
    ("dora", 256): (4.448, 5.797, 2.523, 2.754),
    ("vera", 512): (3.357, 4.967, 2.523, 2.754),
    ("vera", 1024): (3.366, 4.959, 2.523, 2.754),
}
HEADER = "| method | r | weights | train allocated | reserved | eval allocated | reserved | s per step | left behind |"
MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="*", default=[""], help="parts of the ids of cells (default: all)")
    parser.add_argument("--tokens", type=int, help="new tokens per answer, at most")
    arguments = parser.parse_args()
    suite = load_suite(SUITE, TASK_NAMES).with_models([str(arguments.model)])
    suite = replace(suite, data=replace(suite.data, source=str(arguments.data)))
    if arguments.tokens:
        # one prompt takes as much as several, one after the other
        longer = replace(suite.evaluation, max_new_tokens=arguments.tokens, latency_prompts=1)
        suite = replace(suite, evaluation=longer)
    cells = [cell for cell in suite.cells() if any(f"-{part}" in cell.id for part in arguments.only)]
    print(table(suite, cells))


def table(suite: Suite, cells: Sequence[Cell]) -> str:
    """The measured cells as a Markdown table; each is printed as it comes."""
    runtime = Runtime.choose(suite.device, suite.dtype)
    lines = [HEADER, "| " + " | ".join(["---"] * HEADER.count(" | ")) + " | --- |"]
    with TemporaryDirectory() as cache:
        bench = Workbench(suite, Store(Path(cache)), runtime, lambda line: print(line, flush=True))
        for cell in cells:
            before = allocated(runtime)
            record = bench.measure(cell)
            bench.close()
            lines.append(row(record, allocated(runtime) - before))
            print(lines[-1], flush=True)
    return "\n".join(lines)


def allocated(runtime: Runtime) -> float:
    """MiB that torch holds on the device, 0 on a CPU."""
    free(runtime)
    return torch.cuda.memory_allocated() / MIB if runtime.device == "cuda" else 0.0


def row(record: CellRecord, left: float) -> str:
    """One cell: what was measured, in brackets what was published."""
    published = PUBLISHED.get((record.method, record.rank)) if record.quantization is None else None
    peaks = [
        f"{'–' if (value := record.memory_gib[key]) is None else f'{value:.3f}'}{f' ({told:.3f})' if told else ''}"
        for key, told in zip(PEAKS, published or [None] * len(PEAKS), strict=True)
    ]
    train = record.train
    speed = "–" if train is None else f"{train['seconds'] / train['steps']:.2f}"
    words = (method_label(record.method), str(record.rank or "–"), record.eval_dtype or "–", *peaks, speed)
    return f"| {' | '.join(words)} | {left:.1f} MiB |"


if __name__ == "__main__":
    main()

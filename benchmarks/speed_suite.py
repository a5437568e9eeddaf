"""A whole suite, end to end: the harness from an empty cache, again from a full one, a bare loop, and plain scripts.

    python benchmarks/speed_suite.py --device cpu                                      # the embedded suite, whole
    python benchmarks/shaped_model.py qwen --shape qwen3-0.6b --data DATA --dtype bfloat16
    python benchmarks/speed_suite.py --device cuda --model qwen --data DATA            # the grid of peft-variants

On a CPU each round runs the suite by two workers, again from its cache, and a part of the plain scripts
(``plain_script.py``: a process for each checkpoint's training and for each cell's answers), so that after the last
round all of them have run once. Then one process of pytest and a bare loop over the same functions run a smaller suite
in turn. Printed are medians over the rounds with 95 % bootstrap intervals.

On a GPU the suite runs once and whole, one process; of the scripts a sample does some steps and prompts, which are
taken for all. Answers of random weights never end, so each has ``--tokens`` tokens, in the harness and in the scripts.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

from ratios import Ratios

from pytest_ftbench.grid import Cell, Suite, load_suite
from pytest_ftbench.ml.runtime import Runtime
from pytest_ftbench.ml.workbench import Workbench
from pytest_ftbench.store import Store
from pytest_ftbench.tasks import TASK_NAMES

HERE = Path(__file__).parent
SCRIPTS, AGAIN, OVERHEAD = 5.0, 50.0, 1.03
AGAIN_SECONDS = 15.0
GRID = 20.0
FEW = {"train": 4, "answer": 3}  # steps and prompts of a sample


@dataclass
class Script:
    """A plain script's run: what it does, for which cell; its seconds, and those that it left out."""

    what: str
    cell: Cell
    folder: Path
    seconds: float = 0.0
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """What one of them may stand for on a GPU, which waits for launches: rank and rows hardly matter there."""
        return f"{self.what} {self.cell.method}"


def timed(words: Sequence[str]) -> tuple[float, str]:
    """The wall seconds of a process of this Python, and what it printed.

    Raises RuntimeError where it fails.
    """
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return time.perf_counter() - start, done.stdout


def harness(suite: Path, cache: Path, device: str, *options: str) -> float:
    """The wall seconds of the suite by pytest; what it printed and how long each item took lie beside the cache."""
    words = ["-m", "pytest", str(HERE), "--benchmark-disable", f"--ftbench-suite={suite}", f"--ftbench-device={device}"]
    report = cache.with_suffix(".xml")
    seconds, printed = timed([*words, f"--ftbench-cache={cache}", f"--junitxml={report}", "-v", *options])
    cache.with_suffix(".txt").write_text(printed, encoding="utf-8")
    return seconds


def bare(suite: Path, cache: Path, device: str) -> None:
    """What pytest runs, without it."""
    loaded, store = load_suite(suite, TASK_NAMES), Store(cache)
    bench = Workbench(loaded, store, Runtime.choose(device, "auto"))
    for cell in loaded.cells():
        bench.measure(cell)
    bench.close()


def scripts_of(suite: Suite, folder: Path) -> list[Script]:
    """Every plain script that the suite's cells take, trainings before what answers with them."""
    found, trained = [], set()
    for cell in suite.cells():
        place = folder / f"{cell.method}-{cell.rank}-{cell.train_task}-{cell.model}-{cell.seed}"
        if not cell.is_base and cell.checkpoint_key not in trained:
            trained.add(cell.checkpoint_key)
            found.append(Script("train", cell, place))
        found.append(Script("answer", cell, place))
    return found


def do(script: Script, suite: Path, device: str, few: dict[str, int] | None = None) -> None:
    """Run a plain script; ``few`` says of how many steps and prompts."""
    limit = [f"--few={few[script.what]}"] if few else []
    words = [script.what, str(suite), script.cell.id, str(script.folder), f"--device={device}", *limit]
    seconds, printed = timed([str(HERE / "plain_script.py"), *words])
    script.found = json.loads(printed.splitlines()[-1])
    script.seconds = seconds + script.found["left"]


def parts_of(scripts: Sequence[Script], rounds: int) -> list[list[Script]]:
    """The scripts in as many parts of like work: a checkpoint's stay together, its training before its answers."""
    groups = list({script.folder: None for script in scripts})
    return [[each for each in scripts if groups.index(each.folder) % rounds == part] for part in range(rounds)]


def worked(report: Path) -> float:
    """The seconds that the items of a run took, by its JUnit file."""
    return sum(float(case.get("time", 0)) for case in ElementTree.parse(report).iter("testcase"))


def in_rounds(suite: Path, rounds: int, folder: Path) -> bool:
    """The suite by two workers, again, and the plain scripts, on this machine's cores."""
    scripts = scripts_of(load_suite(suite, TASK_NAMES), folder)
    parts, first, again, works = parts_of(scripts, rounds), list[float](), list[float](), list[float]()
    for number, part in enumerate(parts):
        cache = folder / f"cache{number}"

        def by_harness(cache: Path = cache) -> None:
            work = []
            for seconds in (first, again):
                seconds.append(harness(suite, cache, "cpu", "-n2", f"--ftbench-json={folder / 'results.json'}"))
                work.append(worked(cache.with_suffix(".xml")))
            works.append(work[0] / work[1])

        def by_scripts(part: list[Script] = part) -> None:
            for script in part:
                do(script, suite, "cpu")

        for way in (by_harness, by_scripts)[:: 1 if number % 2 else -1]:
            way()
        told = f"{sum(script.seconds for script in part):.1f} s of scripts ({len(part)})"
        print(f"round {number + 1}: suite {first[-1]:.1f} s, again {again[-1]:.1f} s, {told}", flush=True)
    whole = sum(script.seconds for script in scripts)
    print(f"{len(scripts)} scripts took {whole:.0f} s; the suite {median(first):.1f} s, again {median(again):.1f} s")
    agreement(scripts, folder / "results.json")
    ratios = [
        Ratios("two workers, against the scripts one by one", SCRIPTS, values=[whole / seconds for seconds in first]),
        Ratios("work of the first run, against that of the second", AGAIN, values=works),
    ]
    print("\n".join(each.line() for each in ratios))
    return all(each.kept for each in ratios) and median(again) <= AGAIN_SECONDS


def overhead(suite: Path, rounds: int, folder: Path) -> bool:
    """One process of pytest against a bare loop, each from an empty cache."""
    ratios = Ratios(f"{suite.stem}: one process, against a bare loop", most=OVERHEAD)
    for number in range(rounds):
        ways = [
            lambda cache: harness(suite, cache, "cpu", "--ftbench-gate=off"),
            lambda cache: timed([__file__, "--bare", str(suite), str(cache), "--device=cpu"])[0],
        ]
        taken = {}
        for way in ((number + shift) % 2 for shift in range(2)):
            taken[way] = ways[way](folder / f"overhead{number}-{way}")
        ratios.values.append(taken[0] / taken[1])
        print(f"round {number + 1}: one process {taken[0]:.1f} s, a bare loop {taken[1]:.1f} s", flush=True)
    print(ratios.line())
    return ratios.kept


def agreement(scripts: Sequence[Script], results: Path) -> None:
    """Print how far the scripts' scores are from the harness's."""
    records = {record["id"]: record["scores"] for record in json.loads(results.read_text(encoding="utf-8"))["cells"]}
    apart = [
        abs(value - records[script.cell.id][name])
        for script in scripts
        for name, value in script.found.get("scores", {}).items()
        if value is not None and records[script.cell.id][name] is not None
    ]
    print(f"{len(apart)} scores; those of the scripts are {max(apart):.2g} apart from the harness's at most")


def grid(model: Path, data: Path, tokens: int, latency: int, folder: Path) -> bool:
    """The grid of peft-variants on a GPU: the harness whole, of the scripts a sample taken for all."""
    suite = folder / "grid.toml"
    suite.write_text(grid_text(model, data, tokens, latency), encoding="utf-8")
    print(f"peft-variants, but for {tokens} tokens an answer, {latency} timed answers a cell", flush=True)
    whole = harness(suite, folder / "cache", "cuda", f"--ftbench-json={folder / 'results.json'}")
    print(f"the harness: {whole:.0f} s", flush=True)
    scripts = scripts_of(load_suite(suite, TASK_NAMES), folder)
    sampled: dict[str, float] = {}
    for script in scripts:
        if script.kind not in sampled and (script.what == "train" or (script.folder.exists() or script.cell.is_base)):
            do(script, suite, "cuda", FEW)
            sampled[script.kind] = script.seconds
            print(f"{script.kind} ({script.cell.id}): {script.seconds:.0f} s", flush=True)
    extrapolated = sum(sampled[script.kind] for script in scripts)
    print(f"{len(scripts)} scripts: {extrapolated:.0f} s, extrapolated from {len(sampled)}")
    ratio = Ratios("the harness, against the scripts", GRID, values=[extrapolated / whole])
    print(ratio.line())
    return ratio.kept


def grid_text(model: Path, data: Path, tokens: int, latency: int) -> str:
    """The suite's text with another model, rows and length of answers; of untuned models only the one there is."""
    text = (HERE / "suites" / "peft-variants.toml").read_text(encoding="utf-8")
    changes = {
        '"Qwen/Qwen3-0.6B"': json.dumps(str(model.resolve())),
        '"qwen3-1.7b" = { source = "Qwen/Qwen3-1.7B", methods = ["base"] }\n': "",
        'source = "hub"': f"source = {json.dumps(str(data.resolve()))}",
        "max_new_tokens = 1000": f"max_new_tokens = {tokens}",
        "latency_prompts = 50": f"latency_prompts = {latency}\nlatency_warmup = 1",
    }
    for old, new in changes.items():
        if old not in text:
            raise RuntimeError(f"peft-variants.toml has no {old}")
        text = text.replace(old, new)
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--suite", type=Path, default=HERE / "suites" / "embedded.toml", help="for a CPU")
    parser.add_argument("--model", type=Path, help="a folder of shaped_model.py, for a GPU")
    parser.add_argument("--data", type=Path, help="a data folder, for a GPU")
    parser.add_argument("--tokens", type=int, default=32, help="of each answer, on a GPU")
    parser.add_argument("--latency", type=int, default=2, help="timed answers of each cell, on a GPU")
    parser.add_argument("--folder", type=Path, help="a new one for caches and logs, which are deleted without it")
    parser.add_argument("--bare", nargs=2, type=Path, metavar=("SUITE", "CACHE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare:
        suite, cache = arguments.bare
        bare(suite, cache, arguments.device)
        return 0
    with TemporaryDirectory() as name:
        folder = arguments.folder or Path(name)
        folder.mkdir(exist_ok=True)
        if arguments.device == "cpu":
            kept = [
                in_rounds(arguments.suite, arguments.rounds, folder),
                overhead(HERE / "embedded-gate.toml", arguments.rounds, folder),
            ]
        else:
            if not arguments.model or not arguments.data:
                parser.error("a GPU needs --model and --data")
            kept = [grid(arguments.model, arguments.data, arguments.tokens, arguments.latency, folder)]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())

"""What the plugin costs a pytest run that doesn't use it, and what collecting 10,000 cells costs.

``python benchmarks/startup.py`` prints a table and exits with 1 where a limit is broken. Both sides of a difference run
without the other plugins of this environment, which would add their noise, and with compiled modules, as users have.
"""

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

# rounds of a difference go on until its interval is narrower than the limit, as it soon is on a quiet machine
FEWEST, MOST, WARM_UPS = 20, 120, 2
IDLE_LIMIT_MS = 10.0
COLLECTION_LIMIT_S = 2.0
HEAVY = ("torch", "transformers", "trl", "peft", "datasets", "numpy", "pyarrow")

MODELS, RANKS, TASKS = 5, 500, ("arc", "squad")
CELLS = MODELS * RANKS * len(TASKS) ** 2
COMPARISON = Path(__file__).with_name("test_finetuning.py")
OTHERS = [f"-pno:{plugin.name}" for plugin in entry_points(group="pytest11") if plugin.name != "ftbench"]
COLLECT_ONLY = ("--collect-only", "-q", "-pno:cacheprovider", *OTHERS)

# the collection itself, and which of the heavy modules it left imported
REPORT_HEAVY = f"""
import sys, pytest
pytest.main(sys.argv[1:])
print("heavy:", *(name for name in {HEAVY!r} if name in sys.modules))
"""


def timed(words: Sequence[str], folder: Path) -> tuple[float, str]:
    """The wall seconds of a process, and what it printed.

    Raises RuntimeError where it fails.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "PYTHON"))}
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "pycache")
    start = time.perf_counter()
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return seconds, done.stdout


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", *COLLECT_ONLY, *arguments]


def interleaved(commands: Sequence[Sequence[str]], folder: Path, rounds: int) -> list[list[float]]:
    """The seconds of each command; each round runs all, in an order drawn anew."""
    order = random.Random(0)
    seconds: list[list[float]] = [[] for _ in commands]
    for _ in range(WARM_UPS + rounds):
        for index in order.sample(range(len(commands)), len(commands)):
            seconds[index].append(timed(commands[index], folder)[0])
    return [each[WARM_UPS:] for each in seconds]


def idle_and_bare(folder: Path) -> tuple[list[float], list[float]]:
    """The seconds of an unrelated collection with the plugin and without it."""
    commands = [command("test_other.py"), command("-pno:ftbench", "test_other.py")]
    idle, bare = list[float](), list[float]()
    while len(idle) < MOST:
        for seconds, more in zip((idle, bare), interleaved(commands, folder, FEWEST), strict=True):
            seconds += more
        _, low, high = difference(idle, bare)
        if 1000 * (high - low) < IDLE_LIMIT_MS:
            break
    return idle, bare


def difference(one: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    """The difference of two medians, and its 95 % bootstrap interval."""
    draw = random.Random(0)
    drawn = sorted(
        statistics.median(draw.choices(one, k=len(one))) - statistics.median(draw.choices(other, k=len(other)))
        for _ in range(2000)
    )
    return statistics.median(one) - statistics.median(other), drawn[50], drawn[-51]


def heavy_modules(folder: Path, *arguments: str) -> list[str]:
    """Which heavy modules a collection imports."""
    _, output = timed([sys.executable, "-c", REPORT_HEAVY, *COLLECT_ONLY, *arguments], folder)
    return output.splitlines()[-1].removeprefix("heavy:").split()


def large_suite() -> str:
    """A suite of 10,000 cells: models × ranks × train tasks × eval tasks."""
    names = ", ".join(f'"{task}"' for task in TASKS)
    models = "\n".join(f'model-{number} = "embedded:nano"' for number in range(MODELS))
    ranks = list(range(1, RANKS + 1))
    return (
        f"[models]\n{models}\n[methods]\nlora = {{ ranks = {ranks} }}\n[tasks]\ntrain = [{names}]\neval = [{names}]\n"
    )


def row(what: str, value: str, limit: str, kept: bool) -> bool:
    print(f"{what:<44} {value:>34} {limit:>9}  {'ok' if kept else 'BROKEN'}")
    return kept


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_other.py").write_text("def test_other():\n    assert True\n", encoding="utf-8")
        (folder / "large.toml").write_text(large_suite(), encoding="utf-8")
        cells = [f"--rootdir={folder}", str(COMPARISON), "--ftbench-suite", "large.toml"]

        idle, without = idle_and_bare(folder)
        collection, again = interleaved([command(*cells), command("test_other.py")], folder, 3)
        collected = sum("::test_cell[" in line for line in timed(command(*cells), folder)[1].splitlines())
        heavy = heavy_modules(folder, "test_other.py"), heavy_modules(folder, *cells)

    extra, low, high = (1000 * seconds for seconds in difference(idle, without))
    seconds = statistics.median(collection) - statistics.median(again)
    print(f"{len(idle)} interleaved runs each; medians without {1000 * statistics.median(without):.1f} ms", end="")
    print(
        f", with the plugin {1000 * statistics.median(idle):.1f} ms; collection {statistics.median(collection):.2f} s"
    )
    kept = [
        row(
            "idle plugin",
            f"{extra:+.1f} ms [{low:+.1f}, {high:+.1f}]",
            f"{IDLE_LIMIT_MS:.0f} ms",
            extra < IDLE_LIMIT_MS,
        ),
        row("heavy modules of an unrelated run", ", ".join(heavy[0]) or "none", "none", not heavy[0]),
        row(
            f"{CELLS:,} cells, beyond bare start-up",
            f"{seconds:.2f} s",
            f"{COLLECTION_LIMIT_S:.0f} s",
            seconds < COLLECTION_LIMIT_S,
        ),
        row("cells collected", f"{collected:,}", f"{CELLS:,}", collected == CELLS),
        row("heavy modules of collecting them", ", ".join(heavy[1]) or "none", "none", not heavy[1]),
    ]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())

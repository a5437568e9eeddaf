"""Makes the golden files of a version: what it writes of a tiny model, a few rows and two seeds.

Run with the version's own sources, from the repository's root::

    python tests/golden/make.py src tests/golden/VERSION

A source tree of an earlier commit is given in ``src``'s place, and what it can't do yet is left out by ``--without``:
``curve``, ``fixed``, ``tuned``, ``baseline``, ``benchmark``.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "src")]

SUITE = """
name = "golden"
seeds = [0, 1]
{recipe}

[models]
tiny = "model"

[methods]
base = {{}}
lora = {{ ranks = [2] }}

[tasks]
train = ["arc"]
eval = ["arc", "squad"]

[data]
source = "rows"

{tables}

[evaluation]
max_new_tokens = 6
batch_size = 4
reasoning = "off"
latency_prompts = 2
latency_warmup = 1
{evaluation}
"""
PUBLISHED = "[recipe]\nlearning_rate = 5e-3\nnum_train_epochs = 2"
TUNED = 'recipe = "tuned"'
SWEEP = "[sweep]\ntrials = 2\nextensions = 0\nvalidation_samples = 20\ncentre = 1e-3"
TEST = "def test_cell(result):\n    assert result.complete\n"
STEMS = {"arc": "ai2_arc", "squad": "squad_v2"}
SPLITS = {"train": 12, "validation": 20, "test": 4}
CELL = "tiny-lora-r2-arc-to-arc-s0"


def main() -> None:
    """Make the files that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--without", nargs="*", default=[])
    given = parser.parse_args()
    given.out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare(folder, given.without)
        run(folder, given.source.resolve(), given.without)
        keep(folder, given.out)


def prepare(folder: Path, without: list[str]) -> None:
    """Write the model, the rows, the suite and the test."""
    from models import make_folder

    from pytest_ftbench import lab

    make_folder(folder / "model")
    (folder / "rows").mkdir()
    for task, stem in STEMS.items():
        for split, count in SPLITS.items():
            lines = [json.dumps(row) for row in lab.rows(task, split, count)]
            (folder / "rows" / f"{split}-{stem}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    evaluation = ["epochs = [1]"] * ("curve" not in without) + ["latency_tokens = 4"] * ("fixed" not in without)
    tuned = "tuned" not in without
    text = SUITE.format(
        recipe=TUNED if tuned else "",
        tables=SWEEP if tuned else PUBLISHED,
        evaluation="\n".join(evaluation if not tuned else evaluation[1:]),
    )
    (folder / "suite.toml").write_text(text, encoding="utf-8")
    (folder / "test_cells.py").write_text(TEST, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")


def run(folder: Path, source: Path, without: list[str]) -> None:
    """Measure, accept a baseline, and judge another run by it."""
    command = ["-m", "pytest", "-p", "no:cacheprovider", "--ftbench-suite", "suite.toml", "--ftbench-cache", "cache"]
    call(folder, source, [*command, "--ftbench-json", "results.json"])
    if "benchmark" not in without:  # a run of its own, for it stores no timings
        call(folder, source, [*command, "--benchmark-save=golden"])
    if "baseline" not in without:
        reason = "the first one"
        call(folder, source, ["-m", "pytest_ftbench", "baseline", "accept", "results.json", "--reason", reason])
        again = ["--ftbench-baseline", "baselines/golden.json", "--ftbench-json", "gated.json"]
        call(folder, source, [*command, *again], fine=(0, 1))


def call(folder: Path, source: Path, arguments: list[str], fine: tuple[int, ...] = (0,)) -> None:
    """Run Python on a version's sources."""
    environment = os.environ | {"PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1", "GITHUB_ACTIONS": ""}
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, check=False)
    if done.returncode not in fine:
        raise SystemExit(f"exit code {done.returncode} of {' '.join(arguments)}")


def keep(folder: Path, out: Path) -> None:
    """Copy what is to be kept."""
    for name in ("results.json", "gated.json"):
        if (folder / name).exists():
            shutil.copy(folder / name, out / name)
    if (accepted := folder / "baselines" / "golden.json").exists():
        shutil.copy(accepted, out / "baseline.json")
    for file in (folder / ".benchmarks").rglob("*.json"):
        stored = json.loads(file.read_text(encoding="utf-8"))
        stored["machine_info"]["node"] = "machine"  # nobody's name
        (out / "benchmark.json").write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    record = next(each for each in (folder / "cache" / "records").iterdir() if is_of(each, CELL))
    told = json.loads((record / "record.json").read_text(encoding="utf-8"))
    checkpoint = told["provenance"]["checkpoint"]
    kept = [record, folder / "cache" / "checkpoints" / checkpoint]
    answers = [each for each in (folder / "cache" / "answers").iterdir() if material(each)["checkpoint"] == checkpoint]
    names = {each.name for each in answers}
    timings = [each for each in (folder / "cache" / "timings").iterdir() if material(each)["answers"] in names]
    for entry in [*kept, *answers, *timings]:
        shutil.copytree(entry, out / "store" / entry.parent.name / entry.name)


def is_of(entry: Path, cell: str) -> bool:
    """Whether a stored record is a cell's."""
    return bool(json.loads((entry / "record.json").read_text(encoding="utf-8"))["id"] == cell)


def material(entry: Path) -> dict[str, object]:
    """What a stored entry is made of."""
    manifest: dict[str, dict[str, object]] = json.loads((entry / "manifest.json").read_text(encoding="utf-8"))
    return manifest["material"]


if __name__ == "__main__":
    main()

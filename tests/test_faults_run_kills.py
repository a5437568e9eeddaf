"""A run that is killed at any moment and then continued ends with the results of an undisturbed one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_project import Project, untimed

from pytest_ftbench.store import Store

pytestmark = pytest.mark.torch

PROGRAM = Path(__file__).with_name("killed_runs.py")


def test_killed_at_random_moments_a_run_ends_with_the_results_of_an_undisturbed_one(pytester, tmp_path, faults):
    Project(pytester, tmp_path)
    count, seed = faults(2, 20), 20260101
    command = [sys.executable, str(PROGRAM), str(pytester.path), str(count), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    logs = "\n".join(path.read_text(encoding="utf-8")[-2000:] for path in pytester.path.glob("*.log"))
    assert done.returncode == 0, done.stderr + logs
    told = json.loads(done.stdout.splitlines()[-1])
    first, second = (json.loads((pytester.path / f"{name}.json").read_text()) for name in ("undisturbed", "disturbed"))
    same, cells = untimed(second), untimed(first)
    where = ", ".join(f"{times} amid {name}" for name, times in told["killed"].items() if times)
    print(
        f"{count} kills of a run (seed {seed}; {where}): {len(cells)} cells, "
        f"{sum(same.get(name) != cell for name, cell in cells.items())} differ from an undisturbed run, "
        f"in {told['seconds']:.0f} s"
    )
    assert sum(told["killed"].values()) == count
    assert same == cells
    cache = pytester.path / "disturbed"
    assert list((cache / "building").iterdir()) == []
    assert not (cache / "set-aside").exists()
    Store(cache, pytest.fail)

"""A run that is killed at any moment and then continued ends with the scores of an undisturbed one."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from plugin_project import Project, untimed

pytestmark = pytest.mark.torch

KILLS = 10


def start(folder, cache, *arguments):
    """Pytest on the project in a process group of its own."""
    options = ("-p", "no:cacheprovider", "--ftbench-suite", "suite.toml", "--ftbench-cache", str(cache))
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def test_killed_ten_times_at_random_moments_it_ends_with_the_same_scores(pytester, tmp_path):
    Project(pytester, tmp_path)
    began = time.monotonic()
    undisturbed = start(pytester.path, tmp_path / "undisturbed", "--ftbench-json", "undisturbed.json")
    assert undisturbed.wait() == 0
    duration = time.monotonic() - began

    moments = random.Random(20260101)
    killed = 0
    while killed < KILLS:
        run = start(pytester.path, tmp_path / "disturbed")
        try:
            run.wait(timeout=moments.uniform(0.1, 0.9) * duration)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
            killed += 1
        else:
            # it got to its end: for the kills that are left there must be something to interrupt
            assert run.returncode == 0
            shutil.rmtree(tmp_path / "disturbed")
    last = start(pytester.path, tmp_path / "disturbed", "--ftbench-json", "disturbed.json")
    assert last.wait() == 0

    first, second = (json.loads((pytester.path / f"{name}.json").read_text()) for name in ("undisturbed", "disturbed"))
    assert untimed(second) == untimed(first)
    assert list((tmp_path / "disturbed" / "building").iterdir()) == []

"""Processes that are killed while they build entries, that all want the same one, or are interrupted as they wait."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from killed_builders import PROCESSES

from pytest_ftbench.store import Store, read_json, write_json

HERE = Path(__file__).parent
SECONDS_TO_END = 2.0


def told_by(task, folder, count, seed):
    """What a process without torch, which forks others, found."""
    command = [sys.executable, str(HERE / "killed_builders.py"), task, str(folder), str(count), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_whatever_moment_a_process_is_killed_at_every_entry_served_is_whole(tmp_path, faults):
    count, seed = faults(40, 1000), 20261126
    found = told_by("kills", tmp_path, count, seed)
    print(
        f"{count} kills (seed {seed}), {found['amid']} amid a build: {found['served']} entries and {found['results']} "
        f"results files read, {len(found['partial'])} partial, {found['said']} set aside, {found['completed']} "
        f"continued; {found['drafts']} drafts swept, in {found['seconds']:.0f} s"
    )
    assert found["partial"] == found["left"] == []
    assert found["served"] > count
    assert 0.1 * count < found["amid"] < count
    assert found["completed"] > 0.8 * count


def test_sixteen_processes_that_want_a_checkpoint_train_it_once_whoever_dies_of_it(tmp_path, faults):
    count, seed = faults(4, 60), 1
    found = told_by("crowds", tmp_path, count, seed)
    deaths = sum(told["killed"] for told in found["rounds"])
    print(
        f"{count} rounds of {PROCESSES} processes: {sum(told['built'] for told in found['rounds'])} trainings ended, "
        f"{deaths} died amid one, {sum(told['whole'] for told in found['rounds'])} were given the same bytes, "
        f"in {found['seconds']:.0f} s"
    )
    for told in found["rounds"]:
        assert told["killed"] == told["deaths"], told
        assert (told["built"], told["whole"], told["left"]) == (1, PROCESSES - told["deaths"], 0), told


# Says that it is there, and then wants the entry that another process builds.
WAITER = """
import sys
from pathlib import Path
from pytest_ftbench.store import Store

def said(line):
    print(line.split()[0], flush=True)

store = Store(Path(sys.argv[1]), said)
print("there", flush=True)
try:
    print(store.get("checkpoints", "x", lambda folder: (folder / "made").write_text("by who waited")))
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(130)
"""

# Builds the entry for a minute, and has a child that does something else for as long, as a loader of rows may.
HOLDER = """
import os, sys, time
from pathlib import Path
from pytest_ftbench.store import Store

def build(folder):
    (folder / "made").write_text("half")
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    time.sleep(60)

try:
    Store(Path(sys.argv[1])).get("checkpoints", "x", build)
except KeyboardInterrupt:
    sys.exit(130)
"""


def start(script, root):
    return subprocess.Popen([sys.executable, "-c", script, str(root)], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def holder(tmp_path):
    """A process that builds the entry, and the number of its child."""
    process = start(HOLDER, tmp_path)
    child = int(process.stdout.readline())
    yield process, child
    process.kill()
    os.kill(child, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def test_who_waits_for_another_ends_at_a_ctrl_c(tmp_path, holder, faults):
    moments, waiters = random.Random(5), [start(WAITER, tmp_path) for _ in range(faults(6, 16))]
    for waiter in waiters:
        assert waiter.stdout.readline() == "there\n"
    seconds = []
    for waiter in waiters:
        time.sleep(moments.uniform(0, 0.5))
        waiter.send_signal(signal.SIGINT)
        began = time.monotonic()
        rest, _ = waiter.communicate(timeout=30)
        seconds.append(time.monotonic() - began)
        assert rest.split()[-1] == "interrupted"
        assert waiter.returncode == 130
    print(f"{len(waiters)} waiting processes interrupted: the slowest ended after {max(seconds):.2f} s")
    assert max(seconds) < SECONDS_TO_END
    assert holder[0].poll() is None


def test_who_builds_ends_at_a_ctrl_c_and_leaves_nothing(tmp_path, holder):
    began = time.monotonic()
    holder[0].send_signal(signal.SIGINT)
    assert holder[0].wait(30) == 130
    assert time.monotonic() - began < SECONDS_TO_END
    assert list((tmp_path / "building").iterdir()) == []
    assert Store(tmp_path, pytest.fail).find("checkpoints", "x") is None


def test_who_is_killed_while_it_builds_holds_nobody_up_though_a_child_of_it_lives(tmp_path, holder):
    waiter = start(WAITER, tmp_path)
    assert waiter.stdout.readline() == "there\n"
    holder[0].kill()
    began = time.monotonic()
    folder, _ = waiter.communicate(timeout=30)
    assert time.monotonic() - began < SECONDS_TO_END
    os.kill(holder[1], 0)
    assert (Path(folder.split()[-1]) / "made").read_text() == "by who waited"


def test_drafts_are_swept_once_their_writer_is_dead_and_not_before(tmp_path):
    path = tmp_path / "results.json"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mine, new, foreign = (
        f".results.json.{os.getpid()}-00000000",
        f".results.json.{dead.pid}-00000000",
        ".results.json.x",
    )
    old = f".results.json.{dead.pid}-00000001"
    for name in (mine, new, foreign, old):
        (tmp_path / name).write_text("{", encoding="utf-8")
    for name in (mine, foreign, old):
        os.utime(tmp_path / name, (0, 0))
    write_json(path, {"cells": []})
    assert {file.name for file in tmp_path.iterdir()} == {path.name, mine, new, foreign}
    assert read_json(path) == {"cells": []}

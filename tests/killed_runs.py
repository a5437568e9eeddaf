"""Whole runs of pytest that are killed: run by test_faults_run_kills.py as a program, which imports torch once.

Each run is a process of its own, forked where the libraries are imported already. It is killed at a random moment of
what it is at: training, timing, answering, writing a record.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from plugin_project import import_libraries

from pytest_ftbench.store import machine

# after an entry of that kind was begun, or was done; and within so many seconds
MOMENTS = {
    "training": ("checkpoints", "begun", 1.0),
    "timing": ("timings", "begun", 0.1),
    "answering": ("answers", "begun", 0.1),
    "writing a record": ("answers", "done", 0.03),
}


def run(folder, cache, name):
    """The number of a process that runs the project's cells and writes their results."""
    child = os.fork()
    if child:
        return child
    os.chdir(folder)
    log = os.open(folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    options = ("-p", "no:cacheprovider", "--ftbench-suite", "suite.toml", "--ftbench-cache", str(cache))
    code = 70
    try:
        code = pytest.main([*options, "--ftbench-json", f"{name}.json"])
    finally:
        sys.stdout.flush()
        os._exit(code)


def ended(child):
    """A process's exit status; None while it runs."""
    number, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if number else None


def moment(child, building, kind, how):
    """Wait until an entry of that kind is begun, or was and is done; whether the process lived to see it."""
    begun = False
    while ended(child) is None:
        there = any(building.glob(f"{kind}-*"))
        if (there and how == "begun") or (begun and not there):
            return True
        begun = begun or there
        time.sleep(0.001)
    return False


def kills(folder, count, seed):
    """Run, kill as many times, run again; how it went. The results are in the folder."""
    chance, killed, completed = random.Random(seed), dict.fromkeys(MOMENTS, 0), 0
    began = time.monotonic()
    assert os.waitpid(run(folder, folder / "undisturbed", "undisturbed"), 0)[1] == 0
    cache = folder / "disturbed"
    for number in range(count):
        name = list(MOMENTS)[number % len(MOMENTS)]
        kind, how, seconds = MOMENTS[name]
        while True:
            child = run(folder, cache, "disturbed")
            if moment(child, cache / "building", kind, how):
                time.sleep(chance.uniform(0, seconds))
                if ended(child) is None:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    killed[name] += 1
                    break
            # it got to its end: for the kills that are left there must be something to interrupt
            completed += 1
            shutil.rmtree(cache)
    assert os.waitpid(run(folder, cache, "disturbed"), 0)[1] == 0
    return {"killed": killed, "completed": completed, "seconds": time.monotonic() - began}


if __name__ == "__main__":
    import_libraries()
    # a timing waits for whatever else is computed on this machine, and that may be other tests
    machine._user_folder = lambda: Path(sys.argv[1]) / "machine"
    print(json.dumps(kills(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))

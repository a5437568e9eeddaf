"""Ctrl-C at a real terminal: the run stops within two seconds, reports what is finished, and the next goes on there."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pexpect
import pytest
from plugin_project import SUITE, Project

pytestmark = pytest.mark.torch

SECONDS = 2.0
THEIRS = "nopeft-arc-to-arc"
SLOW = SUITE.replace("learning_rate", "num_train_epochs = 400\nlearning_rate").replace(
    'train = ["arc", "squad"]', 'train = ["arc"]'
)
# whoever else runs cells on this machine takes part in its lock, and would be waited for
TELLING = """
import ctypes, os, pathlib
from pytest_ftbench.progress import Progress
from pytest_ftbench.ml import workbench
from pytest_ftbench.store import machine

machine._user_folder = lambda: pathlib.Path(os.environ["MACHINE_FOLDER"])
now, score = Progress.now, workbench.assemble

def tell(self, doing):
    now(self, doing)
    if self._item is not None:
        self.say(doing)

def hang(cell, *rest):
    if cell.id == os.environ.get("HANGS"):
        print(end="", flush=True)
        lock = ctypes.create_string_buffer(256)
        for _ in range(2):
            ctypes.CDLL(None).pthread_mutex_lock(lock)
    return score(cell, *rest)

Progress.now = tell
workbench.assemble = hang
"""
PASSED = re.compile(r"test_cell\[([\w-]+)\] (?:F1|EM) |(?:F1|EM) [\d.]+ (?:\S+ )?[^\n]*test_cell\[([\w-]+)\]")


class Moment:
    """When the key is pressed: some time after a line, in a run that is started with these options."""

    def __init__(self, name, line, latest, *options, hangs=None, beside=None):
        self.name, self.line, self.latest, self.options = name, line, latest, options
        self.hangs, self.beside = hangs, beside


MOMENTS = (
    # with two workers, the one that has done the base cells
    Moment("training", r"{last}-arc: training on", 1.5),
    Moment("in a call of C", r"base-to-squad: scoring", 0.3, hangs="nano-base-to-squad"),
    Moment("importing", r"base-to-arc: starting up", 3.0),
    Moment("answering", r"base-to-squad: answering", 0.2),
    Moment("timing", r"base-to-squad: timing", 0.3),
    Moment("waiting for a training", r"waiting for another process", 2.0, "-k", THEIRS, beside=THEIRS),
    Moment("waiting for the machine", r"base-to-arc: timing", 2.0, "-k", "base", beside=THEIRS),
)


@pytest.fixture
def slow(pytester, tmp_path, monkeypatch):
    monkeypatch.setenv("MACHINE_FOLDER", str(tmp_path / "machine"))
    project = Project(pytester, tmp_path / "cache", suite=SLOW)
    pytester.makeconftest(TELLING)
    return project


def command(project, *arguments, results="results.json"):
    options = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-v", "--ftbench-json", results)
    chosen = ("--ftbench-suite", "suite.toml", "--ftbench-cache", str(project.cache))
    return [sys.executable, "-m", "pytest", *options, *chosen, *arguments]


def environment(project, moment):
    hangs = {} if moment.hangs is None else {"HANGS": moment.hangs}
    return {**os.environ, "COLUMNS": "200", **hangs}


@contextmanager
def another(project, moment):
    """Another process that trains, and stands still in the middle of it."""
    if moment.beside is None:
        yield
        return
    arguments = command(project, "-k", moment.beside, results="others.json")
    options = {"cwd": project.pytester.path, "env": environment(project, moment)}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, **options) as process:
        try:
            assert any("training on" in line for line in process.stdout)
            process.send_signal(signal.SIGSTOP)
            yield
        finally:
            process.kill()


def press(project, moment, workers, delay):
    """Seconds from the key to the end of the last process, the exit code, and all that was on the screen."""
    screen = project.pytester.path / "screen.txt"
    with screen.open("w", encoding="utf-8") as log:
        name, *arguments = command(project, "-n", workers, *moment.options)
        child = pexpect.spawn(
            name,
            arguments,
            cwd=project.pytester.path,
            env=environment(project, moment),
            encoding="utf-8",
            timeout=120,
            dimensions=(50, 200),
        )
        child.logfile_read = log
        try:
            child.expect(moment.line.format(last="nopeft" if workers == "0" else "lora-r2"))
            time.sleep(delay)
            began = time.monotonic()
            child.sendintr()
            child.expect(pexpect.EOF)
            seconds = time.monotonic() - began
            child.close()
            with pytest.raises(ProcessLookupError):
                os.killpg(child.pid, 0)
        finally:
            child.close(force=True)
    return seconds, child.exitstatus, screen.read_text(encoding="utf-8")


def check_kept(project, shown):
    """That what was finished is on the screen and in the file; the finished cells by id."""
    finished = {one or other for one, other in PASSED.findall(shown)}
    path = project.pytester.path / "results.json"
    cells = {} if not path.exists() else {cell["id"]: cell for cell in json.loads(path.read_text())["cells"]}
    # an interrupted cell has not failed
    assert {cell["status"] for cell in cells.values()} <= {"ok"}
    assert cells.keys() >= finished
    assert ("fine-tuning comparison" in shown) == bool(cells)
    return cells


def check_goes_on(project, kept, workers):
    """That the next run takes what was finished as it is: a second timing would have other samples."""
    # how many workers there are is part of what a timing is found by
    outcome, results = project.results("-k", "base", "-n", workers, new_process=True)
    outcome.assert_outcomes(passed=2)
    assert "set aside" not in outcome.stdout.str()
    assert list((project.cache / "building").iterdir()) == []
    for cell in results["cells"]:
        if before := kept.get(cell["id"]):
            assert (cell["latency_s"], cell["items"]) == (before["latency_s"], before["items"])


@pytest.mark.parametrize("workers", ["0", "2"])
def test_it_stops_within_two_seconds_keeps_what_is_finished_and_the_next_run_goes_on(slow, faults, workers):
    moments = MOMENTS[: faults(2 - (workers == "2"), len(MOMENTS))]
    draw = random.Random(f"presses {workers}")
    longest = {}
    for moment in moments:
        for number in range(faults(1, 10)):
            slow.cache = slow.pytester.path / f"{moment.name}-{number}"
            (slow.pytester.path / "results.json").unlink(missing_ok=True)
            delay = draw.uniform(0.05, moment.latest)
            where = f"{moment.name}, -n {workers}, press {number}, {delay:.2f} s after the line"
            with another(slow, moment):
                seconds, code, shown = press(slow, moment, workers, delay)
            longest[moment.name] = max(seconds, longest.get(moment.name, 0.0))
            assert code == pytest.ExitCode.INTERRUPTED, f"{where}\n{shown}"
            assert seconds <= SECONDS, f"{where}: {seconds:.2f} s\n{shown}"
            assert "KeyboardInterrupt" in shown, where
            assert "INTERNALERROR" not in shown, where
            kept = check_kept(slow, shown)
        check_goes_on(slow, kept, workers)
    times = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in longest.items())
    print(f"Ctrl-C with -n {workers}, {faults(1, 10)} times each, the longest until the prompt: {times}")

"""A cell that takes too long fails as that, wherever it is by then; the others run as if nothing had been."""

import json
import random
import shutil
import subprocess
import sys
import time
from itertools import chain, repeat

import pytest
from plugin_project import SUITE, Project, import_libraries, untimed

from pytest_ftbench import supervision
from pytest_ftbench.store import machine
from pytest_ftbench.timeouts import Clock

pytestmark = pytest.mark.torch

SMALL = SUITE.replace('train = ["arc", "squad"]', 'train = ["arc"]')
CELLS = 2 + 2 * 2
SLOW = "nano-nopeft-arc-to-arc"
SIBLING = "nano-nopeft-arc-to-squad"
LIMIT = ("--ftbench-timeout", "600")
# a lock that its own holder waits for, in C: no signal ends that, and no exception comes of it
HANG = """
import ctypes, pathlib, time
from pytest_ftbench import supervision, timeouts
from pytest_ftbench.ml import trainer, workbench
from pytest_ftbench.store import machine

machine._user_folder = lambda: pathlib.Path.cwd() / "machine"
timeouts.GRACE = 0.5
answer, train = workbench.Workbench._answers, trainer.Trainer.train
clocks = []

class Clock(timeouts.Clock):
    def __init__(self, seconds):
        super().__init__(seconds)
        clocks.append(self)

def hang(doing, name):
    doing(f"{name}: waiting for itself")
    clocks[-1]._ends = time.monotonic() + 0.5  # its time is nearly up
    lock = ctypes.create_string_buffer(256)
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(lock)

def hang_in_answers(self, cell, *rest):
    if cell.id == "nano-nopeft-arc-to-arc":
        hang(self.doing, cell.id)
    return answer(self, cell, *rest)

def hang_in_training(self, key, *rest, **more):
    if key.method == "lora":
        hang(self.desk.doing, "nano-lora-r2-arc")
    return train(self, key, *rest, **more)

supervision.Clock = Clock
workbench.Workbench._answers, trainer.Trainer.train = hang_in_answers, hang_in_training
"""
# another process that makes all records, for longer than a cell may take
HOLD = """
import sys, time
from filelock import FileLock
locks = [FileLock(path) for path in sys.argv[1:]]
for lock in locks:
    lock.acquire()
print("held", flush=True)
time.sleep(4.5)
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The cells of a run that nothing disturbs, its cache, and how long each cell took."""
    import_libraries()
    return {"cache": tmp_path_factory.mktemp("undisturbed")}


@pytest.fixture
def small(pytester, undisturbed, monkeypatch):
    """A project whose undisturbed results are known."""
    # whoever else runs cells on this machine takes part in its lock, and would be waited for
    monkeypatch.setattr(machine, "_user_folder", lambda: undisturbed["cache"] / "machine")
    project = Project(pytester, undisturbed["cache"], suite=SMALL)
    if "cells" not in undisturbed:
        began = time.monotonic()
        outcome, results = project.results(*LIMIT)
        outcome.assert_outcomes(passed=CELLS)
        undisturbed |= {"cells": untimed(results), "seconds": (time.monotonic() - began) / CELLS}
    return project


def let_one_end_after(monkeypatch, place, seconds):
    """Let the cell that begins as the one at a place have so many seconds, the others all they are given."""
    lots = chain(repeat(None, place), [seconds], repeat(None))

    def drawn(given):
        lot = next(lots)
        return Clock(given if lot is None else lot)

    monkeypatch.setattr(supervision, "Clock", drawn)


def unflagged(cells):
    """Cells by id without their flags, some of which come of comparing them with others."""
    return {name: {**cell, "flags": None} for name, cell in cells.items()}


def by_id(results):
    return {cell["id"]: cell for cell in results["cells"]}


def test_ended_at_random_moments_the_other_cells_and_the_next_run_are_as_undisturbed(
    small, undisturbed, tmp_path, monkeypatch, faults
):
    count = faults(2, 100)
    draw = random.Random("time limits")
    ended = refused = 0
    for number in range(count):
        # the first comes early enough for whatever machine this is
        place, share = draw.choice((0, 2, 2, 3, 4)), draw.uniform(0.0, 2.0 if number else 0.1)
        seconds = share * undisturbed["seconds"]
        small.cache = tmp_path / f"disturbed-{number}"
        with monkeypatch.context() as patched:
            let_one_end_after(patched, place, seconds)
            _, results = small.results(*LIMIT)
        where = f"fault {number}: cell {place} after {seconds:.3f} s"
        cells = by_id(results)
        failed = {name: cell["error"] for name, cell in cells.items() if cell["status"] == "failed"}
        late = [name for name, error in failed.items() if "training failed before" not in error]
        assert len(late) <= 1, where
        for name in late:
            assert f"{name}: it took longer than {seconds:g} s, at last with 'nano-" in failed[name], where
            assert "cell_timeout" in failed[name], where
        # those of its checkpoint, and no others
        assert len({name.rpartition("-to-")[0] for name in failed}) <= 1, where
        others = unflagged({name: cell for name, cell in untimed(results).items() if name not in failed})
        assert others == unflagged({name: undisturbed["cells"][name] for name in others}), where
        outcome, again = small.results(*LIMIT)
        outcome.assert_outcomes(passed=CELLS)
        assert untimed(again) == undisturbed["cells"], where
        assert "set aside" not in outcome.stdout.str(), where
        ended += len(late)
        refused += len(failed) - len(late)
        shutil.rmtree(small.cache)
    assert ended
    print(f"{count} time limits: {ended} cells ended, {refused} of their checkpoint refused, 0 others changed")


def test_amid_a_training_the_other_cells_of_that_checkpoint_do_not_wait_again(
    small, undisturbed, tmp_path, monkeypatch
):
    from transformers import Trainer

    train = Trainer.train

    def never(self, *arguments, **options):
        if not hasattr(self.model, "peft_config"):
            time.sleep(60)
        return train(self, *arguments, **options)

    monkeypatch.setattr(Trainer, "train", never)
    small.cache = tmp_path / "cache"
    let_one_end_after(monkeypatch, 0, 2.0)
    outcome, results = small.results(*LIMIT, "-k", "nopeft or lora-r2-arc-to-arc")
    cells = by_id(results)
    assert "it took longer than 2 s" in cells[SLOW]["error"]
    assert "its training failed before (it took longer than 2 s)" in cells[SIBLING]["error"]
    lora = "nano-lora-r2-arc-to-arc"
    assert unflagged(untimed(results))[lora] == unflagged(undisturbed["cells"])[lora]
    assert list((small.cache / "building").iterdir()) == []
    outcome.assert_outcomes(errors=2, passed=1)


def test_a_wait_for_another_process_is_not_counted(small, undisturbed, tmp_path):
    shutil.copytree(undisturbed["cache"], tmp_path / "cache")
    small.cache = tmp_path / "cache"
    shutil.rmtree(small.cache / "records")
    locks = [str(path) for path in (small.cache / "locks").glob("records-*.lock")]
    with subprocess.Popen([sys.executable, "-c", HOLD, *locks], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        outcome = small.run("--ftbench-timeout", "3", "-k", "base-to-arc")
    outcome.assert_outcomes(passed=1)
    outcome.stdout.fnmatch_lines(["ftbench: waiting for another process*"])


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_call_of_c_that_never_comes_back_costs_its_process_and_is_said(small, undisturbed, tmp_path, workers):
    shutil.copytree(undisturbed["cache"], tmp_path / "cache")
    small.cache = tmp_path / "cache"
    shutil.rmtree(small.cache / "records")
    small.pytester.makeconftest(HANG)
    path = small.pytester.path / "results.json"
    for folder in (small.cache / "checkpoints").iterdir():
        if (folder / "adapter_model.safetensors").exists():
            shutil.rmtree(folder)
    chosen = ("-n", workers, "-k", "base-to-arc or nopeft" + (" or lora" if workers == "2" else ""))
    outcome = small.run(*LIMIT, "--ftbench-json", path, *chosen, new_process=True, columns=200)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    cells = by_id(json.loads(path.read_text()))
    assert cells["nano-base-to-arc"]["status"] == "ok"
    error = f"{SLOW}: it took longer than 600 s, at last with '{SLOW}: waiting for itself'"
    assert cells[SLOW]["error"].startswith(error)
    assert cells[SLOW]["failure"]["class"] == "timeout"
    assert "cell_timeout" in cells[SLOW]["failure"]["advice"]
    outcome.stdout.fnmatch_lines(["*in hang", "*fine-tuning comparison*", f"*{SLOW}*"])
    if workers == "0":
        outcome.stdout.fnmatch_lines(["*run again to go on from there*"])
        outcome.assert_outcomes(passed=1, errors=1)
    else:
        # a worker of its own has replaced the one that is gone
        assert cells[SIBLING]["status"] == "ok"
        # and nobody tries the training again that cost one
        assert "waiting for itself" in cells["nano-lora-r2-arc-to-arc"]["error"]
        assert cells["nano-lora-r2-arc-to-arc"]["failure"]["class"] == "timeout"
        assert "was killed while it trained this" in cells["nano-lora-r2-arc-to-squad"]["error"]
        outcome.assert_outcomes(passed=2, failed=2, errors=1)


@pytest.mark.parametrize(("text", "words"), [("0", "is 0.0"), ('"1 h"', "'1 h'"), ("true", "True"), ("inf", "inf")])
def test_a_limit_that_is_none_is_a_sentence(small, text, words):
    small.write(f"cell_timeout = {text}\n{SMALL}")
    outcome = small.run("--collect-only")
    line = [line for line in outcome.outlines if "cell_timeout" in line]
    assert words.removesuffix(".0") in line[0]
    assert "give seconds, a number above 0" in line[0]


@pytest.mark.parametrize("given", ["0", "-1", "nan"])
def test_an_option_that_is_none_is_a_sentence(small, given):
    outcome = small.run(f"--ftbench-timeout={given}", "--collect-only")
    assert any(f"--ftbench-timeout: is {given}; give seconds" in line for line in outcome.outlines)


def test_the_limit_is_no_part_of_what_is_stored(small):
    small.write(f"cell_timeout = 1234.5\n{SMALL}")
    outcome = small.run("--ftbench-timeout", "500")
    outcome.stdout.no_fnmatch_line("*training on*")
    outcome.assert_outcomes(passed=CELLS)

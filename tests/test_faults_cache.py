"""A cache that is used, built and cleaned up at once, by processes that may die: nothing in use goes, all is whole."""

import random
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from pytest_ftbench.store import Store, contents, drafts, graves, keep_within, prune, unused_since, usage

NAMES = 12
FILES = 3
CAP = 200_000
remove_all = partial(unused_since, moment=float("inf"))

# Asks for entries, four at a time, and reads all of them again and again while it has them; says how many it read.
USER = """
import random, sys, time
from pathlib import Path
from pytest_ftbench.store import Store, usage

root, seed, rounds, locks, cap = sys.argv[1:]
usage._BY_BYTE = locks == "bytes"
chance, served, built = random.Random(int(seed)), 0, 0

def content(name, number):
    return f"{name} {number} ".encode() * 2_000

def build(name, folder):
    global built
    built += 1
    for number in range(3):
        (folder / f"{number}.bin").write_bytes(content(name, number))

store = Store(Path(root), lambda line: None, cap=int(cap) or None)
while served < int(rounds):
    held = {}
    for name in chance.sample(range(12), 4):
        held[name] = store.get("checkpoint", name, lambda folder: build(name, folder))
        for mine, folder in held.items():
            for number in range(3):
                assert (folder / f"{number}.bin").read_bytes() == content(mine, number), folder
            served += 1
    if chance.random() < 0.7:
        store.release()
        time.sleep(chance.uniform(0, 0.02))
print(served, built)
"""


def content(name, number):
    return f"{name} {number} ".encode() * 2_000


def user(root, seed, rounds, locks, cap=0):
    command = [sys.executable, "-c", USER, *map(str, (root, seed, rounds, locks, cap))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def all_whole(root):
    """How many entries there are; each of them is what its manifest and its name say."""
    store = Store(root, pytest.fail)
    found = [(name, folder) for name in range(NAMES) if (folder := store.find("checkpoint", name))]
    for name, folder in found:
        assert all((folder / f"{number}.bin").read_bytes() == content(name, number) for number in range(FILES))
    store.release()
    return len(found)


@pytest.mark.parametrize("locks", ["bytes", "whole"])
def test_while_others_clean_up_nothing_in_use_goes_and_all_that_is_served_is_whole(
    tmp_path, faults, locks, monkeypatch
):
    monkeypatch.setattr(usage, "_BY_BYTE", locks == "bytes")
    rounds, seed = faults(400, 5_000), 20261126
    # two of them clean up for themselves, too
    users = [user(tmp_path, seed + number, rounds, locks, cap) for number, cap in enumerate((0, 0, CAP, CAP))]
    removed = cleaned = 0
    while any(process.poll() is None for process in users):
        removal = prune(tmp_path, remove_all) if cleaned % 2 else keep_within(tmp_path, CAP)
        removed, cleaned = removed + len(removal.entries), cleaned + 1
    said = [process.communicate() for process in users]
    assert [process.returncode for process in users] == [0] * len(users), said
    served, built = (sum(int(out.split()[place]) for out, _ in said) for place in (0, 1))
    assert removed > 0
    assert built > NAMES
    assert graves(tmp_path) == drafts(tmp_path) == []
    all_whole(tmp_path)
    keep_within(tmp_path, CAP)
    assert sum(entry.size for entry in contents(tmp_path)) <= CAP
    print(
        f"seed {seed}, locks on {locks}: {served} times served whole, {built} built, "
        f"{removed} removed in {cleaned} clean-ups beside the users' own, 0 in use lost"
    )


# Fills the cache and cleans it up, again and again, until it is killed.
CLEANER = """
import sys
from functools import partial
from pathlib import Path
from pytest_ftbench.store import Store, prune, unused_since

def build(name, folder):
    for number in range(3):
        (folder / f"{number}.bin").write_bytes(f"{name} {number} ".encode() * 2_000)

root = Path(sys.argv[1])
while True:
    store = Store(root)
    for name in range(12):
        store.get("checkpoint", name, partial(build, name))
    store.release()
    print("full", flush=True)
    prune(root, partial(unused_since, moment=float("inf")))
"""


def test_a_clean_up_that_is_killed_at_any_moment_leaves_whole_entries_only(tmp_path, faults):
    kills, seed = faults(8, 300), 7
    moments, left = random.Random(seed), []
    for _ in range(kills):
        with subprocess.Popen([sys.executable, "-c", CLEANER, str(tmp_path)], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(moments.uniform(0, 0.02))
            process.kill()
        assert process.returncode == -signal.SIGKILL
        left.append(all_whole(tmp_path))
        assert drafts(tmp_path) == graves(tmp_path) == []
        # the dead one uses nothing
        assert len(prune(tmp_path, remove_all).entries) == left[-1]
        assert contents(tmp_path) == []
    assert len(set(left)) > 1
    amid = sum(0 < number < NAMES for number in left)
    print(f"seed {seed}, {kills} kills: {sum(left)} entries left, 0 partial, {amid} of them amid removing or refilling")

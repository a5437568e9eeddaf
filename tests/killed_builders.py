"""Processes that build entries and are killed: run by test_faults_store_kills.py as a program, without torch.

A child is forked for every kill, which takes milliseconds where starting Python would take a second. What it leaves is
read by its parent, byte for byte.
"""

import contextlib
import hashlib
import itertools
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from pytest_ftbench.store import Store, read_json, write_json

KILLS_PER_CACHE = 20
SECONDS_OF_LIFE = 0.03
PROCESSES = 16


def content(key):
    """The files of a checkpoint by path, known from its key alone."""
    chance = random.Random(key)
    weights = chance.randbytes(chance.choice([200, 20_000, 300_000]))
    header = json.dumps({"w": {"dtype": "U8", "shape": [len(weights)], "data_offsets": [0, len(weights)]}}).encode()
    return {
        "adapter_model.safetensors": len(header).to_bytes(8, "little") + header + weights,
        "adapter_config.json": json.dumps({"r": key, "peft_type": "LORA"}).encode(),
        "epoch-1/adapter_model.safetensors": chance.randbytes(5_000),
        "train.json": json.dumps({"losses": [chance.random() for _ in range(50)]}).encode(),
    }


def record(key):
    """The files of a record."""
    chance = random.Random(-key)
    return {"record.json": json.dumps([chance.random() for _ in range(300)]).encode()}


KINDS = {"checkpoints": content, "records": record}


def builder(kind, key):
    """What fills an entry's folder."""

    def build(folder):
        for name, data in KINDS[kind](key).items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)

    return build


def files_in(folder):
    """Every file of an entry but its manifest."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def results(version):
    """A results file of some size; every version is told from every other."""
    return {"version": version, "cells": [{"id": f"cell-{version}-{index}"} for index in range(50 + version % 50)]}


def flip(path, chance):
    """Flip a bit of a file."""
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def work(root, chance, gate):
    """Say that it lives; then build, damage and mend entries, and write results, until killed."""
    os.write(gate, b"x")
    for version in itertools.count():
        store, key = Store(root, lambda _: None), chance.randrange(100)
        for kind in KINDS:
            folder = store.get(kind, key, builder(kind, key))
            if chance.random() < 0.3:
                flip(chance.choice([path for path in folder.rglob("*") if path.is_file()]), chance)
                store.get(kind, key, builder(kind, key))
        write_json(root / "results.json", results(version))


def forked(function, *arguments):
    """The number of a child process that does this and nothing else."""
    child = os.fork()
    if child == 0:
        try:
            function(*arguments)
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(1)
    return child


def read_all(root, found):
    """Read every entry of a cache as a run would; whatever isn't whole is noted."""
    store = Store(root, lambda line: found["said"].append(line))
    for kind, key in itertools.product(KINDS, range(100)):
        folder = store.find(kind, key)
        if folder is not None:
            found["served"] += 1
            if files_in(folder) != KINDS[kind](key):
                found["partial"].append(f"{folder}")
    if left := [path.name for path in (root / "building").iterdir()]:
        found["left"] += left


def complete(root, key, found):
    """Do what the killed process would have done next."""
    store = Store(root, lambda _: None)
    for kind in KINDS:
        if files_in(store.get(kind, key, builder(kind, key))) != KINDS[kind](key):
            found["partial"].append(f"{kind} {key}")
    found["completed"] += 1


def read_results(root, found):
    """The results file is one whole version, and what was not yet one is swept by the next who writes it."""
    path = root / "results.json"
    if path.exists():
        told = read_json(path)
        found["results"] += 1
        if told != results(told["version"]):
            found["partial"].append(str(path))
    drafts = list(root.glob(".results.json.*"))
    found["drafts"] += len(drafts)
    for draft in drafts:
        os.utime(draft, (0, 0))
    write_json(path, results(0))
    found["left"] += [draft.name for draft in root.glob(".results.json.*")]


def kills(folder, count, seed):
    """Kill as many processes, each at a random moment; what was found after them."""
    chance, began, (heard, gate) = random.Random(seed), time.monotonic(), os.pipe()
    found = {"amid": 0, "served": 0, "results": 0, "drafts": 0, "completed": 0, "partial": [], "left": [], "said": []}
    for number in range(count):
        root = folder / str(number // KILLS_PER_CACHE)
        child = forked(work, root, random.Random(f"{seed}-{number}"), gate)
        os.read(heard, 1)
        time.sleep(chance.uniform(0, SECONDS_OF_LIFE))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"kill {number} of seed {seed}: the process ended by itself"
        if not root.exists():
            continue
        with contextlib.suppress(FileNotFoundError):
            found["amid"] += any((root / "building").iterdir())
        read_all(root, found)
        read_results(root, found)
        complete(root, chance.randrange(100), found)
    return found | {"said": len(found["said"]), "seconds": time.monotonic() - began}


def want(root, log, deaths, gate):
    """Ask for an entry beside others; the first who build it die of it. Leaves the digest of what it was given."""
    os.read(gate, 1)

    def build(folder):
        with log.open("a") as file:
            file.write("begun\n")
        (folder / "adapter_model.safetensors").write_bytes(b"half")
        time.sleep(0.02)
        if log.read_text().count("begun") <= deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        builder("checkpoints", 7)(folder)
        with log.open("a") as file:
            file.write("built\n")

    folder = Store(root, lambda _: None).get("checkpoints", 7, build)
    digest = hashlib.sha256(repr(sorted(files_in(folder).items())).encode()).hexdigest()
    (log.parent / f"got-{os.getpid()}").write_text(digest)


def crowds(folder, count, seed):
    """So many processes at a time that want one checkpoint, in rounds, up to three of which die of building it."""
    began, rounds = time.monotonic(), []
    whole = hashlib.sha256(repr(sorted(content(7).items())).encode()).hexdigest()
    for number in range(count):
        place, deaths = folder / f"round-{number}", number % 4
        place.mkdir(parents=True)
        gate, opened = os.pipe()
        children = [forked(want, place / "cache", place / "log", deaths, gate) for _ in range(PROCESSES)]
        os.write(opened, b"x" * PROCESSES)
        ends = [os.waitpid(child, 0)[1] for child in children]
        for end in (gate, opened):
            os.close(end)
        log = (place / "log").read_text()
        rounds.append(
            {
                "deaths": deaths,
                "killed": sum(map(os.WIFSIGNALED, ends)),
                "built": log.count("built"),
                "whole": sum(path.read_text() == whole for path in place.glob("got-*")),
                "left": len(list((place / "cache" / "building").iterdir())),
            }
        )
    return {"rounds": rounds, "seconds": time.monotonic() - began}


if __name__ == "__main__":
    # to wait for the disk is most of the time, and no kill of a process loses what it has written
    os.fsync = lambda _: None
    task, where, how_many, seed_of_all = sys.argv[1:]
    print(json.dumps({"kills": kills, "crowds": crowds}[task](Path(where), int(how_many), int(seed_of_all))))

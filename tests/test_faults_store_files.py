"""File operations that fail, each in its turn, once or for good: one sentence, and every entry is whole or absent."""

import errno
import itertools
import json
import os
import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from failing_files import FailingFiles
from filelock import FileLock

from pytest_ftbench.grid import UserError
from pytest_ftbench.store import StorageError, Store, digest, fault_of, read_json, read_stored, write_json

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)
WEIGHTS = bytes(range(256)) * 40
SEED = 11


@pytest.fixture(autouse=True)
def nobody_cuts_the_power(monkeypatch):
    """To wait for the disk after each write is most of the time, and changes nothing as long as the machine runs."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


class Checkpoint:
    """What fills a checkpoint's folder, as savers do that use more than one way to write."""

    def __init__(self):
        self.built = 0

    def __call__(self, folder):
        self.built += 1
        (folder / "adapter_model.safetensors").write_bytes(WEIGHTS)
        (folder / "epoch-1").mkdir()
        descriptor = os.open(folder / "epoch-1" / "adapter_model.safetensors", os.O_WRONLY | os.O_CREAT)
        try:
            os.write(descriptor, WEIGHTS)
        finally:
            os.close(descriptor)
        write_json(folder / "train.json", {"losses": [1.5, 0.5]})


FILES = {
    "adapter_model.safetensors": WEIGHTS,
    "epoch-1/adapter_model.safetensors": WEIGHTS,
    "train.json": b'{\n "losses": [\n  1.5,\n  0.5\n ]\n}\n',
}


def measure(root, build, said):
    """What a cell does in its cache: a record is made of a checkpoint."""
    store = Store(root, said.append)

    def make(folder):
        checkpoint = store.get("checkpoints", "x", build)
        write_json(folder / "record.json", read_stored(checkpoint / "train.json"))

    return read_stored(store.get("records", "x", make) / "record.json")


def fresh(root):
    """A cache with something that a killed process left."""
    (root / "building" / "checkpoints-left").mkdir(parents=True)
    (root / "building" / "checkpoints-left" / "half").write_bytes(WEIGHTS)


def stored(root):
    """A cache that has the checkpoint."""
    Store(root).get("checkpoints", "x", Checkpoint())


def damaged(root):
    """A cache whose checkpoint is damaged."""
    stored(root)
    path = root / "checkpoints" / digest("x") / "epoch-1" / "adapter_model.safetensors"
    path.write_bytes(WEIGHTS[:-1])


CACHES = {"fresh": fresh, "stored": stored, "damaged": damaged}


def check_whole(root, said):
    """Every entry that is served is whole, and nobody holds a lock."""
    store = Store(root, said.append)
    folder = store.find("checkpoints", "x")
    if folder is not None:
        found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        found.pop("manifest.json")
        assert {name: path.read_bytes() for name, path in found.items()} == FILES
    record = store.find("records", "x")
    assert record is None or read_json(record / "record.json") == {"losses": [1.5, 0.5]}
    for path in (root / "locks").glob("*.lock"):
        FileLock(path).acquire(timeout=0).lock.release()


def check_said(error, root, code, lasting):
    """One sentence with the path, and where the disk is full the space."""
    text = str(error)
    assert error.failure == "storage"
    assert text.startswith(str(root))
    assert text.count("\n") == 0
    assert text.endswith(".")
    if code == errno.ENOSPC:
        assert "no space is left" in text
        assert lasting or " free)" in text
    else:
        assert os.strerror(code) in text


def operations(cache, tmp_path, monkeypatch):
    """How many operations there are to fail."""
    root = tmp_path / "counted"
    CACHES[cache](root)
    with FailingFiles(monkeypatch) as files:
        measure(root, Checkpoint(), [])
    return files.count


@pytest.mark.parametrize("cache", CACHES)
def test_whichever_operation_fails_one_sentence_says_so_and_the_next_run_completes(
    cache, tmp_path, monkeypatch, faults
):
    count = operations(cache, tmp_path, monkeypatch)
    every = list(itertools.product(range(1, count + 1), ERRORS, (False, True)))
    some = random.Random(SEED).sample(every, min(faults(80, len(every)), len(every)))
    said_so = completed = 0
    for number, (at, code, lasting) in enumerate(some):
        root, build, said = tmp_path / str(number), Checkpoint(), []
        CACHES[cache](root)
        what = f"{cache}: operation {at} of {count}, {errno.errorcode[code]}{' and all after it' if lasting else ''}"
        try:
            with FailingFiles(monkeypatch, at, code, lasting) as files:
                found = measure(root, build, said)
        except StorageError as error:
            check_said(error, root, code, lasting)
            said_so += 1
        except Exception as error:
            raise AssertionError(f"{what} ({files.failed}): {error!r}") from error
        else:
            assert found == {"losses": [1.5, 0.5]}, what
            completed += 1
        if cache == "stored":
            assert build.built == 0, f"{what} ({files.failed}): trained again"
        try:
            check_whole(root, said)
            assert measure(root, build, said) == {"losses": [1.5, 0.5]}
            check_whole(root, said)
        except BaseException as error:
            raise AssertionError(f"{what} ({files.failed}): {error!r}, said {said}") from error
        assert list((root / "building").iterdir()) == [], what
    print(
        f"{cache}: {len(some)} of {len(every)} faults in {count} operations (seed {SEED}): {said_so} said in one "
        f"sentence, {completed} overcome; 0 entries partial, 0 locks left, all completed by the next run"
    )
    assert said_so > 0


def test_whichever_operation_fails_a_file_is_the_old_one_or_the_new_one(tmp_path, monkeypatch):
    path, old, new = tmp_path / "results.json", {"cells": [1] * 500}, {"cells": [2] * 700}
    write_json(path, old)
    with FailingFiles(monkeypatch) as files:
        write_json(path, new)
    kept = replaced = 0
    for at, code, lasting in itertools.product(range(1, files.count + 1), ERRORS, (False, True)):
        write_json(path, old)
        raised = False
        with FailingFiles(monkeypatch, at, code, lasting):
            try:
                write_json(path, new)
            except OSError:
                raised = True
        found = read_json(path)
        assert found == new or (raised and found == old)
        kept, replaced = kept + (found == old), replaced + (found == new)
        assert lasting or list(tmp_path.iterdir()) == [path]
        for draft in tmp_path.glob(".results.json.*"):
            draft.unlink()
    print(f"{kept + replaced} faults in writing a file: {kept} times the old one, {replaced} times the new one")
    assert kept > 0


class SaverError(Exception):
    """What a build may raise of its own."""


@pytest.mark.parametrize("error", [SaverError("first"), UserError("suite.toml", "is wrong", "mend it")])
def test_a_clean_up_that_fails_hides_nothing(tmp_path, monkeypatch, error):
    with FailingFiles(monkeypatch, 10**9, errno.EIO, lasting=True) as files:

        def build(folder):
            (folder / "half").write_bytes(WEIGHTS)
            files.at = 0
            raise error

        with pytest.raises(type(error)) as caught:
            Store(tmp_path).get("checkpoints", "x", build)
    assert caught.value is error
    assert (tmp_path / "building").exists()
    check_whole(tmp_path, [])
    assert list((tmp_path / "building").iterdir()) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "{build}: no space is left (needs more than 10.0 KiB,"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "{build}/w"), "{build}/w: no space is left (needs more than"),
        (PermissionError(errno.EACCES, "Permission denied", "{build}/w"), "{build}/w: can't be written or read (Perm"),
        (FileNotFoundError(errno.ENOENT, "No such file", "{build}/w"), "{build}/w: can't be written or read (No such"),
        (OSError(errno.EIO, "Input/output error", "/elsewhere/w"), "/elsewhere/w: can't be written or read (Input"),
        (OSError(errno.ENOSPC, "No space left", "/elsewhere/w"), "/elsewhere/w: no space is left there"),
        (SaverError("Error while serializing: I/O error: No space left on device (os error 28)"), "{build}: no space"),
        (SaverError("cannot open: Input/output error (os error 5)"), "{build}: can't be written or read (Input"),
    ],
)
def test_a_build_that_the_disk_fails_is_told_as_that(tmp_path, error, told):
    place = str(tmp_path / "building" / f"checkpoints-{digest('x')}")
    if isinstance(error, OSError) and error.filename:
        error.filename = error.filename.format(build=place)

    def build(folder):
        (folder / "half").write_bytes(WEIGHTS)
        raise error

    with pytest.raises(StorageError) as caught:
        Store(tmp_path).get("checkpoints", "x", build)
    assert str(caught.value).startswith(told.format(build=place))
    assert caught.value.failure == "storage"


@pytest.mark.parametrize(
    "error",
    [
        SaverError("the loss is nan"),
        FileNotFoundError(errno.ENOENT, "No such file", "/elsewhere/rows.jsonl"),
        PermissionError(errno.EACCES, "Permission denied", "/elsewhere/rows.jsonl"),
        ConnectionError(errno.ECONNREFUSED, "Connection refused"),
        TimeoutError("timed out"),
        RuntimeError("CUDA error: no device (os error 2)"),
    ],
)
def test_an_error_that_is_none_of_the_disks_stays_what_it_is(tmp_path, error):
    def build(folder):
        raise error

    with pytest.raises(type(error)) as caught:
        Store(tmp_path).get("checkpoints", "x", build)
    assert caught.value is error


def test_a_full_disk_is_told_with_what_the_largest_entry_of_that_kind_took(tmp_path):
    store = Store(tmp_path)
    store.get("checkpoints", "x", Checkpoint())
    error = fault_of(OSError(errno.ENOSPC, "No space left on device"), tmp_path, "checkpoints")
    assert "no space is left (needs about 20.0 KiB, " in str(error)
    assert "free); free some, run `ftbench cache prune`, or give --ftbench-cache another folder." in str(error)


def test_a_file_that_cant_be_read_any_more_is_named(tmp_path):
    with pytest.raises(StorageError, match=f"^{tmp_path}/record.json: can't be written or read"):
        read_stored(tmp_path / "record.json")


def test_a_device_that_is_really_full_is_told_of(tmp_path):
    def build(folder):
        (folder / "w").write_bytes(WEIGHTS)
        Path("/dev/full").write_bytes(WEIGHTS)

    with pytest.raises(StorageError, match=r"no space is left \(needs more than 10.0 KiB, [\d.]+ .iB free\)"):
        Store(tmp_path).get("checkpoints", "x", build)
    assert list((tmp_path / "building").iterdir()) == []


# Saves weights where no file may be larger than half of them: what a full disk makes of it, without one.
SAVE = """
import json, resource, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from pytest_ftbench.store import StorageError, Store

resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    Store(Path(sys.argv[1])).get(
        "checkpoints", "x", lambda folder: save_file({"w": torch.zeros(100_000)}, folder / "model.safetensors")
    )
except StorageError as error:
    print(json.dumps([str(error), repr(error.__context__)]))
"""


@pytest.mark.torch
def test_a_saver_with_errors_of_its_own_is_understood(tmp_path):
    done = subprocess.run([sys.executable, "-c", SAVE, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said, raised = json.loads(done.stdout)
    assert "SafetensorError" in raised
    assert said.startswith(f"{tmp_path}/building/checkpoints-{digest('x')}")
    assert "File too large" in said
    assert list((tmp_path / "building").iterdir()) == []


@pytest.mark.parametrize("ask", ["get", "offer"])
def test_a_lock_is_let_go_of_though_that_fails_at_first(tmp_path, monkeypatch, ask):
    files = FailingFiles(monkeypatch, 10**9, errno.EIO)

    def build(folder):
        files.at = files.count + 1
        raise SaverError("first")

    def step(name, path=None):
        if name == "flock":
            FailingFiles.step(files, name, path)

    files.step = step
    with files, pytest.raises(SaverError) as caught:
        getattr(Store(tmp_path), ask)("checkpoints", "x", build)
    assert files.failed == "flock"
    check_whole(tmp_path, [])
    assert str(caught.value) == "first"


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_process_that_can_open_nothing_more_sets_nothing_aside(tmp_path, monkeypatch, code):
    build, said = Checkpoint(), []
    Store(tmp_path).get("checkpoints", "x", build)

    def refuse(path):
        raise OSError(code, os.strerror(code), str(path))

    with monkeypatch.context() as patch:
        patch.setattr("pytest_ftbench.store.manifest.file_digest", refuse)
        with pytest.raises(StorageError, match=os.strerror(code)):
            Store(tmp_path, said.append).get("checkpoints", "x", build)
    assert Store(tmp_path, said.append).find("checkpoints", "x") is not None
    assert build.built == 1
    assert said == []


def test_too_many_open_files_cost_no_entry(tmp_path):
    build, said = Checkpoint(), []
    Store(tmp_path).get("checkpoints", "x", build)
    store, (soft, hard) = Store(tmp_path, said.append), resource.getrlimit(resource.RLIMIT_NOFILE)
    first = os.open(os.devnull, os.O_RDONLY)
    os.close(first)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first, hard))
    try:
        with pytest.raises(StorageError, match="Too many open files"):
            store.get("checkpoints", "x", build)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert store.find("checkpoints", "x") is not None
    assert build.built == 1
    assert said == []

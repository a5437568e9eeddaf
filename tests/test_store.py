"""The store under everything that may befall it: damage, crashes, kills, and several processes at once."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from filelock import FileLock
from hypothesis import given
from strategies_grid import json_values

from pytest_ftbench.grid import UserError
from pytest_ftbench.store import (
    Store,
    digest,
    file_digest,
    folder_digest,
    package_versions,
    read_json,
    source_digest,
    write_file,
    write_json,
)

MATERIAL = {"model": "nano", "rank": 8}
WEIGHTS = bytes(range(256)) * 64


class Builder:
    """Builds an entry of two files, and counts how often."""

    def __init__(self):
        self.count = 0

    def __call__(self, folder):
        """Fill the folder."""
        self.count += 1
        (folder / "weights.bin").write_bytes(WEIGHTS)
        (folder / "logs").mkdir()
        (folder / "logs" / "train.json").write_text("{}", encoding="utf-8")


@pytest.fixture
def said():
    return []


@pytest.fixture
def store(tmp_path, said):
    return Store(tmp_path / "cache", said.append)


@pytest.fixture
def build():
    return Builder()


def leftovers(store):
    """What is unfinished or set aside."""
    return [path.name for kind in ("building", "set-aside") for path in (store.root / kind).glob("*")]


def test_an_entry_is_built_once_and_found_afterwards(store, said, build):
    assert store.find("checkpoint", MATERIAL) is None
    folder = store.get("checkpoint", MATERIAL, build)
    assert (folder / "weights.bin").read_bytes() == WEIGHTS
    assert store.get("checkpoint", dict(reversed(MATERIAL.items())), build) == folder
    again = Store(store.root, said.append)
    assert again.find("checkpoint", MATERIAL) == again.get("checkpoint", MATERIAL, build) == folder
    assert build.count == 1
    assert said == leftovers(store) == []


def test_another_material_or_kind_is_another_entry(store, build):
    folders = {
        store.get("checkpoint", MATERIAL, build),
        store.get("checkpoint", MATERIAL | {"rank": 16}, build),
        store.get("answers", MATERIAL, build),
    }
    assert len(folders) == build.count == 3


def test_an_entry_says_what_it_was_made_of(store, build):
    manifest = read_json(store.get("checkpoint", MATERIAL, build) / "manifest.json")
    assert (manifest["schema"], manifest["kind"], manifest["material"]) == (1, "checkpoint", MATERIAL)
    assert sorted(manifest["files"]) == ["logs/train.json", "weights.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_build_that_raises_leaves_nothing(store, build, error):
    def broken(folder):
        build(folder)
        raise error("no")

    with pytest.raises(error):
        store.get("checkpoint", MATERIAL, broken)
    assert store.find("checkpoint", MATERIAL) is None
    assert leftovers(store) == []
    assert (store.get("checkpoint", MATERIAL, build) / "weights.bin").read_bytes() == WEIGHTS


def truncate(folder):
    os.truncate(folder / "weights.bin", 100)


def empty(folder):
    (folder / "weights.bin").write_bytes(b"")


def flip_a_bit(folder):
    (folder / "weights.bin").write_bytes(WEIGHTS[:-1] + bytes([WEIGHTS[-1] ^ 1]))


def lose_a_file(folder):
    (folder / "logs" / "train.json").unlink()


def swap_for_a_link(folder):
    """The same bytes, but they can change behind the manifest's back."""
    (folder / "weights.bin").rename(folder.parent / "elsewhere")
    (folder / "weights.bin").symlink_to(folder.parent / "elsewhere")


def swap_for_a_folder(folder):
    (folder / "weights.bin").unlink()
    (folder / "weights.bin").mkdir()


def lose_the_manifest(folder):
    (folder / "manifest.json").unlink()


def cut_the_manifest(folder):
    os.truncate(folder / "manifest.json", 40)


def manifest(**changes):
    """An edit of the manifest."""

    def edit(folder):
        write_json(folder / "manifest.json", read_json(folder / "manifest.json") | changes)

    return edit


def empty_list_for_manifest(folder):
    write_json(folder / "manifest.json", [])


EMPTY_LOG = {"logs/train.json": {"size": 2, "sha256": hashlib.sha256(b"{}").hexdigest()}}
DAMAGES = {
    "truncated": (truncate, "weights.bin has changed"),
    "emptied": (empty, "weights.bin has changed"),
    "bit flip": (flip_a_bit, "weights.bin has changed"),
    "missing file": (lose_a_file, "logs/train.json is missing"),
    "symlink": (swap_for_a_link, "weights.bin is missing"),
    "folder": (swap_for_a_folder, "weights.bin is missing"),
    "no manifest": (lose_the_manifest, "its manifest can't be read"),
    "cut manifest": (cut_the_manifest, "its manifest can't be read"),
    "other manifest": (empty_list_for_manifest, "its manifest can't be read"),
    "no files": (manifest(files=None), "its manifest can't be read"),
    "files without digest": (manifest(files={"weights.bin": {"size": 16384}}), "its manifest can't be read"),
    "a file less": (manifest(files=EMPTY_LOG), "weights.bin is no part of it"),
    "other digest": (
        manifest(files=EMPTY_LOG | {"weights.bin": {"size": 16384, "sha256": "0" * 64}}),
        "weights.bin has changed",
    ),
    "other material": (manifest(material={"rank": 64}), "its manifest belongs to another entry"),
}


@pytest.mark.parametrize(("damage", "problem"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_set_aside_said_so_and_built_anew(store, said, build, damage, problem):
    folder = store.get("checkpoint", MATERIAL, build)
    damage(folder)
    later = Store(store.root, said.append)
    assert later.get("checkpoint", MATERIAL, build) == folder
    assert build.count == 2
    assert (folder / "weights.bin").read_bytes() == WEIGHTS
    (line,) = said
    (grave,) = (store.root / "set-aside").iterdir()
    assert line == f"{folder}: {problem}; set aside as {grave.name} and made anew"
    assert Store(store.root, said.append).find("checkpoint", MATERIAL) == folder
    assert len(said) == 1


def test_a_damaged_entry_is_not_found(store, said, build):
    truncate(store.get("checkpoint", MATERIAL, build))
    assert Store(store.root, said.append).find("checkpoint", MATERIAL) is None
    assert len(said) == 1


def test_what_nobody_builds_any_more_is_swept_and_what_is_being_built_stays(store):
    building = store.root / "building"
    (building / "checkpoint-left").mkdir()
    (building / "checkpoint-left" / "weights.bin").write_bytes(WEIGHTS)

    def build(folder):
        Store(store.root)
        assert list(building.iterdir()) == [folder]
        (folder / "weights.bin").write_bytes(WEIGHTS)

    assert (store.get("checkpoint", MATERIAL, build) / "weights.bin").read_bytes() == WEIGHTS
    assert list(building.iterdir()) == []


@pytest.mark.parametrize("root", ["file", "file/below", "taken"])
def test_a_cache_that_cant_be_one_is_said_to_be_none(tmp_path, root):
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "building").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="can't be used as cache") as caught:
        Store(tmp_path / root)
    assert str(caught.value).startswith(str(tmp_path / root))
    assert "--ftbench-cache" in str(caught.value)


@pytest.mark.parametrize("ask", ["get", "offer"])
def test_a_cache_that_may_only_be_read_serves_what_it_has(store, build, monkeypatch, ask):
    folder = getattr(store, ask)("checkpoint", MATERIAL, build)
    (store.root / "building" / "left").mkdir()

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    again = Store(store.root)
    assert getattr(again, ask)("checkpoint", MATERIAL, build) == folder
    with pytest.raises(UserError, match=f"^{store.root}: can't be used as cache \\(Permission denied"):
        getattr(again, ask)("checkpoint", "other", build)


def test_who_waits_for_another_is_told_so(store, build):
    waiting, messages = threading.Event(), []

    def say(line):
        messages.append(line)
        waiting.set()

    def slow(folder):
        other.start()
        assert waiting.wait(30)
        build(folder)

    other = threading.Thread(target=lambda: Store(store.root, say).get("checkpoint", MATERIAL, build))
    store.get("checkpoint", MATERIAL, slow)
    other.join(30)
    assert messages == [f"waiting for another process that makes checkpoint {digest(MATERIAL)[:8]}"]
    assert build.count == 1


# Builds the entry each line of its input names, says where it is, and leaves a line in builds.txt per build.
WORKER = """
import sys
from pathlib import Path
from pytest_ftbench.store import Store

root = Path(sys.argv[1])

def build(folder):
    with (root / "builds.txt").open("a") as log:
        log.write("built\\n")
    for number in range(20):
        (folder / f"{number}.bin").write_bytes(bytes([number]) * 50_000)

print("ready", flush=True)
for line in sys.stdin:
    print(Store(root / "cache", lambda _: None).get("checkpoint", line.strip(), build), flush=True)
"""


@pytest.fixture
def workers(tmp_path):
    """Eight processes that share a cache."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    yield processes
    for process in processes:
        process.stdin.close()
        process.stdout.close()
        process.wait(30)


def ask(workers, name):
    """Ask all at once; where each of them found the entry."""
    for process in workers:
        process.stdin.write(f"{name}\n")
        process.stdin.flush()
    return {process.stdout.readline().strip() for process in workers}


def test_eight_processes_that_want_an_entry_build_it_once(tmp_path, workers):
    for name in ("one", "two", "three"):
        assert ask(workers, name) == {str(tmp_path / "cache" / "checkpoint" / digest(name))}
    assert (tmp_path / "builds.txt").read_text(encoding="utf-8") == "built\n" * 3
    store = Store(tmp_path / "cache", pytest.fail)
    for name in ("one", "two", "three"):
        assert (store.find("checkpoint", name) / "19.bin").read_bytes() == bytes([19]) * 50_000


def test_eight_processes_that_find_an_entry_damaged_build_it_anew_once(tmp_path, workers):
    folder = tmp_path / "cache" / "checkpoint" / digest("one")
    ask(workers, "one")
    for rounds in range(2, 8):
        os.truncate(folder / "19.bin", 10)
        assert ask(workers, "one") == {str(folder)}
        assert (tmp_path / "builds.txt").read_text(encoding="utf-8") == "built\n" * rounds
        assert len(list((tmp_path / "cache" / "set-aside").iterdir())) == rounds - 1
    assert Store(tmp_path / "cache", pytest.fail).find("checkpoint", "one") == folder


# Builds entry after entry until it is killed.
TIRELESS = """
import sys
from itertools import count
from pathlib import Path
from pytest_ftbench.store import Store

def build(folder):
    for number in range(5):
        (folder / f"{number}.bin").write_bytes(bytes([number]) * 100_000)

store = Store(Path(sys.argv[1]))
for number in count():
    store.get("checkpoint", number, build)
    print(number, flush=True)
"""


def test_a_kill_at_any_moment_leaves_whole_entries_only(tmp_path, build):
    moments = random.Random(0)
    for attempt in range(10):
        root = tmp_path / str(attempt)
        with subprocess.Popen([sys.executable, "-c", TIRELESS, str(root)], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(moments.uniform(0, 0.05))
            process.kill()
        assert process.returncode == -signal.SIGKILL
        store = Store(root, pytest.fail)
        finished = len(list((root / "checkpoint").iterdir()))
        assert finished > 0
        assert all(store.find("checkpoint", number) for number in range(finished))
        assert leftovers(store) == []
        assert (store.get("checkpoint", finished, build) / "weights.bin").read_bytes() == WEIGHTS


# Is killed while it builds, its lock held and half a file written.
HALF = """
import os, signal, sys
from pathlib import Path
from pytest_ftbench.store import Store

def build(folder):
    (folder / "weights.bin").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)

Store(Path(sys.argv[1])).get("checkpoint", "x", build)
"""


def test_a_process_killed_while_building_holds_no_one_up(store, said, build):
    # the store was open before the other came: nothing but the lock tells them of each other
    died = subprocess.run([sys.executable, "-c", HALF, str(store.root)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert (store.get("checkpoint", "x", build) / "weights.bin").read_bytes() == WEIGHTS
    assert said == []
    assert Store(store.root).find("checkpoint", "x")
    assert leftovers(store) == []


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "results.json"
    write_file(path, "é\n")
    assert path.read_bytes() == "é\n".encode()
    with pytest.raises(UnicodeEncodeError):
        write_file(path, "new \ud800")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"f1": float("nan")})
    with pytest.raises(FileNotFoundError):
        write_file(tmp_path / "absent" / "results.json", "new")
    assert path.read_text(encoding="utf-8") == "é\n"
    assert list(tmp_path.iterdir()) == [path]


def test_who_reads_a_file_while_it_is_written_sees_one_whole_version(tmp_path):
    path = tmp_path / "results.json"
    versions = [[number] * 5_000 for number in range(20)]
    write_json(path, versions[0])

    def write_all():
        for version in versions:
            write_json(path, version)

    writer = threading.Thread(target=write_all)
    writer.start()
    seen = []
    while writer.is_alive():
        seen.append(read_json(path))
    writer.join()
    assert seen
    assert all(version in versions for version in seen)
    assert read_json(path) == versions[-1]


def turned(value):
    """The same JSON value with the keys of every object the other way round."""
    if isinstance(value, dict):
        return {key: turned(inner) for key, inner in reversed(value.items())}
    return [turned(inner) for inner in value] if isinstance(value, list) else value


def same(one, other):
    """Whether two JSON values are the same; 1, 1.0 and true are not."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


@given(json_values)
def test_a_digest_does_not_depend_on_the_order_of_keys(value):
    assert digest(turned(value)) == digest(value)
    assert digest(json.loads(json.dumps(value))) == digest(value)


@given(json_values, json_values)
def test_values_that_differ_have_digests_that_differ(one, other):
    assert (digest(one) == digest(other)) == same(one, other)


def test_values_that_look_alike_have_digests_of_their_own():
    alike = [1, 1.0, True, "1", None, "null", [], {}, "", [1], [[1]], {"a": 1}, ["a", 1], "é", "e\u0301", 0.0, -0.0]
    assert len({digest(value) for value in alike}) == len(alike)


def test_a_number_that_is_not_finite_has_no_digest():
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest({"learning_rate": float("nan")})


def test_the_digest_of_a_folder_is_that_of_its_files_names_and_contents(tmp_path):
    for name, text in {"a.json": "1", "b.json": "2", "c.txt": "3"}.items():
        write_file(tmp_path / name, text)
    before = folder_digest(tmp_path, ["*.json"])
    write_file(tmp_path / "c.txt", "other")
    assert folder_digest(tmp_path, ["*.json"]) == folder_digest(tmp_path, ["b.*", "*.json"]) == before
    write_file(tmp_path / "b.json", "other")
    changed = folder_digest(tmp_path, ["*.json"])
    (tmp_path / "b.json").rename(tmp_path / "d.json")
    assert len({before, changed, folder_digest(tmp_path, ["*.json"])}) == 3


def test_the_digest_of_source_files_does_not_depend_on_their_order(tmp_path):
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    write_file(one, "1")
    write_file(two, "2")
    assert source_digest(one, two) == source_digest(two, one) != source_digest(one)
    assert file_digest(one) != file_digest(two)


def test_versions_are_those_installed_and_none_for_a_package_that_isnt():
    assert package_versions("pytest", "no-such-package") == {"pytest": pytest.__version__, "no-such-package": None}


def test_what_is_offered_is_built_at_once_or_left_to_who_is_at_it(store, build):
    folder = store.offer("trials", MATERIAL, build)
    assert folder is not None
    assert store.offer("trials", MATERIAL, build) == store.get("trials", MATERIAL, build) == folder
    assert build.count == 1
    other, seen = {"model": "nano", "rank": 9}, []

    def at_it(folder):
        # as another process would, that comes by meanwhile
        seen.append(Store(store.root).offer("trials", other, build))
        build(folder)

    assert store.offer("trials", other, at_it) == store.find("trials", other)
    assert seen == [None]
    assert build.count == 2


def test_an_offer_whose_building_fails_leaves_nothing_and_can_be_made_again(store, build):
    def fail(folder):
        (folder / "part").write_text("x", encoding="utf-8")
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 (whatever it is)
        store.offer("trials", MATERIAL, fail)
    assert store.find("trials", MATERIAL) is None
    assert store.offer("trials", MATERIAL, build) is not None

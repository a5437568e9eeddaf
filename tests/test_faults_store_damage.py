"""Bits that flip, files that are cut or grow, strangers in an entry: all of it is noticed, said, and made anew."""

import json
import os
import random
import shutil
from collections import Counter

import pytest
from killed_builders import KINDS, builder, files_in

from pytest_ftbench.store import Store, digest, read_json, write_json
from pytest_ftbench.store.manifest import imprint

SEED = 4


@pytest.fixture(autouse=True)
def nobody_cuts_the_power(monkeypatch):
    """To wait for the disk after each write is most of the time, and changes nothing as long as the machine runs."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def flip(path, chance):
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def cut(path, chance):
    os.truncate(path, chance.randrange(path.stat().st_size))


def grow(path, chance):
    with path.open("ab") as file:
        file.write(chance.choice([b"\0", b"\n", b" ", chance.randbytes(chance.randrange(1, 50))]))


def insert(path, chance):
    data = path.read_bytes()
    place = chance.randrange(len(data))
    path.write_bytes(data[:place] + chance.choice([b" ", b"\n", b"0", b'"', chance.randbytes(1)]) + data[place:])


def drop(path, chance):
    data = path.read_bytes()
    place = chance.randrange(len(data))
    path.write_bytes(data[:place] + data[place + 1 :])


DAMAGES = (flip, flip, flip, flip, cut, grow, insert, drop)


def every_file(folder):
    """The files of an entry; half of all damage is for its manifest."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return [*paths, *[folder / "manifest.json"] * len(paths)]


def test_whatever_byte_changes_is_noticed_said_and_made_anew(tmp_path, faults):
    count, chance, root = faults(300, 10_000), random.Random(SEED), tmp_path / "cache"
    told, noticed = [], Counter()
    # the one verifies all it serves in full, the other has served the entry before
    lasting = Store(root, told.append)
    for number in range(count):
        kind, damage = chance.choice(list(KINDS)), chance.choice(DAMAGES)
        folder = lasting.get(kind, 7, builder(kind, 7))
        path = chance.choice(every_file(folder))
        what = f"{number} (seed {SEED}): {damage.__name__} in {path.relative_to(folder)}"
        before = path.read_bytes()
        damage(path, chance)
        assert path.read_bytes() != before, what
        store = chance.choice([lasting, Store(root, told.append)])
        assert store.get(kind, 7, builder(kind, 7)) == folder
        assert files_in(folder) == KINDS[kind](7), what
        assert path.read_bytes() == before, what
        assert len(told) == 1, what
        assert "; set aside as " in told.pop(), what
        noticed[damage.__name__, "the manifest" if path.name == "manifest.json" else "a file"] += 1
        shutil.rmtree(root / "set-aside")
    kinds = ", ".join(f"{times} × {how} in {where}" for (how, where), times in sorted(noticed.items()))
    print(
        f"{count} changes of a stored byte (seed {SEED}): {count} noticed and made anew, 0 harmless, 0 served: {kinds}"
    )
    assert len(noticed) == 2 * len(set(DAMAGES))


def extra_file(folder):
    (folder / "optimizer.pt").write_bytes(b"\x80\x04.")


def extra_below(folder):
    (folder / "epoch-1" / "notes.txt").write_text("", encoding="utf-8")


def extra_link(folder):
    (folder / "link").symlink_to(folder / "train.json")


def extra_dead_link(folder):
    (folder / "link").symlink_to(folder / "nowhere")


def extra_pipe(folder):
    os.mkfifo(folder / "pipe")


def pipe_for_manifest(folder):
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")


def linked_folder(folder):
    (folder / "epoch-1").rename(folder.parent / "elsewhere")
    (folder / "epoch-1").symlink_to(folder.parent / "elsewhere")


def linked_entry(folder):
    folder.rename(folder.parent / "elsewhere")
    folder.symlink_to(folder.parent / "elsewhere")


def dead_entry(folder):
    folder.rename(folder.parent / "elsewhere")
    folder.symlink_to(folder.parent / "nowhere")


def file_for_entry(folder):
    folder.rename(folder.parent / "elsewhere")
    folder.write_text("", encoding="utf-8")


def unprintable_name(folder):
    (folder / "a\nb\udc80").write_text("", encoding="utf-8")


def edited(**changes):
    def edit(folder):
        write_json(folder / "manifest.json", read_json(folder / "manifest.json") | changes)

    return edit


def respaced(folder):
    path = folder / "manifest.json"
    path.write_text(json.dumps(read_json(path)), encoding="utf-8")


def twice(folder):
    """The same key twice: the second is what is read."""
    path = folder / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace("{", '{\n "schema": 9,', 1), encoding="utf-8")


def deep(folder):
    (folder / "manifest.json").write_text("[" * 100_000, encoding="utf-8")


STRANGERS = {
    "pickle": (extra_file, "optimizer.pt is no part of it"),
    "file below": (extra_below, "epoch-1/notes.txt is no part of it"),
    "link": (extra_link, "link is no part of it"),
    "dead link": (extra_dead_link, "link is no part of it"),
    "pipe": (extra_pipe, "pipe is no part of it"),
    "pipe for manifest": (pipe_for_manifest, "its manifest can't be read"),
    "link for folder": (linked_folder, "epoch-1 is no part of it"),
    "link for entry": (linked_entry, "it is no folder"),
    "dead link for entry": (dead_entry, "it is no folder"),
    "file for entry": (file_for_entry, "it is no folder"),
    "unprintable name": (unprintable_name, "a\\nb\\udc80 is no part of it"),
    "newer schema": (edited(schema=2), "its manifest has schema 2, and this version knows none above 1"),
    "older schema": (edited(schema=0), "its manifest can't be read"),
    "schema is true": (edited(schema=True), "its manifest can't be read"),
    "other kind": (edited(kind="records"), "its manifest belongs to another entry"),
    "key more": (edited(more=1), "its manifest can't be read"),
    "spaces": (respaced, "its manifest has changed"),
    "key twice": (twice, "its manifest has changed"),
    "deep": (deep, "its manifest can't be read"),
}


@pytest.mark.parametrize("known", [True, False], ids=["served before", "not yet served"])
@pytest.mark.parametrize(("meddle", "problem"), STRANGERS.values(), ids=STRANGERS)
def test_a_stranger_in_an_entry_is_noticed(tmp_path, meddle, problem, known):
    said = []
    store = Store(tmp_path, said.append)
    folder = store.get("checkpoints", 7, builder("checkpoints", 7))
    assert store.find("checkpoints", 7) == folder
    meddle(folder)
    store = store if known else Store(tmp_path, said.append)
    assert store.get("checkpoints", 7, builder("checkpoints", 7)) == folder
    assert files_in(folder) == KINDS["checkpoints"](7)
    assert not folder.is_symlink()
    (line,) = said
    assert line.startswith(f"{folder}: {problem}; set aside as ")


def test_what_lies_outside_an_entry_is_never_read_for_it(tmp_path):
    store = Store(tmp_path, lambda _: None)
    folder = store.get("records", 7, builder("records", 7))
    listed = read_json(folder / "manifest.json")["files"]
    (tmp_path / "records" / "outside").write_bytes((folder / "record.json").read_bytes())
    (folder / "record.json").unlink()
    edited(files={"../outside": listed["record.json"]})(folder)
    assert Store(tmp_path, lambda _: None).find("records", 7) is None


def test_a_folder_with_nothing_in_it_is_no_change(tmp_path):
    store = Store(tmp_path, pytest.fail)
    folder = store.get("records", 7, builder("records", 7))
    (folder / "empty" / "inner").mkdir(parents=True)
    assert Store(tmp_path, pytest.fail).find("records", 7) == folder


@pytest.mark.parametrize("stranger", ["link", "dead link", "file"])
def test_what_is_in_place_of_a_kinds_folder_is_set_aside(tmp_path, stranger):
    root, elsewhere, said = tmp_path / "cache", tmp_path / "elsewhere", []
    Store(root).get("records", 7, builder("records", 7))
    (root / "records").rename(elsewhere)
    if stranger == "file":
        (root / "records").write_text("", encoding="utf-8")
    else:
        (root / "records").symlink_to(elsewhere if stranger == "link" else tmp_path / "nowhere")
    folder = Store(root, said.append).get("records", 7, builder("records", 7))
    assert files_in(folder) == KINDS["records"](7)
    assert not (root / "records").is_symlink()
    assert [line.split("; ")[0] for line in said] == [f"{root / 'records'}: it is no folder"]
    assert len(list(elsewhere.iterdir())) == 1


@pytest.mark.parametrize("name", ["building", "locks", "set-aside"])
def test_nothing_is_swept_where_a_link_leads_to(tmp_path, name):
    (tmp_path / "home" / "documents").mkdir(parents=True)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / name).symlink_to(tmp_path / "home")
    with pytest.raises(Exception, match=f"cache/{name}: is a symbolic link; remove it"):
        Store(tmp_path / "cache")
    assert (tmp_path / "home" / "documents").is_dir()


def test_a_link_among_what_is_unfinished_is_removed_and_not_what_it_leads_to(tmp_path):
    store = Store(tmp_path / "cache")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear", encoding="utf-8")
    for name in ("checkpoints-left", f"records-{digest(7)}"):
        (store.root / "building" / name).symlink_to(tmp_path / "home")
    assert files_in(store.get("records", 7, builder("records", 7))) == KINDS["records"](7)
    Store(tmp_path / "cache")
    assert list((store.root / "building").iterdir()) == []
    assert (tmp_path / "home" / "letter").read_text(encoding="utf-8") == "dear"


def test_a_whole_entry_is_read_once_by_a_process_until_it_is_written_to(tmp_path, monkeypatch):
    folder = Store(tmp_path).get("checkpoints", 7, builder("checkpoints", 7))
    for path in folder.rglob("*"):
        os.utime(path, (0, 0))
    read = []
    monkeypatch.setattr(
        "pytest_ftbench.store.manifest.time.time_ns", lambda: 2 * folder.stat().st_ctime_ns
    )  # long after it was written
    real = __import__("pytest_ftbench.store.manifest", fromlist=["file_digest"]).file_digest
    monkeypatch.setattr("pytest_ftbench.store.manifest.file_digest", lambda path: read.append(path) or real(path))
    store = Store(tmp_path, pytest.fail)
    for _ in range(3):
        assert store.find("checkpoints", 7) == folder
    assert len(read) == 4
    (folder / "train.json").touch()
    assert store.find("checkpoints", 7) == folder
    assert len(read) == 8


def test_what_was_written_a_moment_ago_may_be_written_to_again_unseen(tmp_path, monkeypatch):
    """Files' times stand still for some milliseconds: an entry so new is read in full each time."""
    folder = Store(tmp_path).get("records", 7, builder("records", 7))
    written = (folder / "record.json").stat().st_ctime_ns
    for after, told in ((0, False), (10_000_000, False), (30_000_000, True), (10**12, True)):
        monkeypatch.setattr("pytest_ftbench.store.manifest.time.time_ns", lambda now=written + after: now)
        assert (imprint(folder) is not None) == told


@pytest.mark.parametrize("meddle", [extra_link, extra_pipe, lambda folder: (folder / "manifest.json").write_text("")])
def test_a_build_that_leaves_what_no_entry_can_hold_makes_none(tmp_path, meddle):
    store = Store(tmp_path)

    def build(folder):
        builder("records", 7)(folder)
        meddle(folder)

    with pytest.raises(ValueError, match="is nothing that an entry can hold"):
        store.get("records", 7, build)
    assert store.find("records", 7) is None

"""Clean-up of a cache: what is chosen, what is in use, and that nothing but the store's own is touched."""

import os
import subprocess
import sys
import threading
import time
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ftbench.grid import UserError
from pytest_ftbench.store import (
    Cap,
    Store,
    Stored,
    Usage,
    contents,
    drafts,
    format_size,
    format_time,
    graves,
    keep_within,
    parse_age,
    parse_size,
    prune,
    surplus,
    unused_since,
    usage,
)

UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15}
UNITS |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
KIB = 1024


@given(st.integers(1, 10**6), st.sampled_from(sorted(UNITS)), st.sampled_from(["", " "]), st.booleans())
def test_a_size_is_its_number_times_its_unit(number, unit, gap, lower):
    text = f"{number}{gap}{unit}"
    assert parse_size("--size", text.lower() if lower else text) == number * UNITS[unit]


@given(st.integers(0, 10**9), st.integers(0, 2**62))
def test_a_size_that_is_told_can_be_read_again(part, size):
    for told in (part, size):
        if told:
            assert parse_size("--size", format_size(told)) == pytest.approx(told, rel=0.05)


@given(st.one_of(st.text(), st.from_regex(r"[0-9.,+-]{1,6} ?[A-Za-z]{0,4}")))
def test_whatever_is_given_for_a_size_is_one_or_is_refused_in_a_sentence(text):
    said = None
    try:
        assert parse_size("--ftbench-cache-size", text) >= 1
    except UserError as error:
        said = str(error)
    if said is not None:
        assert said.startswith("--ftbench-cache-size: is ")
        assert said.endswith("write a number and a unit, as in 20GiB or 500MB.")
        assert len(said.splitlines()) == 1


@pytest.mark.parametrize("text", ["", "20", "GiB", "-1GB", "0GB", "0.2B", "nan GB", "1e3GB", "20 gigs", "1,5GB", "٣GB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UserError, match="no size"):
        parse_size("--size", text)


def test_an_age_is_hours_days_or_weeks():
    assert [parse_age("--unused-for", text) for text in ("12h", "1.5d", "2 W", "0d")] == [43200, 129600, 1209600, 0]
    for text in ("", "30", "d", "-1d", "3m", "inf d"):
        with pytest.raises(UserError, match="no time"):
            parse_age("--unused-for", text)


@pytest.mark.parametrize("moment", [-1e20, 0, 1.5e9, 1e300])
def test_a_folder_may_bear_any_time(moment):
    assert len(format_time(moment)) == len("2026-11-26 09:30")


entries = st.lists(
    st.builds(
        Stored,
        st.sampled_from(["checkpoints", "records"]),
        st.text("0123456789abcdef", min_size=32, max_size=32),
        st.integers(0, 100),
        st.integers(0, 20).map(float),
        st.booleans(),
    ),
    unique_by=lambda entry: entry.key,
)


@given(entries, st.integers(0, 1000))
def test_what_is_removed_for_a_size_was_used_longest_ago_suffices_and_is_not_too_much(stored, size):
    removed = surplus(stored, size)
    kept = [entry for entry in stored if entry not in removed]
    taken = sum(entry.size for entry in kept)
    assert len(removed) + len(kept) == len(stored)
    assert not any(entry.in_use for entry in removed)
    assert taken <= size or all(entry.in_use or entry.size == 0 for entry in kept)
    # no one that was removed could have stayed
    assert all(taken + entry.size > size for entry in removed)
    # what stays although something used later went, is small: it would have made no room
    if removed:
        last = max(entry.used for entry in removed)
        older = [entry for entry in kept if not entry.in_use and entry.used < last]
        assert all(entry.size <= max(other.size for other in removed) for entry in older)
        # without the youngest that went, whatever is older would not have been enough
        youngest = [entry for entry in removed if entry.used == last]
        before = sum(entry.size for entry in stored if not entry.in_use and entry.used < last)
        assert sum(entry.size for entry in stored) - before > size or not youngest


@given(entries, st.integers(0, 21))
def test_what_is_removed_for_its_age_is_all_that_nobody_has_used_since(stored, moment):
    removed = unused_since(stored, moment)
    assert {entry.key for entry in removed} == {e.key for e in stored if e.used < moment and not e.in_use}


@pytest.fixture
def root(tmp_path):
    return tmp_path / "cache"


@pytest.fixture(params=["bytes", "whole"])
def locks(request, monkeypatch):
    """Locks on single bytes, and one for all entries, as where a system has no such locks."""
    assert usage._BY_BYTE
    monkeypatch.setattr(usage, "_BY_BYTE", request.param == "bytes")
    return request.param


def fill(root, names, size=10 * KIB):
    """Entries of that size, used in this order long ago; by name."""
    store, folders = Store(root, pytest.fail), {}
    for name in names:
        folders[name] = store.get("checkpoints", name, lambda folder: (folder / "w.bin").write_bytes(b"x" * size))
    store.release()
    for number, folder in enumerate(folders.values()):
        os.utime(folder, (1e9 + number, 1e9 + number))
    return folders


def left(folders):
    return "".join(name for name, folder in folders.items() if folder.exists())


def refuse(*_, **__):
    raise PermissionError(13, "Permission denied")


remove_all = partial(unused_since, moment=float("inf"))


def test_what_was_used_longest_ago_goes_first_until_the_rest_fits(root):
    folders = fill(root, "abcd")
    removal = keep_within(root, 25 * KIB)
    assert left(folders) == "cd"
    assert removal.rest == sum(entry.size for entry in contents(root)) <= 25 * KIB
    assert removal.told().startswith(f"removed 2 entries unused since {format_time(1e9 + 1)}, 20.")
    assert keep_within(root, 25 * KIB).told() is None
    assert drafts(root) == []


def test_to_find_an_entry_is_to_use_it(root):
    folders = fill(root, "abc")
    store = Store(root, pytest.fail)
    assert store.find("checkpoints", "a") == folders["a"]
    store.release()
    assert folders["a"].stat().st_mtime > time.time() - 60
    keep_within(root, 15 * KIB)
    assert left(folders) == "a"


def test_what_a_store_was_asked_for_stays_until_it_is_released(root, locks):
    folders = fill(root, "abc")
    store = Store(root, pytest.fail)
    store.find("checkpoints", "a")
    # where there is but one lock, it keeps all
    kept = "a" if locks == "bytes" else "abc"
    assert "".join(name for name, entry in zip("abc", _sorted(root, folders), strict=True) if entry.in_use) == kept
    prune(root, remove_all)
    assert left(folders) == kept
    store.release()
    prune(root, remove_all)
    assert left(folders) == ""


def _sorted(root, folders):
    found = {entry.folder(root): entry for entry in contents(root)}
    return [found[folder] for folder in folders.values()]


@pytest.mark.parametrize("may_touch", [True, False])
def test_what_is_chosen_and_used_before_it_is_removed_stays(root, locks, monkeypatch, may_touch):
    folders = fill(root, "ab")
    store = Store(root, pytest.fail)
    if not may_touch:  # who may only read leaves no time of use
        monkeypatch.setattr(os, "utime", refuse)

    def choose(entries):
        chosen = remove_all(entries)
        store.find("checkpoints", "b")
        return chosen

    prune(root, choose)
    assert "b" in left(folders)
    # also where who used it has ended by then, if it left a time
    store.release()
    if may_touch:
        prune(root, lambda entries: [entry for entry in entries if Usage(root).begin(entry.folder(root)) is None])
        assert "b" in left(folders)


def test_who_wants_an_entry_that_is_being_removed_waits_and_builds_it(root, locks):
    folders = fill(root, "a")
    other, claimed = Usage(root), threading.Event()
    found = []

    def want():
        store = Store(root, pytest.fail)
        claimed.wait(30)
        found.append(store.get("checkpoints", "a", lambda folder: (folder / "w.bin").write_bytes(b"new")))

    thread = threading.Thread(target=want)
    thread.start()
    with other.claimed(folders["a"]) as is_mine:
        assert is_mine
        claimed.set()
        time.sleep(0.1)
        assert found == []
        folders["a"].rename(root / "gone")
    thread.join(30)
    assert found == [folders["a"]]
    assert (folders["a"] / "w.bin").read_bytes() == b"new"


DIES = """
import os, signal, sys
from pathlib import Path
from pytest_ftbench.store import Store

store = Store(Path(sys.argv[1]))
assert store.find("checkpoints", "a")
print("in use", flush=True)
sys.stdin.read()
"""


def test_a_process_that_dies_uses_nothing(root):
    folders = fill(root, "ab")
    with subprocess.Popen(
        [sys.executable, "-c", DIES, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "in use\n"
        prune(root, remove_all)
        assert left(folders) == "a"
        process.kill()
    prune(root, remove_all)
    assert left(folders) == ""


def test_left_overs_go_first_and_what_is_being_built_stays(root):
    folders = fill(root, "ab")
    (folders["a"] / "w.bin").write_bytes(b"damaged")
    Store(root, lambda _: None).find("checkpoints", "a")
    assert len(graves(root)) == 1
    dead = root / "building" / f"checkpoints-{'0' * 32}"

    def build(folder):
        (folder / "w.bin").write_bytes(b"x" * KIB)
        dead.mkdir()
        (dead / "half.bin").write_bytes(b"x" * 10 * KIB)
        assert len(drafts(root)) == 2
        removal = keep_within(root, 12 * KIB)
        assert len(removal.leftovers) == 2
        assert removal.told().startswith("removed 2 left-overs of others, ")
        assert drafts(root) == [folder]

    store = Store(root, pytest.fail)
    store.get("checkpoints", "c", build)
    assert graves(root) == []
    assert left(folders) == "b"
    assert store.find("checkpoints", "c")


def test_a_store_with_a_cap_cleans_up_as_it_grows_and_says_so(root):
    folders, said = fill(root, "abcdefgh"), []
    store = Store(root, said.append, cap=100 * KIB)
    store.find("checkpoints", "a")
    for number in range(6):
        store.get("checkpoints", number, lambda folder: (folder / "w.bin").write_bytes(b"x" * 10 * KIB))
        assert sum(entry.size for entry in contents(root)) <= 100 * KIB
    assert left(folders)[0] == "a"
    assert all(line.startswith("cache: removed ") for line in said)
    assert said


def test_a_cap_that_what_is_in_use_exceeds_is_a_wish_and_that_is_said_once(root):
    said = []
    store = Store(root, said.append, cap=25 * KIB)
    for number in range(5):
        store.get("checkpoints", number, lambda folder: (folder / "w.bin").write_bytes(b"x" * 10 * KIB))
    assert len(contents(root)) == 5
    (line,) = said
    assert line.startswith("cache: 30.")
    assert line.endswith(" is left, more than its cap of 25.0 KiB: all of it is in use, or can't be removed")
    store.release()
    Cap(root, 25 * KIB, said.append).keep()
    assert len(contents(root)) == 2


def test_a_dry_run_removes_nothing(root):
    folders = fill(root, "abc")
    Store(root, lambda _: None)
    (root / "building" / f"checkpoints-{'0' * 32}").mkdir()
    removal = prune(root, remove_all, dry_run=True)
    assert (len(removal.entries), len(removal.leftovers), removal.rest) == (3, 1, 0)
    assert left(folders) == "abc"
    assert len(drafts(root)) == 1


def test_what_is_not_the_stores_own_is_neither_followed_nor_removed(root, tmp_path):
    folders = fill(root, "a")
    outside = tmp_path / "outside"
    entry = outside / ("0" * 32)
    entry.mkdir(parents=True)
    (entry / "manifest.json").write_text("{}")
    (entry / "precious.bin").write_bytes(b"x" * KIB)
    key = "1" * 32
    kind = folders["a"].parent
    (root / "linked").symlink_to(outside)
    (kind / key).symlink_to(entry)
    (root / "set-aside").mkdir()
    for place, name in (("set-aside", f"checkpoints-{key}-01234567"), ("building", f"checkpoints-{key}")):
        (root / place / name).symlink_to(entry)
    foreign = [root / "notes.txt", kind / "notes.txt", root / "building" / "mine", root / "set-aside" / "mine"]
    foreign += [kind / "not-a-key" / "x", root / "Photos" / key / "manifest.json", kind / ("2" * 32) / "no-manifest"]
    foreign += [root / "locks" / key / "manifest.json"]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    # a link within an entry is removed, and what it leads to is not
    (folders["a"] / "link").symlink_to(entry)
    os.utime(folders["a"], (1e9, 1e9))
    assert [each.folder(root) for each in contents(root)] == [folders["a"]]
    assert keep_within(root, 1).rest == 0
    assert left(folders) == ""
    assert all(path.read_text() == "mine" for path in foreign)
    assert (entry / "precious.bin").stat().st_size == KIB
    assert (kind / key).is_symlink()


def test_folders_of_the_store_that_are_links_are_not_entered(root, tmp_path):
    fill(root, "a")
    outside = tmp_path / "outside"
    (outside / f"checkpoints-{'0' * 32}-01234567").mkdir(parents=True)
    (root / "set-aside").symlink_to(outside)
    assert graves(root) == []
    prune(root, remove_all)
    assert len(list(outside.iterdir())) == 1


def test_a_cache_that_may_only_be_read_is_used_and_not_cleaned_up(root, monkeypatch):
    folders = fill(root, "ab")
    (root / "locks" / "in-use").chmod(0o444)
    real = os.open

    def open_for_reading(path, flags, *rest, **named):
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", open_for_reading)
    monkeypatch.setattr(os, "utime", refuse)
    store = Store(root, pytest.fail)
    assert store.find("checkpoints", "a") == folders["a"]
    assert {entry.in_use for entry in contents(root)} == {True, False}
    assert prune(root, remove_all).entries == []
    monkeypatch.undo()
    # who could only read it, was seen to use it
    assert [entry.folder(root) for entry in contents(root) if entry.in_use] == [folders["a"]]
    assert left(folders) == "ab"

"""Symbolic links in a cache: what they lead to is never written to, moved or deleted, and never served unverified."""

import os

import pytest
from hostile_words import tree

from pytest_ftbench.grid import UserError
from pytest_ftbench.store import Store, digest, read_json, write_json

MATERIAL = {"model": "nano"}
INNER = ("locks", "building", "set-aside")


def build(folder):
    write_json(folder / "record.json", {"f1": 1.0})
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "weights").write_bytes(b"12345678")


@pytest.fixture
def victim(tmp_path):
    """Somebody else's folder, with an entry that is a good one, folders and files."""
    folder = tmp_path / "victim"
    entry = Store(tmp_path / "other", print).get("records", MATERIAL, build)
    (folder / "keep" / "deep").mkdir(parents=True)
    (folder / "keep" / "deep" / "thesis.txt").write_text("ten years of work", encoding="utf-8")
    (folder / "letter.txt").write_text("dear", encoding="utf-8")
    entry.rename(folder / digest(MATERIAL))
    return folder


@pytest.fixture
def untouched(victim):
    """Checks at the end that the victim has what it had."""
    before = tree(victim)
    yield before
    assert tree(victim) == before
    print(f"{len(before)} files and folders behind links: 0 written, moved or deleted")


def use(cache, said):
    """Whatever a run does to a cache: found, built, found damaged, set aside, swept."""
    store = Store(cache, said.append)
    folder = store.get("records", MATERIAL, build)
    (folder / "record.json").write_text("damaged", encoding="utf-8")
    again = Store(cache, said.append)
    assert read_json(again.get("records", MATERIAL, build) / "record.json") == {"f1": 1.0}
    assert again.offer("records", MATERIAL, build) == folder
    return folder


@pytest.mark.parametrize("inner", INNER)
def test_a_folder_of_the_cache_that_is_a_link_is_refused(tmp_path, victim, untouched, inner):
    cache, said = tmp_path / "cache", []
    cache.mkdir()
    (cache / inner).symlink_to(victim)
    with pytest.raises(UserError, match=rf"^{cache}/{inner}: is a symbolic link; remove it, or give --ftbench-cache"):
        use(cache, said)


@pytest.mark.parametrize("inner", INNER)
def test_a_folder_of_the_cache_that_leads_nowhere_is_refused(tmp_path, inner):
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / inner).symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"is a symbolic link"):
        use(cache, [])
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("target", ["victim", "nowhere"])
def test_a_folder_of_entries_that_is_a_link_is_set_aside_as_the_link_it_is(tmp_path, victim, untouched, target):
    cache, said = tmp_path / "cache", []
    cache.mkdir()
    (cache / "records").symlink_to(tmp_path / target)
    use(cache, said)
    assert f"{cache / 'records'}: it is no folder; set aside as" in said[0]
    assert not (tmp_path / "nowhere").exists()


def test_a_cache_may_be_a_link_itself(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "cache").symlink_to(tmp_path / "disk")
    use(tmp_path / "cache", [])
    assert (tmp_path / "disk" / "records").is_dir()


@pytest.mark.parametrize("target", ["good", "keep", "letter.txt", "nowhere", "/etc", "/etc/hostname", "/dev/zero"])
def test_an_entry_that_is_a_link_is_set_aside_as_the_link_it_is(tmp_path, victim, untouched, target):
    cache, said = tmp_path / "cache", []
    place = cache / "records" / digest(MATERIAL)
    place.parent.mkdir(parents=True)
    place.symlink_to(victim / (digest(MATERIAL) if target == "good" else target))
    assert use(cache, said) == place
    assert place.is_dir()
    assert not place.is_symlink()
    assert "it is no folder; set aside as" in said[0]
    [grave] = [path for path in (cache / "set-aside").iterdir() if path.is_symlink()]
    assert grave.readlink() == victim / (digest(MATERIAL) if target == "good" else target)


@pytest.mark.parametrize("name", ["record.json", "deep", "deep/er", "deep/er/weights", "manifest.json"])
def test_a_file_or_folder_in_an_entry_that_is_a_link_makes_it_no_entry(tmp_path, victim, untouched, name):
    cache, said = tmp_path / "cache", []
    folder = Store(cache, said.append).get("records", MATERIAL, build)
    (folder / name).rename(tmp_path / "moved")
    # the very same content is there: what a link leads to may be another tomorrow
    (folder / name).symlink_to(victim / digest(MATERIAL) / name)
    found = Store(cache, said.append).get("records", MATERIAL, build)
    assert not (found / name).is_symlink()
    assert len(said) == 1
    assert "set aside as" in said[0]


@pytest.mark.parametrize("name", ["../../../victim/letter.txt", "/etc/hostname", "deep/../record.json"])
def test_a_manifest_that_names_files_elsewhere_makes_no_entry(tmp_path, victim, untouched, name):
    cache, said = tmp_path / "cache", []
    folder = Store(cache, said.append).get("records", MATERIAL, build)
    manifest = read_json(folder / "manifest.json")
    manifest["files"][name] = {"size": 4, "sha256": manifest["files"]["record.json"]["sha256"]}
    write_json(folder / "manifest.json", manifest)
    Store(cache, said.append).get("records", MATERIAL, build)
    assert "set aside as" in said[0]


def test_a_manifest_without_an_end_is_not_waited_for(tmp_path):
    cache, said = tmp_path / "cache", []
    folder = Store(cache, said.append).get("records", MATERIAL, build)
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")
    Store(cache, said.append).get("records", MATERIAL, build)
    assert "its manifest can't be read; set aside as" in said[0]


@pytest.mark.parametrize("target", ["", "keep", "letter.txt", "nowhere"])
def test_what_is_left_of_a_build_and_is_a_link_is_removed_as_the_link_it_is(tmp_path, victim, untouched, target):
    cache = tmp_path / "cache"
    place = cache / "building" / f"records-{digest(MATERIAL)}"
    for swept in (True, False):
        store = None if swept else Store(cache)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(victim / target)
        store = store or Store(cache)
        store.get("records", MATERIAL if swept else [MATERIAL], build)
        if not swept:
            store.get("others", MATERIAL, build)
            Store(cache)
        assert not os.path.lexists(place)


def test_links_within_what_is_deleted_are_not_followed(tmp_path, victim, untouched):
    place = tmp_path / "cache" / "building" / "records-half" / "inner"
    place.mkdir(parents=True)
    (place / "link").symlink_to(victim)
    (place.parent / "file").symlink_to(victim / "letter.txt")
    Store(tmp_path / "cache")
    assert not place.parent.exists()


def test_a_lock_that_is_a_link_creates_and_empties_nothing(tmp_path, victim, untouched):
    cache = tmp_path / "cache"
    Store(cache)
    for target in ("letter.txt", "new.txt"):
        lock = cache / "locks" / f"records-{digest([target])}.lock"
        lock.symlink_to(victim / target)
        with pytest.raises(UserError, match=r"can't be written or read \(Too many levels of symbolic links\)"):
            Store(cache).get("records", [target], build)


def test_a_file_written_where_a_link_is_takes_the_links_place(tmp_path, victim, untouched):
    (tmp_path / "results.json").symlink_to(victim / "letter.txt")
    write_json(tmp_path / "results.json", {"schema": 1})
    assert not (tmp_path / "results.json").is_symlink()

"""``ftbench cache``: what is kept is shown in words, held against its manifests, and removed as far as asked for."""

import json
import os

import pytest

from pytest_ftbench.cache_words import names
from pytest_ftbench.cli import main
from pytest_ftbench.store import Store, contents, digest, graves

CHECKPOINT = {"method": "lora", "seed": 2, "base": "0123"}
ANSWERS = {"checkpoint": digest(CHECKPOINT), "rows": "4567"}
TIMINGS = {"answers": digest(ANSWERS), "threads": 2}
RECORD = {"id": "nano-lora-r8-squad-to-arc-s2", "timings": digest(TIMINGS)}
OTHER = {"method": "dora", "seed": 0, "base": "0123"}
TRIAL = {"rate": 1e-3, "checkpoint": "89ab"}
HYGIENE = {"of": ["overlap", "squad", "arc"]}
ENTRIES = [
    ("checkpoints", CHECKPOINT, 30_000),
    ("checkpoints", OTHER, 20_000),
    ("answers", ANSWERS, 3_000),
    ("timings", TIMINGS, 200),
    ("records", RECORD, 400),
    ("trials", TRIAL, 100),
    ("hygiene", HYGIENE, 100),
]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A cache of one measured cell and some more, which were used a day apart, long ago."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FTBENCH_CACHE", "kept")
    monkeypatch.setenv("COLUMNS", "120")
    store = Store(tmp_path / "kept", pytest.fail)
    for day, (kind, material, size) in enumerate(ENTRIES):
        folder = store.get(kind, material, lambda folder: (folder / "w.bin").write_bytes(b"x" * size))  # noqa: B023
        os.utime(folder, (1.6e9 + 86_400 * day,) * 2)
    store.release()
    return tmp_path / "kept"


def said(capsys, *arguments, code=0):
    """What the command prints."""
    assert main(["cache", *map(str, arguments)]) == code
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out.splitlines()


def refusal(capsys, *arguments):
    """The one sentence with which the command refuses."""
    assert main(["cache", *map(str, arguments)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    return line


def test_what_is_kept_is_shown_by_kind_in_words(root, capsys):
    lines = said(capsys, "list")
    assert lines[0].startswith(f"{root}: 7 entries, 5")
    assert [line.split(":")[0] for line in lines if ": " in line and line[0] != "/"] == [
        *("checkpoints", "answers", "records", "timings", "hygiene", "trials")
    ]
    (shown,) = (line for line in lines if digest(CHECKPOINT)[:8] in line)
    assert shown.split()[1:3] == ["nano-lora-r8-squad-s2", "29.5"]
    assert "2020-09-13" in shown
    assert "dora" in next(line for line in lines if digest(OTHER)[:8] in line)
    assert sum("nano-lora-r8-squad-to-arc-s2" in line for line in lines) == 3
    assert any("learning rate 0.001" in line for line in lines)
    assert any("overlap squad arc" in line for line in lines)


def test_what_is_in_use_is_shown(root, capsys):
    store = Store(root, pytest.fail)
    store.find("checkpoints", OTHER)
    lines = said(capsys, "list")
    assert [line.split()[0] for line in lines if line.endswith(" yes")] == [digest(OTHER)[:8]]
    store.release()
    assert not any(line.endswith("yes") for line in said(capsys, "list"))


def test_programs_are_told_all_of_it(root, capsys):
    value = json.loads("".join(said(capsys, "list", "--json", "--cache", root)))
    assert (value["schema"], value["cache"]) == (1, str(root))
    assert value["left_over"] == {"count": 0, "size": 0}
    assert value["size"] == sum(entry["size"] for entry in value["entries"])
    assert {(e["kind"], e["key"]) for e in value["entries"]} == {(kind, digest(made)) for kind, made, _ in ENTRIES}
    (record,) = (entry for entry in value["entries"] if entry["kind"] == "records")
    assert record["name"] == RECORD["id"]
    assert record["used"] == 1.6e9 + 86_400 * 4
    assert record["in_use"] is False


@pytest.mark.parametrize("material", [None, [], "x", {"id": 3, "of": "a", "rate": "fast", "method": [], "timings": {}}])
def test_whatever_a_manifest_holds_it_is_no_name(material):
    kinds = ("records", "timings", "answers", "checkpoints", "trials", "hygiene", "foreign")
    assert names({(kind, "0" * 32): material for kind in kinds}) == {}


def test_what_a_manifest_says_obeys_no_terminal(root, capsys):
    material = {"id": "a\x1b[31m\nb", "timings": "x"}
    Store(root, pytest.fail).get("records", material, lambda folder: (folder / "r.json").write_text("{}"))
    lines = said(capsys, "list")
    assert all(line.isprintable() for line in lines)
    assert any("a\\x1b[31m\\nb" in line for line in lines)


def test_every_entry_is_held_against_its_manifest(root, capsys):
    assert said(capsys, "verify") == [f"{root}: 7 entries are whole"]
    used = {entry.key: entry.used for entry in contents(root)}
    broken = root / "answers" / digest(ANSWERS)
    (broken / "w.bin").write_bytes(b"y" * 3_000)
    unfinished = root / "timings" / ("0" * 32)
    unfinished.mkdir()
    expected = [
        f"{broken}: w.bin has changed",
        f"{unfinished}: its manifest can't be read",
        f"{root}: 6 entries are whole, 2 are not",
    ]
    assert said(capsys, "verify", code=1) == expected
    assert broken.exists()
    repaired = said(capsys, "verify", "--repair", code=1)
    assert repaired[:2] == [f"{line}; set aside" for line in expected[:2]]
    assert len(graves(root)) == 2
    assert said(capsys, "list")[-1].startswith("and 2 set aside or unfinished, 3.")
    assert said(capsys, "verify") == [f"{root}: 6 entries are whole"]
    # to look at an entry is not to use it
    assert {entry.key: entry.used for entry in contents(root)} == {k: u for k, u in used.items() if k != broken.name}


def test_prune_to_a_size_removes_what_was_used_longest_ago(root, capsys):
    (line,) = said(capsys, "prune", "--size", "28kB", "--dry-run")
    assert line.startswith(f"{root}: would remove 1 entry unused since 2020-09-13 ")
    assert line.endswith(" would be left")
    assert len(contents(root)) == 7
    (line,) = said(capsys, "prune", "--size", "28kB")
    assert line.startswith(f"{root}: removed 1 entry unused since 2020-09-13 ")
    assert len(contents(root)) == 6
    assert sum(entry.size for entry in contents(root)) <= 28_000
    assert said(capsys, "prune", "--size", "28kB")[0].split("; ")[0] == f"{root}: nothing to remove"


def test_prune_by_age_removes_what_nobody_used_for_so_long(root, capsys):
    store = Store(root, pytest.fail)
    store.find("records", RECORD)
    store.release()
    (line,) = said(capsys, "prune", "--unused-for", "30d")
    assert "removed 6 entries unused since" in line
    assert [entry.kind for entry in contents(root)] == ["records"]


def test_prune_all_keeps_what_is_in_use(root, capsys):
    store = Store(root, pytest.fail)
    store.find("checkpoints", OTHER)
    assert "removed 6 entries" in said(capsys, "prune", "--all")[0]
    assert [entry.key for entry in contents(root)] == [digest(OTHER)]
    lines = said(capsys, "prune", "--size", "1kB")
    assert lines[1] == "all of it is in use, or can't be removed"
    store.release()
    assert "removed 1 entry" in said(capsys, "prune", "--all")[0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("prune", "--size", "10"), "--size: is '10', which is no size"),
        (("prune", "--unused-for", "30"), "--unused-for: is '30', which is no time"),
        (("list", "--cache", "elsewhere"), "elsewhere: is no cache of this plugin; name with --cache the folder"),
        (("prune", "--all", "--cache", "elsewhere"), "elsewhere: is no cache of this plugin"),
        (("verify", "--cache", "elsewhere/file"), "elsewhere/file: is no cache of this plugin"),
        (("prune", "--all", "--cache", "linked"), "linked: is no cache of this plugin"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(root, tmp_path, capsys, arguments, sentence):
    key = tmp_path / "elsewhere" / "checkpoints" / ("0" * 32)
    key.mkdir(parents=True)
    (key / "manifest.json").write_text("{}")
    (tmp_path / "elsewhere" / "file").write_text("")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "locks").symlink_to(root / "locks")
    assert sentence in refusal(capsys, *arguments)
    assert (key / "manifest.json").exists()
    assert len(contents(root)) == 7


@pytest.mark.parametrize("arguments", [("list",), ("verify",), ("prune", "--all"), ("prune", "--size", "1GB")])
def test_where_nothing_is_kept_yet_there_is_nothing_to_do(tmp_path, capsys, arguments):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "absent"):
        (line,) = said(capsys, *arguments, "--cache", tmp_path / name)
        assert line.startswith(f"{tmp_path / name}: ")
    assert list(tmp_path.iterdir()) == [tmp_path / "empty"]
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize("arguments", [(), ("--all", "--size", "1GB"), ("--all", "--unused-for", "1d")])
def test_prune_is_told_one_thing(root, capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(["cache", "prune", *arguments])
    assert stop.value.code == 2
    assert len(contents(root)) == 7

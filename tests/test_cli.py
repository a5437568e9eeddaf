"""The command ``ftbench``: a baseline is written where one may be, said out loud, and refused in one sentence."""

import hashlib
import json
import os
import subprocess
import sys

import pytest
from strategies_items import suite_records

from pytest_ftbench.cli import main, parser
from pytest_ftbench.grid import Results, acceptance, read_results


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with the results of two runs, of which the second is worse in one cell."""
    monkeypatch.chdir(tmp_path)
    first, second = suite_records(), suite_records()
    cell = next(each for each in second if each.id == "nano-nopeft-squad-to-squad")
    for item in cell.items[:100]:
        item["score"] = 0.0
    cell.scores["f1"] = sum(item["score"] for item in cell.items) / 200
    write(tmp_path / "first.json", first)
    write(tmp_path / "second.json", second, dirty=True)
    return tmp_path


def write(path, records, suite="mine", dirty=False):
    said = {"git_sha": "0123456789abcdef", "dirty": dirty}
    path.write_text(json.dumps(Results(suite, records, said).to_json()))


def accept(*arguments, reason="it is right"):
    return main(["baseline", "accept", *map(str, arguments), "--reason", reason])


def refusal(capsys, *arguments, **options):
    """The one sentence with which the command refuses."""
    assert accept(*arguments, **options) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return line


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_results_become_the_suites_baseline(folder, capsys):
    assert accept("first.json") == 0
    said = capsys.readouterr().out
    assert "30 cells of suite mine, commit 0123456789ab" in said
    assert "written to baselines/mine.json" in said
    assert "in place of" not in said
    kept = acceptance(read_results(folder / "baselines" / "mine.json"))
    assert kept["from"] == {"file": "first.json", "sha256": digest(folder / "first.json")}
    assert kept["accepted"].endswith("+00:00")


def test_what_the_new_baseline_changes_is_said(folder, capsys):
    accept("first.json", "--to", "b.json", reason="first")
    replaced = digest(folder / "b.json")
    capsys.readouterr()
    assert accept("second.json", "--to", "b.json", reason="we  need\nit") == 0
    said = capsys.readouterr().out.splitlines()
    assert "files differed from commit 0123456789ab when this was measured, which the baseline says, too" in said
    assert any("(first): 30 in both, 1 of them with another score; 0 new, 0 gone" in line for line in said)
    assert sum("nano-nopeft-squad-to-squad F1" in line for line in said) == 1
    baseline = read_results(folder / "b.json")
    kept = acceptance(baseline)
    assert kept["reason"] == "we need it"
    assert kept["replaces"] == replaced
    assert [each["reason"] for each in kept["history"]] == ["first"]
    assert baseline.provenance["dirty"] is True


def test_cells_that_come_and_go_are_named(folder, capsys):
    records = suite_records()
    write(folder / "few.json", records[1:])
    write(folder / "others.json", records[:-1])
    accept("few.json", "--to", "b.json")
    capsys.readouterr()
    assert accept("others.json", "--to", "b.json") == 0
    said = capsys.readouterr().out.splitlines()
    assert f"new: {records[0].id}" in said
    assert f"gone: {records[-1].id}" in said


def test_the_largest_of_many_changes_come_first_and_the_rest_is_counted(folder, capsys):
    write(folder / "other.json", suite_records(seed=1))
    accept("first.json")
    capsys.readouterr()
    accept("other.json")
    said = capsys.readouterr().out.splitlines()
    table = [line.split() for line in said if " F1 " in line or " Solved " in line]
    sizes = [abs(float(row[-1])) / (100 if row[0].endswith("squad") else 1) for row in table]
    assert len(table) == 10
    assert sizes == sorted(sizes, reverse=True)
    moved = int(next(line for line in said if "with another score" in line).split(" of them")[0].split()[-1])
    assert f"and {moved - 10} smaller changes" in said


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_a_baseline_needs_a_reason(folder, capsys, reason):
    assert "--reason: is empty" in refusal(capsys, "first.json", reason=reason)
    with pytest.raises(SystemExit) as stop:
        main(["baseline", "accept", "first.json"])
    assert stop.value.code == 2
    assert "--reason" in capsys.readouterr().err
    assert not (folder / "baselines").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "can't be read"),
        ("{", "is no JSON"),
        ("{}", "holds no object with a list under 'cells'"),
        ('{"schema": 2, "cells": []}', "has schema 2"),
        ('{"schema": 1, "suite": "mine", "cells": []}', "has no measured cell"),
        ('{"schema": 1, "suite": "../mine", "cells": []}', "is no name for a file; name the baseline with --to"),
    ],
)
def test_what_are_no_results_is_refused(folder, capsys, content, said):
    if content is not None:
        (folder / "r.json").write_text(content)
    assert said in refusal(capsys, "r.json")
    assert not (folder / "baselines").exists()


def test_a_run_with_failed_cells_is_accepted_only_where_that_is_said(folder, capsys):
    records = suite_records()
    records[3].status = "failed"
    write(folder / "r.json", records)
    line = refusal(capsys, "r.json")
    assert f"1 of 30 cells were not measured ({records[3].id}: failed)" in line
    assert "--partial" in line
    assert accept("r.json", "--partial") == 0
    assert f"not measured and so not in it: {records[3].id}" in capsys.readouterr().out
    kept = read_results(folder / "baselines" / "mine.json")
    assert acceptance(kept)["left_out"] == [records[3].id]
    assert len(kept.cells) == 29


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("print()", "is there and is no baseline"),
        ('{"schema": 1, "suite": "mine", "cells": []}', "holds results that nobody accepted"),
        ('{"schema": 1, "provenance": {"baseline": {"reason": 1}}, "cells": []}', "holds results that nobody accepted"),
        (
            '{"schema": 1, "suite": "yours", "provenance": {"baseline": {"reason": "x"}}, "cells": []}',
            "is the baseline of suite 'yours', these are results of 'mine'",
        ),
    ],
)
def test_nothing_but_the_suites_own_baseline_is_overwritten(folder, capsys, content, said):
    (folder / "b.json").write_text(content)
    assert said in refusal(capsys, "first.json", "--to", "b.json")
    assert (folder / "b.json").read_text() == content


def test_results_are_no_place_for_their_own_baseline(folder, capsys):
    before = digest(folder / "first.json")
    assert "holds results that nobody accepted" in refusal(capsys, "first.json", "--to", "first.json")
    assert digest(folder / "first.json") == before


def test_a_place_that_cannot_be_written_is_named(folder, capsys):
    (folder / "file").write_text("")
    assert "file/b.json" in refusal(capsys, "first.json", "--to", "file/b.json")


def test_the_command_is_there_as_a_module_and_on_any_terminal(folder):
    command = [sys.executable, "-m", "pytest_ftbench", "baseline", "accept"]
    command += ["first.json", "--reason", "größer → besser", "--to", "größer.json"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "written to gro?er.json; review it" in done.stdout
    text = (folder / "größer.json").read_text(encoding="utf-8")
    assert '"reason": "größer → besser"' in text


def test_the_command_says_what_it_can_do(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["baseline", "accept", "--help"])
    said = capsys.readouterr().out
    assert all(option in said for option in ("RESULTS", "--reason", "--to", "--partial"))

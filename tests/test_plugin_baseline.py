"""Another run's results beside this one's: --ftbench-baseline."""

import json

import pytest
from test_analysis_ranking import records

from pytest_ftbench.cli import main
from pytest_ftbench.grid import Results, read_results


@pytest.fixture
def stored(pytester):
    """Two runs that order their ways otherwise."""
    for name, shares in {"now": {"nopeft": 0.9, "lora": 0.9}, "then": {"nopeft": 0.9, "lora": 0.4}}.items():
        results = Results("suite", records(recipe=name, **shares))
        (pytester.path / f"{name}.json").write_text(json.dumps(results.to_json()))
    return pytester


def test_stored_results_are_held_against_another_runs(stored):
    outcome = stored.runpytest_subprocess(
        "--ftbench-from", "now.json", "--ftbench-baseline", "then.json", "--ftbench-gate", "off"
    )
    assert outcome.ret == pytest.ExitCode.OK
    outcome.stdout.fnmatch_lines(
        ["*this run (now) ---*", "*then.json (then) ---*", "*better here neither, there NoPeft over LoRA r8*"]
    )


def test_a_baseline_that_is_none_is_refused_before_anything_runs(stored):
    (stored.path / "broken.json").write_text("{")
    stored.makepyfile("def test_it(): pass")
    outcome = stored.runpytest_subprocess("--ftbench-baseline", "broken.json")
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines(["ERROR: *broken.json*is no JSON*"])


def accepted(folder, name="b.json"):
    """The path of what becomes a baseline."""
    accept = ["baseline", "accept", str(folder / "then.json"), "--reason", "so it was"]
    assert main([*accept, "--to", str(folder / name)]) == 0
    return folder / name


@pytest.mark.parametrize("kind", ["json", "markdown", "html"])
def test_a_run_never_writes_over_a_baseline(stored, kind):
    path = accepted(stored.path)
    before = path.read_bytes()
    outcome = stored.runpytest_subprocess("--ftbench-from", "now.json", f"--ftbench-{kind}", "b.json")
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines([f"ERROR: --ftbench-{kind} b.json: is a baseline, which nothing but*"])
    assert path.read_bytes() == before


def test_a_run_writes_over_results_that_are_no_baseline(stored):
    text = (stored.path / "then.json").read_text().replace('"provenance": {', '"provenance": {"baseline": "then", ')
    (stored.path / "then.json").write_text(text)
    outcome = stored.runpytest_subprocess("--ftbench-from", "now.json", "--ftbench-json", "then.json")
    assert outcome.ret == pytest.ExitCode.OK
    assert "baseline" not in read_results(stored.path / "then.json").provenance


def test_an_accepted_baseline_orders_its_ways_as_the_results_did(stored):
    accepted(stored.path)
    shown = [
        stored.runpytest_subprocess(
            "--ftbench-from", "now.json", "--ftbench-baseline", name, "--ftbench-gate", "off"
        ).outlines
        for name in ("then.json", "b.json")
    ]
    # a rule is as long as its title leaves room for, and no two runs take as long
    first, second = (
        [line.replace("then.json", "b.json").strip("- ") for line in lines if "no tests ran in" not in line]
        for lines in shown
    )
    assert any("better here neither, there NoPeft over LoRA r8" in line for line in second)
    assert first == second

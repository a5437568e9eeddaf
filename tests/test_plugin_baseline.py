"""Another run's results beside this one's: --ftbench-baseline."""

import json

import pytest
from test_analysis_ranking import records

from pytest_ftbench.cli import main
from pytest_ftbench.grid import Results


@pytest.fixture
def stored(pytester):
    """Two runs that order their ways otherwise."""
    for name, shares in {"now": {"nopeft": 0.9, "lora": 0.9}, "then": {"nopeft": 0.9, "lora": 0.4}}.items():
        results = Results("suite", records(recipe=name, **shares))
        (pytester.path / f"{name}.json").write_text(json.dumps(results.to_json()))
    return pytester


def test_stored_results_are_held_against_another_runs(stored):
    outcome = stored.runpytest_subprocess("--ftbench-from", "now.json", "--ftbench-baseline", "then.json")
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


def test_an_accepted_baseline_orders_its_ways_as_the_results_did(stored):
    accept = ["baseline", "accept", str(stored.path / "then.json"), "--reason", "so it was"]
    assert main([*accept, "--to", str(stored.path / "b.json")]) == 0
    shown = [
        stored.runpytest_subprocess("--ftbench-from", "now.json", "--ftbench-baseline", name).outlines
        for name in ("then.json", "b.json")
    ]
    # a rule is as long as its title leaves room for, and no two runs take as long
    first, second = (
        [line.replace("then.json", "b.json").strip("- ") for line in lines if "no tests ran in" not in line]
        for lines in shown
    )
    assert any("better here neither, there NoPeft over LoRA r8" in line for line in second)
    assert first == second

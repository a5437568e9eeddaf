"""The slice of ``embedded`` that this repository gates itself by, and the baseline that is committed for it."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_ftbench.analysis.gates import judge
from pytest_ftbench.grid import acceptance, load_suite, parse_cell, read_results
from pytest_ftbench.tasks import TASK_NAMES

ROOT = Path(__file__).parents[1]
SUITE = load_suite(ROOT / "benchmarks" / "embedded-gate.toml", TASK_NAMES)
EMBEDDED = load_suite(ROOT / "benchmarks" / "suites" / "embedded.toml", TASK_NAMES)


@pytest.fixture(scope="module")
def baseline():
    return read_results(SUITE.gate.baseline)


def test_it_is_a_slice_of_embedded():
    assert (SUITE.data, SUITE.evaluation) == (EMBEDDED.data, EMBEDDED.evaluation)
    assert replace(SUITE.recipe, name="embedded") == EMBEDDED.recipe
    assert {cell.id for cell in SUITE.cells()} < {cell.id for cell in EMBEDDED.cells()}


def test_it_gates_what_any_machine_gives_and_nothing_passes_for_want_of_a_baseline():
    gate = SUITE.gate
    assert {rule.metric for rule in gate.rules} == {"score", "format_rate", "tokens"}
    assert (gate.on_missing_baseline, gate.on_incomparable) == ("fail", "fail")


def test_nothing_else_here_is_gated():
    assert EMBEDDED.gate is None
    assert "ftbench" not in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]


def test_ci_runs_it():
    assert "make gate" in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ngate:")[2].partition("\n\n")[0]
    assert "--ftbench-suite embedded-gate" in recipe


def test_the_baseline_has_every_cell_and_several_seeds_of_what_is_trained(baseline):
    seeds = {}
    for record in baseline.cells:
        seeds.setdefault(parse_cell(record.id).way, set()).add(record.seed)
    assert seeds.keys() == {cell.way for cell in SUITE.cells()}
    assert {len(found) for way, found in seeds.items() if "-base-" not in way} == {5}


def test_the_baseline_says_why_it_is_one_and_of_which_commit(baseline):
    said = acceptance(baseline)
    assert said["reason"]
    assert len(said["git_sha"]) == 40
    assert baseline.provenance["dirty"] is False


def test_a_run_of_one_seed_that_gives_what_it_gave_then_passes(baseline):
    first = [record for record in baseline.cells if record.seed == 0]
    assert {verdict.outcome for verdict in judge(first, baseline.cells, SUITE.gate)} == {"pass"}


def test_a_training_that_came_out_much_worse_fails(baseline):
    first = [record for record in baseline.cells if record.seed == 0 and record.train_task == "squad"]
    (worse,) = (record for record in read_results(SUITE.gate.baseline).cells if record.id == first[-1].id)
    worse.scores["f1"] -= 15
    worse.items = []
    verdicts = judge([worse], baseline.cells, SUITE.gate)
    assert {verdict.metric: str(verdict.outcome) for verdict in verdicts}["score"] == "fail"

"""pytest-benchmark as the store of timings; and a contract with the parts of it that are not public."""

import json

import pytest

from pytest_ftbench.benchmark_bridge import feed
from pytest_ftbench.grid import Cell, CellRecord

torch = pytest.mark.torch


@torch
def test_a_cell_is_a_benchmark_whose_rounds_are_prompts(project):
    path = project.pytester.path / "b.json"
    outcome, results = project.results("-k", "base", "--benchmark-json", path)
    outcome.assert_outcomes(passed=2)
    benchmarks = json.loads(path.read_text())["benchmarks"]
    cells = {cell["id"]: cell for cell in results["cells"]}
    assert [b["fullname"] for b in benchmarks] == [f"test_cells.py::test_cell[{name}]" for name in cells]
    for benchmark in benchmarks:
        cell = cells[benchmark["param"]]
        assert benchmark["stats"]["data"] == cell["latency_s"]["samples"]
        assert benchmark["stats"]["rounds"] == 3
        assert benchmark["params"] == {
            "model": "nano",
            "method": "base",
            "rank": None,
            "quantization": None,
            "train_task": None,
            "eval_task": cell["eval_task"],
            "seed": 0,
        }
        assert benchmark["extra_info"]["format_rate"] == cell["format_rate"]
        assert benchmark["extra_info"]["output_tokens_mean"] == cell["output_tokens"]["mean"]
        assert cell["scores"].items() <= benchmark["extra_info"].items()


@torch
def test_autosave_and_compare_hold_cells_timed_in_their_own_run(project):
    project.run("-k", "base-to-arc", "--benchmark-autosave").assert_outcomes(passed=1)
    outcome = project.run("-k", "base-to-arc", "--benchmark-autosave", "--benchmark-compare=0001")
    outcome.assert_outcomes(passed=1)
    outcome.stdout.fnmatch_lines_random(["*base-to-arc* (0001_*", "*base-to-arc* (NOW)*"])
    saved = sorted((project.pytester.path / ".benchmarks").rglob("*.json"))
    first, second = (json.loads(path.read_text())["benchmarks"][0] for path in saved)
    assert first["fullname"] == second["fullname"]
    assert first["stats"] != second["stats"]


@torch
def test_a_regression_under_compare_fail_fails_the_run(project):
    project.run("-k", "base-to-arc", "--benchmark-save=first").assert_outcomes(passed=1)
    (saved,) = (project.pytester.path / ".benchmarks").rglob("*.json")
    faster = json.loads(saved.read_text())
    for key in ("min", "max", "mean", "median"):
        faster["benchmarks"][0]["stats"][key] /= 1000
    saved.write_text(json.dumps(faster))
    outcome = project.run(
        "-k", "base-to-arc", "--benchmark-compare=0001", "--benchmark-compare-fail=mean:50%", new_process=True
    )
    assert outcome.ret != 0
    outcome.stdout.fnmatch_lines(["*fine-tuning comparison*"])


@torch
@pytest.mark.parametrize("option", ["--benchmark-disable", "--benchmark-skip"])
def test_switched_off_it_holds_nothing_and_the_cell_runs(project, option):
    outcome = project.run("-k", "base-to-arc", option)
    outcome.assert_outcomes(passed=1)
    outcome.stdout.no_fnmatch_line("*benchmark: 1 test*")


def test_the_private_surface_of_pytest_benchmark_is_as_the_bridge_expects(pytester):
    config = pytester.parseconfigure()
    session = config.pluginmanager.get_plugin("pytest-benchmark")
    record = CellRecord.of(Cell("nano", "base", "arc"), latency_s={"samples": [1.0, 3.0]}, scores={"macro_f1": 0.5})
    feed(config, "test_x.py::test_cell[nano-base-to-arc]", record)
    (benchmark,) = session.benchmarks
    stored = benchmark.as_dict(include_data=True)
    assert stored["stats"]["mean"] == 2.0
    assert stored["stats"]["data"] == [1.0, 3.0]
    assert stored["name"] == "test_cell[nano-base-to-arc]"
    assert not benchmark.has_error
    json.dumps(stored)

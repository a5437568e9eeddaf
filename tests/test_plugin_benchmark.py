"""pytest-benchmark as the store of timings, with workers as without; and a contract with what is not public of it."""

import json

import pytest
from plugin_project import TEST

from pytest_ftbench.benchmark_bridge import feed
from pytest_ftbench.grid import Cell, CellRecord

torch = pytest.mark.torch
both = pytest.mark.parametrize("workers", [0, 2])

OTHERS = """
def test_plain():
    pass

def test_timed(benchmark):
    benchmark(sum, [1, 2])
"""
NAMES = ["nano-base-to-arc", "nano-base-to-squad"]


def run(project, workers, *arguments):
    """A run over the base cells; with workers in a process of its own."""
    return project.run("-k", "base or plain or timed", "-n", str(workers), *arguments, new_process=bool(workers))


def saved_runs(project):
    """What is stored in .benchmarks, by when it was."""
    return sorted((project.pytester.path / ".benchmarks").rglob("*.json"))


def benchmarks_in(path):
    return json.loads(path.read_text())["benchmarks"]


@torch
@both
def test_a_cell_is_a_benchmark_whose_rounds_are_prompts(project, workers):
    path = project.pytester.path / "b.json"
    outcome, results = project.results(
        "-k", "base", "-n", str(workers), "--benchmark-json", path, new_process=bool(workers)
    )
    outcome.assert_outcomes(passed=2)
    cells = {cell["id"]: cell for cell in results["cells"]}
    benchmarks = benchmarks_in(path)
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
        assert benchmark["extra_info"]["memory_gib"] == cell["memory_gib"]
        assert cell["scores"].items() <= benchmark["extra_info"].items()
        assert cell["latency_s"]["workers"] == max(1, workers)


@torch
@both
def test_autosave_and_compare_hold_cells_timed_in_their_own_run(project, workers):
    run(project, workers, "--benchmark-autosave").assert_outcomes(passed=2)
    outcome = run(project, workers, "--benchmark-autosave", "--benchmark-compare=0001")
    outcome.assert_outcomes(passed=2)
    outcome.stdout.fnmatch_lines_random(["*base-to-arc* (0001_*", "*base-to-arc* (NOW)*"])
    first, second = (benchmarks_in(path)[0] for path in saved_runs(project))
    assert first["fullname"] == second["fullname"]
    assert first["stats"] != second["stats"]


@torch
@both
def test_a_regression_under_compare_fail_fails_the_run(project, workers):
    run(project, workers, "--benchmark-save=first").assert_outcomes(passed=2)
    (saved,) = saved_runs(project)
    compare = ("--benchmark-compare=0001", "--benchmark-compare-fail=mean:900%")
    assert run(project, workers, *compare).ret == pytest.ExitCode.OK
    faster = json.loads(saved.read_text())
    for key in ("min", "max", "mean", "median"):
        faster["benchmarks"][0]["stats"][key] /= 1000
    saved.write_text(json.dumps(faster))
    outcome = project.run("-k", "base", "-n", str(workers), *compare, new_process=True)
    assert outcome.ret != pytest.ExitCode.OK
    outcome.stdout.fnmatch_lines(["*fine-tuning comparison*", "*comparison with a stored run*"])
    outcome.stderr.fnmatch_lines(["*Performance has regressed*"])


@torch
@both
def test_groups_columns_and_histogram_are_of_cells(project, workers):
    options = ("--benchmark-group-by=param:eval_task", "--benchmark-columns=median,rounds", "--benchmark-histogram=h")
    outcome = project.run("-k", "base", "-n", str(workers), *options, new_process=True)
    outcome.stdout.fnmatch_lines(
        ["* benchmark 'eval_task=arc': 1 tests*", "*Median*Rounds*", "* benchmark 'eval_task=squad': 1 tests*"]
    )
    drawn = sorted(path.name for path in project.pytester.path.glob("h*.svg"))
    assert len(drawn) == 2
    assert all("eval_task" in name for name in drawn)


@torch
@both
@pytest.mark.parametrize(
    ("option", "outcomes", "stored"),
    [
        ("--benchmark-disable", {"passed": 4}, False),
        ("--benchmark-skip", {"passed": 1, "skipped": 3}, False),
        ("--benchmark-only", {"passed": 3, "skipped": 1}, True),
    ],
)
def test_options_that_choose_benchmarks_take_a_measured_cell_for_one(project, workers, option, outcomes, stored):
    project.pytester.makepyfile(test_cells=TEST + OTHERS)
    outcome = run(project, workers, option)
    outcome.assert_outcomes(**outcomes)
    assert ("base-to-arc]  " in outcome.stdout.str()) == stored


@torch
def test_a_test_of_checkpoints_alone_is_no_benchmark(project):
    project.pytester.makepyfile(test_cells=TEST + "\ndef test_small(checkpoint):\n    pass\n")
    run(project, 0, "--benchmark-only").assert_outcomes(passed=2, skipped=2)


@torch
def test_a_users_own_benchmark_is_stored_beside_the_cells(project):
    project.pytester.makepyfile(test_cells=TEST + OTHERS)
    path = project.pytester.path / "b.json"
    run(project, 0, "--benchmark-json", path).assert_outcomes(passed=4)
    assert sorted(b["name"] for b in benchmarks_in(path)) == [*(f"test_cell[{name}]" for name in NAMES), "test_timed"]


@torch
def test_the_worker_count_stands_in_the_stored_run(project):
    for workers in (0, 2):
        run(project, workers, f"--benchmark-save=with{workers}").assert_outcomes(passed=2)
    alone, shared = (json.loads(path.read_text())["machine_info"] for path in saved_runs(project))
    assert "ftbench_workers" not in alone
    assert shared["ftbench_workers"] == 2


def test_the_private_surface_of_pytest_benchmark_is_as_the_bridge_expects(pytester):
    config = pytester.parseconfigure()
    session = config.pluginmanager.get_plugin("pytest-benchmark")
    record = CellRecord.of(Cell("nano", "base", "arc"), latency_s={"samples": [1.0, 3.0]}, scores={"macro_f1": 0.5})
    feed(config, [("test_x.py::test_cell[nano-base-to-arc]", record)])
    (benchmark,) = session.benchmarks
    stored = benchmark.as_dict(include_data=True)
    assert stored["stats"]["mean"] == 2.0
    assert stored["stats"]["data"] == [1.0, 3.0]
    assert stored["name"] == "test_cell[nano-base-to-arc]"
    assert not benchmark.has_error
    assert session.compared_mapping == {}
    json.dumps(stored)

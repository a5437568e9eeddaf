"""The same cells, scores and files with and without workers, pytest-benchmark and pytest-xdist."""

import json
import re
from collections import Counter

import pytest
from plugin_project import CELLS, Project, untimed

pytestmark = pytest.mark.torch

ALONE = ("-n", "0")
WORKERS = ("-n", "2")
NO_XDIST = ("-p", "no:xdist")
NO_BENCHMARK = ("-p", "no:benchmark")


def stored(path):
    """What pytest-benchmark has stored of each cell, without what a second measurement may change."""
    benchmarks = json.loads(path.read_text())["benchmarks"]
    for benchmark in benchmarks:
        extra = benchmark["extra_info"]
        # on a CPU the only memory that is known is the process's, and that is measured with the timings
        benchmark["extra_info"] = {**extra, "ttft_median": None, "tpot_median": None, "memory_gib": None}
        benchmark["stats"] = {"rounds": benchmark["stats"]["rounds"]}
    return benchmarks


def measured(project, options):
    """The records of a run and, where pytest-benchmark takes part, what that has stored."""
    path = project.pytester.path / "b.json"
    path.unlink(missing_ok=True)
    storing = () if NO_BENCHMARK[1] in options else ("--benchmark-json", path)
    outcome, results = project.results(*options, *storing, new_process=True)
    outcome.assert_outcomes(passed=CELLS)
    outcome.stdout.fnmatch_lines(["*fine-tuning comparison*", "*Transfer*"])
    return untimed(results), stored(path) if storing else None


@pytest.fixture(scope="module")
def reference():
    """What the first of the runs has measured; the others are compared with it."""
    return {}


@pytest.mark.parametrize(
    "options",
    [ALONE, WORKERS, NO_XDIST, (*ALONE, *NO_BENCHMARK), (*WORKERS, *NO_BENCHMARK), (*NO_XDIST, *NO_BENCHMARK)],
    ids=" ".join,
)
def test_whoever_runs_them_cells_have_the_same_scores_and_files_differ_in_timings_alone(
    pytester, tmp_path, reference, options
):
    # nothing is shared, so that each of them trains and answers by itself
    records, benchmarks = measured(Project(pytester, tmp_path / "fresh"), options)
    assert records == reference.setdefault("records", records)
    assert list(records) == list(reference["records"])
    if benchmarks is not None:
        assert benchmarks == reference.setdefault("benchmarks", benchmarks)
        assert [benchmark["param"] for benchmark in benchmarks] == list(records)


@pytest.fixture(scope="module")
def from_scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


def test_from_scratch_each_checkpoint_is_trained_once_by_the_worker_that_has_its_cells(pytester, from_scratch, project):
    fresh = Project(pytester, from_scratch)
    outcome, results = fresh.results(*WORKERS, "-v", new_process=True)
    outcome.assert_outcomes(passed=CELLS)
    said = [re.fullmatch(r"ftbench \[(gw\d)\]: (\S+): training on 16 rows", line) for line in outcome.outlines]
    trained = {match[2]: match[1] for match in said if match}
    assert Counter(match[2] for match in said if match) == Counter(dict.fromkeys(trained, 1))
    assert len(trained) == 4
    ran = [re.match(r"\[(gw\d)\] \[ *\d+%\] .*test_cell\[nano-(.*)-to-", line) for line in outcome.outlines]
    workers = {}
    for match in filter(None, ran):
        workers.setdefault(f"nano-{match[2]}", set()).add(match[1])
    assert all(len(names) == 1 for names in workers.values())
    assert {name: {worker} for name, worker in trained.items()} == {name: workers[name] for name in trained}
    _, alone = project.results(*ALONE)
    assert untimed(results) == untimed(alone)


@pytest.mark.parametrize("options", [ALONE, WORKERS], ids=" ".join)
def test_with_v_the_headline_score_is_the_result_word(project, options):
    outcome, results = project.results("-v", *options, "-k", "base", new_process=True)
    by_task = {cell["eval_task"]: cell["scores"] for cell in results["cells"]}
    arc, squad = f"F1 {by_task['arc']['macro_f1']:.3f} INVALID", f"F1 {by_task['squad']['f1']:.2f} INVALID"
    lines = outcome.stdout.str()
    assert re.search(rf"base-to-arc\] {arc} |{arc} \S*base-to-arc\]", lines)
    assert re.search(rf"base-to-squad\] {squad} |{squad} \S*base-to-squad\]", lines)
    assert "PASSED" not in lines


def test_another_schedule_is_left_to_who_asks_for_it(project):
    outcome = project.run(*WORKERS, "--dist", "loadfile", "-v", "-k", "base", new_process=True)
    outcome.assert_outcomes(passed=2)
    outcome.stdout.fnmatch_lines(["scheduling tests via LoadFileScheduling"])


OWN_SCHEDULE = """
from xdist.scheduler import LoadScheduling
class MySchedule(LoadScheduling): pass
def pytest_xdist_make_scheduler(config, log): return MySchedule(config, log)
"""


@pytest.mark.parametrize(("conftest", "schedule"), [("", "LoadScheduling"), (OWN_SCHEDULE, "MySchedule")])
def test_a_project_without_cells_is_scheduled_as_ever_whatever_its_ids_look_like(pytester, conftest, schedule):
    pytester.makeconftest(conftest)
    pytester.makepyfile(
        test_other="""
        import pytest
        @pytest.mark.parametrize("unit", ["km-base-to-miles", "us-visa-nl-to-de", "celsius-linear-x-to-y"])
        def test_unit(unit): pass
        """
    )
    outcome = pytester.runpytest_subprocess("-n", "2", "-v", "-p", "no:cacheprovider")
    outcome.assert_outcomes(passed=3)
    outcome.stdout.fnmatch_lines([f"scheduling tests via {schedule}"])


def test_other_parameters_beside_a_cell_dont_part_a_checkpoint(project):
    project.pytester.makepyfile(
        test_cells="""
        import pytest
        @pytest.mark.parametrize("mode", ["x", "y"])
        def test_cell(mode, result): pass
        """
    )
    outcome = project.run(*WORKERS, "-v", "-k", "nopeft or base", new_process=True)
    outcome.stdout.fnmatch_lines(["scheduling tests via CheckpointScheduling"])
    workers = {}
    for line in outcome.outlines:
        if match := re.match(r"\[(gw\d)\] .*\[.*nano-(\S+)-to-", line):
            workers.setdefault(match[2], set()).add(match[1])
    assert len(workers) == 3
    assert all(len(names) == 1 for names in workers.values())


def test_benchmark_only_is_refused_beside_workers_where_there_are_no_cells(pytester):
    pytester.makepyfile(test_other="def test_timed(benchmark): benchmark(sum, [1])\n")
    outcome = pytester.runpytest_subprocess("-n", "2", "--benchmark-only", "-p", "no:cacheprovider")
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines(["*Can't have both --benchmark-only and --benchmark-disable options*"])


def test_a_run_that_junit_reads_has_a_case_per_cell_and_nothing_for_progress(pytester, tmp_path):
    path = pytester.path / "junit.xml"
    project = Project(pytester, tmp_path / "fresh")
    outcome = project.run(*WORKERS, "-k", "nopeft-arc", "--junitxml", path, new_process=True)
    outcome.assert_outcomes(passed=2)
    outcome.stdout.fnmatch_lines(["*training on 16 rows"])
    assert path.read_text().count("<testcase ") == 2

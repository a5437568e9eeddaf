import json

import pytest
from plugin_project import CELLS, SUITE, Project

from pytest_ftbench.grid import read_results
from pytest_ftbench.report import render

pytestmark = pytest.mark.torch


BROKEN = SUITE.replace("ranks = [2]", 'ranks = [2], target_modules = ["nowhere"]')


def test_a_run_measures_every_cell_prints_the_tables_and_writes_the_file(project):
    outcome, results = project.results()
    outcome.assert_outcomes(passed=CELLS)
    outcome.stdout.fnmatch_lines(["*fine-tuning comparison*", "*Trained on ARC*", "*Base models*", "*Transfer*"])
    assert (results["schema"], results["suite"]) == (1, "suite")
    assert results["provenance"]["device"] == "cpu"
    assert results["provenance"]["packages"]["trl"]
    assert set(results["trivial"]) == {"arc", "squad"}
    for cell in results["cells"]:
        assert cell["status"] == "ok"
        assert cell["n"] == len(cell["items"]) == 6
        assert cell["latency_s"]["n"] == len(cell["latency_s"]["samples"]) == 3
        assert cell["eval_dtype"] == "float32"
        assert cell["provenance"]["reasoning"] == "off"
        assert (cell["train"] is None) == (cell["method"] == "base")


def test_a_second_run_trains_nothing_and_says_the_same(project):
    _, first = project.results()
    outcome, second = project.results()
    outcome.stdout.no_fnmatch_line("*training on*")
    assert second["cells"] == first["cells"]


def test_a_run_that_finds_everything_stored_imports_none_of_the_libraries(project):
    project.results()
    heavy = ("torch", "transformers", "trl", "peft", "datasets")
    project.pytester.makeconftest(f"""
        import sys

        def pytest_unconfigure(config):
            print("imported:", *(name for name in {heavy} if name in sys.modules))
    """)
    outcome = project.run("-s", new_process=True)
    outcome.assert_outcomes(passed=CELLS)
    outcome.stdout.fnmatch_lines(["imported:"])


def test_stored_results_are_rendered_as_they_were_and_nothing_runs(project):
    project.results()
    path = project.pytester.path / "results.json"
    outcome = project.run("--ftbench-from", path)
    assert outcome.ret == pytest.ExitCode.OK
    assert "no tests ran" in outcome.outlines[-1]
    shown = [line.rstrip() for line in outcome.outlines]
    for line in render(read_results(path), width=80):
        assert line.rstrip() in shown


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "is no JSON"), ('{"schema": 2, "cells": []}', "schema"), ("[]", "cells"), (None, "can't be read")],
)
def test_a_file_that_holds_no_results_is_one_sentence(project, content, words):
    path = project.pytester.path / "broken.json"
    if content is not None:
        path.write_text(content)
    outcome = project.run("--ftbench-from", path)
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines([f"ERROR: *broken.json*{words}*"])


def test_a_failed_cell_shows_its_reason_and_the_others_run(project):
    project.write(BROKEN)
    outcome, results = project.results()
    outcome.assert_outcomes(passed=CELLS - 4, errors=4)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    status = {cell["id"]: cell["status"] for cell in results["cells"]}
    assert {name for name in status if status[name] == "failed"} == {name for name in status if "lora" in name}
    errors = [cell["error"] for cell in results["cells"] if cell["status"] == "failed"]
    assert all("nowhere" in error for error in errors)
    assert sum("its training failed before" in error for error in errors) == 2
    outcome.stdout.fnmatch_lines(["*LoRA*failed*", "*nano-lora-r2-arc-to-arc failed*"])


def test_a_failing_assertion_keeps_the_numbers_and_marks_the_cell(project):
    project.pytester.makepyfile(
        test_cells="""
        def test_cell(cell, result):
            assert cell.method != "nopeft", "full fine-tuning is too good"
        """
    )
    outcome, results = project.results("-k", "nopeft-arc-to-arc or base")
    outcome.assert_outcomes(passed=2, failed=1)
    (failed,) = [cell for cell in results["cells"] if cell["error"]]
    assert failed["status"] == "ok"
    assert failed["scores"]
    assert "too good" in failed["error"]


def test_a_skipped_cell_is_recorded_as_skipped(project):
    project.pytester.makeconftest(
        """
        import pytest
        def pytest_collection_modifyitems(items):
            for item in items:
                if "lora" in item.name:
                    item.add_marker(pytest.mark.skip(reason="no time"))
        """
    )
    outcome, results = project.results("-k", "arc-to-arc or base-to-arc")
    outcome.assert_outcomes(passed=2, skipped=1)
    (skipped,) = [cell for cell in results["cells"] if cell["status"] == "skipped"]
    assert "no time" in skipped["error"]


def test_a_test_can_ask_for_the_checkpoint_alone(project):
    project.pytester.makepyfile(
        test_cells="""
        def test_adapter_is_small(cell, checkpoint):
            if cell.method == "lora":
                assert checkpoint.train["trainable_params"] < checkpoint.train["total_params"] / 10
                assert (checkpoint.folder / "adapter_model.safetensors").is_file()
        """
    )
    project.run("-k", "arc-to-arc").assert_outcomes(passed=2)


def test_progress_is_told_in_whole_lines_also_while_output_is_captured(pytester, tmp_path):
    outcome = Project(pytester, tmp_path / "fresh").run("-k", "lora and arc-to-arc")
    outcome.stdout.fnmatch_lines(["ftbench: nano-lora-r2-arc: training on 16 rows", "ftbench: *trained in * s*"])
    assert "\r" not in outcome.stdout.str()


def test_a_measured_cell_without_pytest_benchmark(project):
    project.run("-p", "no:benchmark", "-k", "base-to-arc").assert_outcomes(passed=1)


def test_an_interrupted_run_still_writes_what_it_has(project):
    project.pytester.makepyfile(
        test_cells="""
        def test_cell(cell, result):
            if cell.eval_task == "squad":
                raise KeyboardInterrupt
        """
    )
    outcome, results = project.results("-k", "base", new_process=True)
    assert outcome.ret == pytest.ExitCode.INTERRUPTED
    assert "nano-base-to-arc" in {cell["id"] for cell in results["cells"]}
    outcome.stdout.fnmatch_lines(["*fine-tuning comparison*"])


def test_verbose_shows_the_table_of_latencies(project):
    title = "Latency: one answer at a time"
    project.run("-v", "-k", "base-to-arc").stdout.fnmatch_lines([title])
    project.run("-k", "base-to-arc").stdout.no_fnmatch_line(title)


def test_reasoning_is_recorded_and_changes_the_prompts(project):
    _, off = project.results("-k", "base-to-arc")
    _, on = project.results("-k", "base-to-arc", "--ftbench-reasoning", "on")
    assert [cell["provenance"]["reasoning"] for cell in (*off["cells"], *on["cells"])] == ["off", "on"]


def test_two_tests_of_a_suite_measure_a_cell_once_and_forget_no_verdict(project):
    project.pytester.makepyfile(
        test_cells="""
        import pytest
        def test_full(result):
            assert result.complete
        def test_small(cell, checkpoint):
            assert cell.is_base
        def test_strict(cell, result):
            assert cell.method != "lora", "too large"
        def test_well(result):
            pass
        @pytest.mark.skip(reason="not today")
        def test_later(result):
            pass
        """
    )
    outcome, results = project.results("-k", "arc-to-arc or base-to-arc")
    outcome.assert_outcomes(passed=3 + 1 + 2 + 3, failed=2 + 1, skipped=3)
    assert [cell["status"] for cell in results["cells"]] == ["ok"] * 3
    assert all(cell["scores"] for cell in results["cells"])
    errors = {cell["method"]: cell["error"] for cell in results["cells"]}
    assert errors["base"] is errors["nopeft"] is None
    assert "too large" in errors["lora"]


def test_two_suites_of_one_name_stay_apart(project):
    folders = [project.pytester.mkdir(name) for name in ("first", "second")]
    for folder, task in zip(folders, ("arc", "squad"), strict=True):
        (folder / "mine.toml").write_text(SUITE.replace('eval = ["arc", "squad"]', f'eval = ["{task}"]'))
        (folder / f"test_{folder.name}.py").write_text(
            "import pytest\npytestmark = pytest.mark.ftbench(suite='mine.toml')\ndef test_mine(result): pass\n"
        )
    path = project.pytester.path / "both.json"
    files = ("--ftbench-json", path, "--ftbench-markdown", path.with_suffix(".md"))
    project.run("-k", "base and mine", *files, suite=None).assert_outcomes(passed=2)
    pages = [path.with_name(name).read_text(encoding="utf-8") for name in ("both.md", "both-2.md")]
    assert ["ARC" in page for page in pages] == [True, False]
    assert ["SQuAD v2" in page for page in pages] == [False, True]
    written = [json.loads(file.read_text()) for file in (path, path.with_stem("both-2"))]
    assert [[cell["id"] for cell in results["cells"]] for results in written] == [
        ["nano-base-to-arc"],
        ["nano-base-to-squad"],
    ]


def test_stored_results_are_rendered_without_workers(project):
    project.results("-k", "base")
    path = project.pytester.path / "results.json"
    outcome = project.run("--ftbench-from", path, "-n", "2", new_process=True)
    assert outcome.ret == pytest.ExitCode.OK
    outcome.stdout.fnmatch_lines(["*fine-tuning comparison*", "*Base models*"])


@pytest.mark.parametrize("kind", ["json", "markdown"])
@pytest.mark.parametrize("name", ["a_folder", "a_file/results.json"])
def test_a_place_where_no_results_can_be_written_is_said_before_anything_runs(project, name, kind):
    project.pytester.mkdir("a_folder")
    (project.pytester.path / "a_file").write_text("")
    outcome = project.run(f"--ftbench-{kind}", name)
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines([f"ERROR: --ftbench-{kind} {name}: is no place for a file*"])


def test_what_cant_be_written_in_the_end_is_said_below_the_tables(project):
    project.pytester.makeconftest(
        """
        import pathlib
        def pytest_runtest_teardown(item):
            pathlib.Path("out").write_text("in the way")
        """
    )
    outcome = project.run("-k", "base-to-arc", "--ftbench-json", "out/results.json", new_process=True)
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stdout.fnmatch_lines(["*Base models*", "--ftbench-json: the results can't be written*"])


def test_results_are_plain_json_whatever_the_numbers(project):
    project.results("-k", "base")
    text = (project.pytester.path / "results.json").read_text()
    json.loads(text, parse_constant=pytest.fail)

"""Learning curves from the suite's key to the table, alone and in two workers."""

import pytest
from plugin_project import SUITE, Project, untimed

from pytest_ftbench.grid import read_results
from pytest_ftbench.report import render

pytestmark = pytest.mark.torch

# tested on arc alone: base, nopeft and lora
CURVED = (
    SUITE.replace('["arc", "squad"]', '["arc"]')
    .replace("[recipe]", "[recipe]\nnum_train_epochs = 3")
    .replace("[evaluation]", "[evaluation]\nepochs = [1, 2]")
)
TITLE = "Learning curves: what one training has reached after so many epochs"


@pytest.fixture
def project(pytester, plugin_cache):
    return Project(pytester, plugin_cache, CURVED)


def test_a_suite_with_epochs_has_curves_in_its_records_and_its_table(project):
    outcome, results = project.results("-n", "0")
    outcome.assert_outcomes(passed=3)
    curves = {cell["method"]: cell["curve"] for cell in results["cells"]}
    assert curves.pop("base") == []
    for cell in results["cells"]:
        if cell["method"] != "base":
            points = cell["curve"]
            assert [point["epoch"] for point in points] == [1, 2, 3]
            assert points[-1]["scores"] == cell["scores"]
            assert points[-1]["seconds"] == cell["train"]["seconds"]
    assert set(curves) == {"nopeft", "lora"}
    outcome.stdout.fnmatch_lines(
        [
            "*Transfer*",
            TITLE,
            "Model Method r*ep 0*ep 1*ep 2*ep 3",
            "Trained on ARC, tested on ARC: F1 ?",
            "nano  NoPeft*",
            "nano  LoRA *",
            "Trained on ARC: training loss ?",
            "Trained on ARC: training seconds",
        ]
    )


def test_snapshots_are_told_in_whole_lines_and_not_answered_twice(pytester, tmp_path):
    project = Project(pytester, tmp_path / "fresh", CURVED)
    lines = ["ftbench: nano-lora-r2-arc-to-arc: epoch 1 of 3 answered", "ftbench: *-to-arc: epoch 2 of 3 answered"]
    project.run("-k", "lora").stdout.fnmatch_lines(lines)
    project.run("-k", "lora").stdout.no_fnmatch_line("ftbench: *")


def test_stored_curves_are_rendered_as_they_were(project):
    project.results()
    path = project.pytester.path / "results.json"
    shown = [line.rstrip() for line in project.run("--ftbench-from", path).outlines]
    assert TITLE in shown
    for line in render(read_results(path), width=80):
        assert line.rstrip() in shown


def test_stored_curves_that_are_none_are_one_sentence(project):
    path = project.pytester.path / "broken.json"
    cell = '{"id": "a", "model": "m", "method": "lora", "eval_task": "arc", "curve": [7]}'
    path.write_text(f'{{"schema": 1, "cells": [{cell}]}}')
    outcome = project.run("--ftbench-from", path)
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines(["ERROR: *broken.json: a: 'curve[[]0]' is no object; *"])


def test_an_epoch_that_is_not_trained_is_one_sentence_at_collection(project):
    project.write(CURVED.replace("epochs = [1, 2]", "epochs = [1, 30]"))
    outcome = project.run("--collect-only")
    outcome.stdout.fnmatch_lines(["*evaluation.epochs: names epoch 30, but nopeft trains for 3; name none beyond it*"])


def test_two_workers_give_the_same_curves_from_scratch(pytester, tmp_path, project):
    _, alone = project.results()
    outcome, together = Project(pytester, tmp_path / "fresh", CURVED).results("-n", "2", new_process=True)
    outcome.assert_outcomes(passed=3)
    outcome.stdout.fnmatch_lines([TITLE])
    assert untimed(together) == untimed(alone)

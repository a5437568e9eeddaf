"""Tuned recipes from the command line: swept once whoever works, nothing twice, and told in records and tables."""

import copy
import json
import os
import re
import signal
import subprocess
import sys

import pytest
from plugin_project import SUITE, Project, import_libraries, untimed

pytestmark = pytest.mark.torch

# one way to tune, tested on one task, with two seeds
TUNED = (
    SUITE.replace('["arc", "squad"]', '["arc"]')
    .replace("lora = { ranks = [2] }\n", "")
    .replace("[recipe]", "[sweep]\ntrials = 3\nextensions = 1\nvalidation_samples = 20\n[recipe]")
)
TUNE = ("--ftbench-recipe", "tuned", "--ftbench-seeds", "2")
CELLS = 1 + 2


@pytest.fixture
def project(pytester, plugin_cache):
    return Project(pytester, plugin_cache, TUNED)


def steady(results):
    """The cells without what a second measurement may change."""
    cells = copy.deepcopy(untimed(results))
    for cell in cells.values():
        sweep = cell["provenance"]["sweep"]
        if sweep is not None:
            assert sweep.pop("seconds") > 0
    return cells


def trials(lines):
    """The trials that lines of progress say were made, each by its way and rate."""
    return re.findall(r"(\S+): trial \d+ of \d+: rate (\S+): validation", "\n".join(lines))


def test_the_option_tunes_and_records_and_table_tell_of_it(project):
    outcome, results = project.results(*TUNE, "-n", "0")
    outcome.assert_outcomes(passed=CELLS)
    sweeps = [cell["provenance"]["sweep"] for cell in results["cells"] if cell["train"]]
    assert len(sweeps) == 2
    assert sweeps[0] == sweeps[1]
    for cell in results["cells"]:
        if cell["train"]:
            assert cell["train"]["learning_rate"] == sweeps[0]["chosen"]
            assert cell["provenance"]["recipe"]["name"] == "tuned"
    outcome.stdout.fnmatch_lines(
        ["*Cost of training*", "Learning rates tried*", "*Trials*Seconds*Tokens*", "*Transfer*"]
    )
    again, same = project.results(*TUNE, "-n", "0")
    assert same["cells"] == results["cells"]
    again.stdout.no_fnmatch_line("ftbench: *")


def test_published_is_the_suites_own_recipe(project):
    project.write(TUNED.replace("[recipe]", '[recipe]\nname = "tuned"'))
    plain = project.results("--ftbench-recipe", "published", "-k", "nopeft")[1]
    project.write(TUNED)
    own = project.results("-k", "nopeft")[1]
    assert plain["cells"] == own["cells"]
    assert own["cells"][0]["provenance"]["sweep"] is None
    assert own["cells"][0]["train"]["learning_rate"] == 5e-3


def test_two_workers_share_the_trials_and_come_to_the_same(pytester, tmp_path, project):
    _, alone = project.results(*TUNE, "-n", "0")
    fresh = Project(pytester, tmp_path / "fresh", TUNED)
    outcome, shared = fresh.results(*TUNE, "-n", "2", new_process=True)
    outcome.assert_outcomes(passed=CELLS)
    assert steady(shared) == steady(alone)
    made = trials(outcome.outlines)
    assert len(made) == len(set(made)) == shared["cells"][-1]["provenance"]["sweep"]["trials"]
    again = fresh.run(*TUNE, "-n", "2", new_process=True)
    assert trials(again.outlines) == []
    assert not any("training on" in line for line in again.outlines)


PIDS = """
import os, pathlib
if "PYTEST_XDIST_WORKER" in os.environ:
    pathlib.Path(os.environ["PYTEST_XDIST_WORKER"] + ".pid").write_text(str(os.getpid()))
"""


def test_killed_in_mid_sweep_the_next_run_makes_only_what_is_missing(pytester, tmp_path, project):
    import_libraries()
    _, alone = project.results(*TUNE, "-n", "0")
    killed = Project(pytester, tmp_path / "killed", TUNED)
    pytester.makeconftest(PIDS)
    options = ("-p", "no:cacheprovider", "--ftbench-suite", "suite.toml", "--ftbench-cache", str(killed.cache))
    command = [sys.executable, "-m", "pytest", *options, *TUNE, "-n", "1", "--maxfail", "1"]
    lines = []
    with subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.PIPE, text=True) as run:
        for line in run.stdout:
            lines.append(line.rstrip())
            if (made := re.search(r"\[(gw\d+)\]: \S+: trial 1 of", line)) and "validation" in line:
                os.kill(int((pytester.path / f"{made[1]}.pid").read_text()), signal.SIGKILL)
    before = trials(lines)
    assert len(before) >= 1
    outcome, results = killed.results(*TUNE, "-n", "0")
    outcome.assert_outcomes(passed=CELLS)
    assert not set(before) & set(trials(outcome.outlines))
    assert steady(results) == steady(alone)
    assert json.dumps(results)


def test_a_sweep_that_cant_be_made_is_one_sentence_at_collection(project):
    project.write(TUNED.replace("[sweep]", "[sweep]\nseed = 1"))
    outcome = project.run(*TUNE)
    assert outcome.ret == pytest.ExitCode.INTERRUPTED
    outcome.stdout.fnmatch_lines(["*sweep.seed: is 1, a seed that is tested with; give another, or remove the key.*"])
    outcome.stdout.no_fnmatch_line("*Traceback*")

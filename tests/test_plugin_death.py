"""A worker that is killed amid a training costs that checkpoint's cells, and the next run completes them."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from plugin_project import SUITE, Project, import_libraries, untimed

pytestmark = pytest.mark.torch

# trainings long enough to be met alive, and only one of each method
LONG = SUITE.replace("learning_rate", "num_train_epochs = 15\nlearning_rate").replace(
    'train = ["arc", "squad"]', 'train = ["arc"]'
)
CELLS = 2 + 2 * 2
PIDS = """
import os, pathlib
if "PYTEST_XDIST_WORKER" in os.environ:
    pathlib.Path(os.environ["PYTEST_XDIST_WORKER"] + ".pid").write_text(str(os.getpid()))
"""


def run_and_kill(project, *arguments):
    """The output of a run, a worker of which is killed as soon as it says that it trains."""
    options = ("-p", "no:cacheprovider", "--ftbench-suite", "suite.toml", "--ftbench-cache", str(project.cache))
    command = [sys.executable, "-m", "pytest", *options, *arguments]
    lines, killed = [], None
    with subprocess.Popen(command, cwd=project.pytester.path, stdout=subprocess.PIPE, text=True) as run:
        for line in run.stdout:
            lines.append(line.rstrip())
            if killed is None and (training := re.search(r"\[(gw\d+)\]: (\S+): training on", line)):
                killed = training[2]
                os.kill(int((project.pytester.path / f"{training[1]}.pid").read_text()), signal.SIGKILL)
    return run.returncode, lines, killed


def test_killed_in_mid_training_it_costs_the_cells_of_one_checkpoint_and_the_next_run_completes(pytester, tmp_path):
    import_libraries()
    project = Project(pytester, tmp_path / "disturbed", suite=LONG)
    pytester.makeconftest(PIDS)
    path = pytester.path / "results.json"
    code, lines, killed = run_and_kill(project, "-n", "2", "--ftbench-json", str(path))
    assert code == pytest.ExitCode.TESTS_FAILED
    assert f"1 failed, {CELLS - 2} passed" in lines[-1]
    assert "1 error" in lines[-1]
    cells = {cell["id"]: cell for cell in json.loads(path.read_text())["cells"]}
    assert len(cells) == CELLS
    failed, other = [cell for cell in cells.values() if cell["status"] == "failed"]
    assert failed["id"].startswith(killed)
    assert other["id"].startswith(killed)
    assert "crashed while running" in failed["error"]
    # what has killed one worker would kill the next
    assert "isn't tried again" in other["error"]
    assert any(failed["id"] in line and "crashed" in line for line in lines)

    outcome, completed = project.results("-n", "2", new_process=True)
    outcome.assert_outcomes(passed=CELLS)
    trained = [line for line in outcome.outlines if "training on" in line]
    assert len(trained) <= 1
    _, undisturbed = Project(pytester, tmp_path / "undisturbed", suite=LONG).results()
    assert untimed(completed) == untimed(undisturbed)

"""A long cell doesn't fall silent, wherever it runs, and its lines are whole and no results."""

import pytest

pytestmark = pytest.mark.torch

SLOW = """
import time
from pytest_ftbench import progress
from pytest_ftbench.ml.workbench import Workbench

progress.SECONDS_OF_SILENCE = 0.5
measure = Workbench.measure

def measure_slowly(self, cell):
    self.doing(f"{cell.id}: something long")
    time.sleep(1.3)
    return measure(self, cell)

Workbench.measure = measure_slowly
"""


@pytest.mark.parametrize(("workers", "prefix"), [("0", "ftbench"), ("2", r"ftbench [[]gw?[]]")])
def test_a_silence_is_broken_by_saying_what_is_done_and_for_how_long(project, workers, prefix):
    project.pytester.makeconftest(SLOW)
    outcome = project.run("-n", workers, "-k", "base-to-arc", new_process=True)
    outcome.assert_outcomes(passed=1)
    line = f"{prefix}: nano-base-to-arc: something long"
    outcome.stdout.fnmatch_lines([f"{line}, for * s so far", f"{line}, for 1 s so far"])
    assert outcome.ret == pytest.ExitCode.OK

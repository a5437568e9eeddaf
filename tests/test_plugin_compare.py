"""Two commits compared: what a slower decode and a worse checkpoint look like in the table and in the exit code."""

import json

import pytest
from plugin_project import SUITE, Project, import_libraries

pytestmark = pytest.mark.torch

# enough to learn the form, so that there is a score to lose
LEARNS = (
    SUITE.replace("lora = { ranks = [2] }\n", "")
    .replace('train = ["arc", "squad"]', 'train = ["arc"]')
    .replace('eval = ["arc", "squad"]', 'eval = ["arc"]')
    .replace("train_samples = 16", "train_samples = 240")
    .replace("test_samples = 6", "test_samples = 60")
    .replace("5e-3", "1e-3")
)
FORGETS = LEARNS.replace("1e-3", "1e-12")
SLOW = """
import time
from pytest_ftbench.ml.generate import Decoder

make = Decoder.__init__

def make_slow(self, model, *arguments):
    make(self, model, *arguments)
    model.register_forward_pre_hook(lambda *_: time.sleep(0.02))

Decoder.__init__ = make_slow
"""
# a busy machine doubles a time; SLOW takes ten times as long
LIMITS = ("--ftbench-compare-fail=score:10%", "--ftbench-compare-fail=ms_per_token:400%")
TUNED, BASE = "nano-nopeft-arc-to-arc", "nano-base-to-arc"

both = pytest.mark.parametrize("workers", ["0", "2"])


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    import_libraries()
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def stored():
    """The stored runs of the first commit, by how many workers it had."""
    return {}


@pytest.fixture
def first(pytester, cache, stored):
    """A project whose first commit was run and stored with as many workers as asked for."""

    def store(workers):
        project, folder = Project(pytester, cache, suite=LEARNS), pytester.path / ".benchmarks"
        if workers in stored:
            place, content = stored[workers]
            (folder / place).parent.mkdir(parents=True)
            (folder / place).write_text(content)
        else:
            project.run("-n", workers, "--benchmark-save=first", new_process=True).assert_outcomes(passed=2)
            (saved,) = folder.rglob("*.json")
            stored[workers] = saved.relative_to(folder), saved.read_text()
        return project

    return store


def compared(project, workers, *options):
    return project.run("-n", workers, "--benchmark-compare=0001", *options, new_process=True, columns=160)


def change_of(outcome, row):
    """The line of a row in the comparison's table."""
    lines = outcome.outlines
    start = next(index for index, line in enumerate(lines) if line.startswith("Change against"))
    return next(line.split() for line in lines[start:] if line.startswith(f"nano  {row}"))


@both
def test_the_same_commit_passes(first, workers):
    outcome = compared(first(workers), workers, *LIMITS, "--benchmark-compare-fail=median:400%")
    assert outcome.ret == pytest.ExitCode.OK
    for row in ("NoPeft", "Base"):
        assert "+0.000" in change_of(outcome, row)


@both
def test_a_slower_decode_is_seen_and_fails_the_run(first, workers):
    project = first(workers)
    project.pytester.makeconftest(SLOW)
    outcome = compared(project, workers, *LIMITS)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    for row in ("NoPeft", "Base"):
        assert "+0.000" in change_of(outcome, row)
        ms_per_token = change_of(outcome, row)[-5]
        assert float(ms_per_token) > 400
    outcome.stdout.fnmatch_lines_random([f"{TUNED}: ms per token rose from *", f"{BASE}: ms per token rose from *"])
    outcome.stdout.no_fnmatch_line("*score* fell from*")
    assert compared(project, workers, "--benchmark-compare-fail=median:400%").ret != pytest.ExitCode.OK


@both
def test_a_worse_checkpoint_is_seen_and_fails_the_run(first, workers):
    project = first(workers)
    project.write(FORGETS)
    outcome = compared(project, workers, *LIMITS)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    outcome.stdout.fnmatch_lines([f"{TUNED}: score (F1) was 0.*INVALID now and not then, which breaks score:10%."])
    outcome.stdout.no_fnmatch_line("*ms per token rose*")
    assert {"INVALID", "was", "ok"} <= set(change_of(outcome, "NoPeft"))
    assert "+0.000" in change_of(outcome, "Base")
    # its latency alone would have passed
    assert compared(project, workers, "--benchmark-compare-fail=median:400%").ret == pytest.ExitCode.OK


def test_other_items_workers_and_absent_cells_are_said_and_not_compared(first):
    project = first("0")
    outcome = compared(project, "2", "--ftbench-samples", "30", "-k", "nopeft")
    assert outcome.ret == pytest.ExitCode.OK
    assert {"items", "workers"} <= set(change_of(outcome, "NoPeft"))
    outcome.stdout.fnmatch_lines(
        ["items: 60 test items then, 30 now; score*not compared.", f"Measured in the stored run, not run now: {BASE}."]
    )
    judged = compared(project, "2", "--ftbench-samples", "30", "-k", "nopeft", *LIMITS)
    assert judged.ret == pytest.ExitCode.TESTS_FAILED
    judged.stdout.fnmatch_lines([f"{TUNED}: *can't be judged by score:10%*"])
    stored = next((project.pytester.path / ".benchmarks").rglob("*.json"))
    content = json.loads(stored.read_text())
    content["benchmarks"] = [each for each in content["benchmarks"] if each["param"] == BASE]
    stored.write_text(json.dumps(content))
    compared(project, "0").stdout.fnmatch_lines([f"Not measured in the stored run: {TUNED}."])


def test_without_a_stored_run_it_is_said_and_no_limit_holds(first):
    project = first("0")
    outcome = project.run("-k", "base", "--benchmark-compare=0009", *LIMITS, new_process=True)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    outcome.stdout.fnmatch_lines(["Change against a stored run, but none with cells was found for 0009*"])


def test_where_no_cell_is_run_no_limit_holds(first):
    project = first("0")
    project.pytester.makepyfile(test_other="def test_other(): pass")
    outcome = compared(project, "0", "-k", "other", *LIMITS)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    outcome.stdout.fnmatch_lines(["Measured in the stored run, not run now: *"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ftbench-compare-fail=score:5%", "--benchmark-compare", "--ftbench-from=x.json"], "runs none"),
        (["--ftbench-compare-fail=score:5%", "-p", "no:benchmark"], "pytest-benchmark, which isn't there"),
        (["--ftbench-compare-fail=score:5%"], "has nothing to compare with; add --benchmark-compare"),
        (["--ftbench-compare-fail=speed:5", "--benchmark-compare"], "speed"),
        (["--ftbench-compare-fail=score", "--benchmark-compare"], "score"),
    ],
)
def test_a_limit_that_cant_be_meant_is_one_sentence(pytester, cache, options, words):
    outcome = Project(pytester, cache, suite=LEARNS).run(*options)
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines([f"ERROR: --ftbench-compare-fail*{words}*"])

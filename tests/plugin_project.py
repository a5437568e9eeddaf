"""A user's project in a pytester folder: a suite file, a test module, and runs of pytest on them."""

import gc
import importlib
import json

SUITE = """
[models]
nano = "embedded:nano"

[methods]
base = {}
nopeft = {}
lora = { ranks = [2] }

[tasks]
train = ["arc", "squad"]
eval = ["arc", "squad"]

[data]
train_samples = 16
test_samples = 6

[recipe]
learning_rate = 5e-3

[evaluation]
max_new_tokens = 8
batch_size = 6
reasoning = "off"
latency_prompts = 3
latency_warmup = 1
"""
CELLS = 2 + 2 * 2 * 2
TIMED = ("V05", "V07", "V16")
TEST = """
def test_cell(result):
    assert result.complete
"""


# trl itself imports hardly anything
LIBRARIES = ("torch", "transformers", "datasets", "peft", "trl.trainer.sft_trainer", "scipy.stats", "scipy.optimize")
OURS = ("collection", "gatekeeper", "github_actions", "terminal", "ml.workbench", "report.html", "report.markdown")


def import_libraries():
    """Import what cells need before pytester takes note of what is imported: it would have all of it imported twice.

    What is there by then is no garbage either: nothing needs look for some in it at the end of each run.
    """
    for name in (*LIBRARIES, *(f"pytest_ftbench.{name}" for name in OURS)):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


class Project:
    """A folder with ``suite.toml`` and ``test_cells.py``, whose runs share a cache."""

    def __init__(self, pytester, cache, suite=SUITE, test=TEST):
        self.pytester = pytester
        self.cache = cache
        self.write(suite)
        pytester.makepyfile(test_cells=test)
        pytester.makeini("[pytest]\n")

    def write(self, suite):
        (self.pytester.path / "suite.toml").write_text(suite, encoding="utf-8")

    def run(self, *arguments, suite="suite.toml", new_process=False, columns=80):
        """The outcome of pytest with these arguments; only what needs a process of its own gets one."""
        self.pytester._monkeypatch.setenv("COLUMNS", str(columns))
        run = self.pytester.runpytest_subprocess if new_process else self.pytester.runpytest_inprocess
        chosen = () if suite is None else ("--ftbench-suite", suite)
        # hypothesis is slow to import, and pytester forgets what it imported
        quick = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
        return run(*quick, "--ftbench-cache", self.cache, *chosen, *arguments)

    def collect(self, *arguments, **options):
        """The ids of the cells that pytest would run."""
        lines = self.run("--collect-only", "-q", *arguments, **options).outlines
        return [line.partition("[")[2].rstrip("]") for line in lines if line.startswith("test_cells.py::")]

    def results(self, *arguments, **options):
        """What a run writes with --ftbench-json."""
        path = self.pytester.path / "results.json"
        outcome = self.run("--ftbench-json", path, *arguments, **options)
        return outcome, json.loads(path.read_text(encoding="utf-8"))


def untimed(results):
    """The cells of a results file by id, without what a second measurement may change."""
    cells = {}
    for cell in results["cells"]:
        train = {key: value for key, value in (cell["train"] or {}).items() if key != "seconds"}
        curve = [{**point, "seconds": None} for point in cell["curve"]]
        # how many answers were timed, and how long they were, no second measurement changes
        timed = {key: cell["latency_s"].get(key) for key in ("n", "tokens", "threads", "exclusive")}
        flags = [code for code in cell["flags"] if code not in TIMED]
        rest = {"latency_s": timed, "memory_gib": None, "train": train, "curve": curve, "flags": flags}
        cells[cell["id"]] = {**cell, **rest}
    return cells

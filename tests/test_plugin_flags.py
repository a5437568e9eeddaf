"""A run's results hold the flags of its cells and the thresholds of its suite, with and without workers."""

import pytest
from plugin_project import Project, import_libraries

import_libraries()
pytest_plugins = ["pytester"]

SUITE = """
[models]
nano = "embedded:nano"

[methods]
base = {}

[tasks]
eval = ["arc", "openmath"]

[data]
test_samples = 12

[evaluation]
max_new_tokens = 4
reasoning = "off"
latency_prompts = 0

[checks]
truncated_rate = 0.0
off = ["V03"]
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_flags_and_thresholds_are_in_the_results(pytester, tmp_path, workers):
    project = Project(pytester, tmp_path, SUITE)
    outcome, results = project.results("-n", workers, columns=100)
    assert outcome.ret == 0
    assert results["provenance"]["checks"]["off"] == ["V03"]
    assert results["provenance"]["checks"]["truncated_rate"] == 0
    flags = {cell["id"]: cell["flags"] for cell in results["cells"]}
    cut = [cell["id"] for cell in results["cells"] if cell["truncated_rate"] > 0]
    assert cut  # a box and its number take more than four tokens
    assert all("V04" in flags[name] for name in cut)
    assert not any("V03" in codes for codes in flags.values())
    outcome.stdout.fnmatch_lines(["V04: *cut off at the token limit*"])
    again = project.run("--ftbench-from", "results.json", suite=None, columns=100)
    assert [line for line in outcome.outlines if "V04" in line] == [line for line in again.outlines if "V04" in line]

"""Memory that runs out on a GPU: the cell fails by its class, and the next one has all of it back.

Skipped where there is none.
"""

import gc

import pytest
from plugin_project import SUITE, Project

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]

ONE_TASK = SUITE.replace('["arc", "squad"]', '["arc"]')
LIMITED = """
import pytest, torch

@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    if "nopeft" not in item.name:
        return (yield)
    held = torch.cuda.memory_reserved() + 12 * 2**20
    torch.cuda.set_per_process_memory_fraction(held / torch.cuda.get_device_properties(0).total_memory)
    try:
        return (yield)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
"""


def test_out_of_memory_on_a_gpu_is_one_failed_cell_and_gives_all_back(pytester, plugin_cache):
    project = Project(pytester, plugin_cache, suite=ONE_TASK)
    pytester.makeconftest(LIMITED)
    before = torch.cuda.memory_allocated()
    outcome, results = project.results("--ftbench-device", "cuda", columns=300)
    outcome.assert_outcomes(errors=1, passed=2)
    (failed,) = [cell for cell in results["cells"] if cell["status"] == "failed"]
    assert failed["failure"]["class"] == "out-of-memory"
    assert "use lora" in failed["failure"]["advice"]
    gc.collect()
    assert torch.cuda.memory_allocated() <= before + 2**20
    print(f"1 shortage on a GPU: 1 cell failed, 2 passed; {failed['failure']['advice']!r}")

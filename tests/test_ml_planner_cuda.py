"""Planned trainings on a GPU, graphed ones too: the same bytes each time, and the declared way's losses.

Skipped where there is none.
"""

from dataclasses import replace

import pytest
from models import bytes_in, make_examples, make_folder, tune
from test_ml_planner import METHODS, PUBLISHED, apart, prepared

from pytest_ftbench.ml.runtime import Runtime

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]

# 18 rows in steps of 8 are 3 an epoch: enough epochs for graphs
LONG = replace(PUBLISHED, num_train_epochs=12)
NEAR = {"float32": 1e-5, "bfloat16": 5e-3}  # the rate is so high that losses fall by a third


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def place(request, tmp_path_factory):
    """A model's folder, rows of many lengths for it, the runtime."""
    folder = tmp_path_factory.mktemp(request.param)
    make_folder(folder, request.param)
    rows = [example for task in ("arc", "squad", "openmath") for example in make_examples(folder, task, count=6)]
    return folder, rows, Runtime.choose("cuda", request.param)


@pytest.mark.parametrize("method", METHODS)
def test_a_plan_gives_the_same_bytes_again_and_the_declared_losses(place, method, tmp_path):
    folder, rows, runtime = place
    # each its own, for AdaLoRA writes into its configuration
    first, again = (tune(folder, runtime, tmp_path / name, prepared(rows, method, LONG)) for name in ("first", "again"))
    slow = tune(folder, runtime, tmp_path / "slow", replace(prepared(rows, method, LONG), planning="off"))
    assert first["plan"]["layout"] == "packed", first["plan"]["why"]
    assert first["plan"]["graphed"] == (runtime.dtype == "bfloat16" and method != "adalora"), first["plan"]["why"]
    assert first["losses"] == again["losses"]
    assert bytes_in(tmp_path / "first") == bytes_in(tmp_path / "again")
    assert apart(first, slow) <= NEAR[runtime.dtype]

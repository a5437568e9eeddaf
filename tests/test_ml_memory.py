"""Memory is measured phase by phase, and what a phase took is given back."""

import gc
from dataclasses import replace

import pytest

from pytest_ftbench.grid import DataSpec, EvaluationSpec, MethodSpec, ModelSpec, Suite
from pytest_ftbench.ml.memory import free, peak_memory, resident_level
from pytest_ftbench.ml.workbench import Workbench
from pytest_ftbench.store import Store

pytestmark = pytest.mark.torch

MIB = 1 / 1024  # of a GiB


def test_on_a_cpu_the_peak_is_what_the_process_grew_by_and_no_earlier_one(runtime):
    import torch

    level = resident_level(runtime)
    torch.ones(100, 2**18)  # 100 MiB, before
    held = torch.ones(32, 2**18)
    with peak_memory(runtime, level) as peak:
        large = torch.ones(32, 2**18)
        del large
        small = torch.ones(1, 2**18)
        found = peak()
    assert held.sum() == 32 * small.sum()
    assert found["allocated"] is found["reserved"] is None
    assert 60 * MIB < found["process"] < 90 * MIB


def test_where_the_system_says_nothing_the_peak_is_unknown(runtime, monkeypatch):
    from pathlib import Path

    def refused(*_, **__):
        raise PermissionError

    monkeypatch.setattr(Path, "write_text", refused)
    with peak_memory(runtime, resident_level(runtime)) as peak:
        assert peak() == {"allocated": None, "reserved": None, "process": None}


def alive():
    """How many modules and how many numbers in tensors there are."""
    import torch

    gc.collect()
    found = gc.get_objects()
    tensors = {id(thing): thing.numel() for thing in found if type(thing) in (torch.Tensor, torch.nn.Parameter)}
    # by their type: some objects of torch's warn where they are asked for their class
    return sum(issubclass(type(thing), torch.nn.Module) for thing in found), sum(tensors.values())


@pytest.mark.parametrize(
    ("method", "quantization"),
    [
        (MethodSpec("nopeft"), None),
        (MethodSpec("vera", (2,)), None),
        (MethodSpec("adalora", (2,)), None),
        (MethodSpec("qlora", (2,), train_quantization="nf4"), "nf4"),
        (MethodSpec("lora", (2,)), "int8"),
    ],
    ids=lambda param: getattr(param, "name", param),
)
def test_after_a_cell_nothing_of_it_is_left(method, quantization, runtime, tmp_path):
    suite = Suite(
        name="mine",
        place=tmp_path / "mine.toml",
        models=(ModelSpec("nano", "embedded:nano"),),
        methods=(method,),
        train_tasks=("arc",),
        eval_tasks=("arc",),
        quantizations=(quantization,),
        data=DataSpec(train_samples=24, test_samples=2),
        evaluation=EvaluationSpec(max_new_tokens=4, latency_prompts=1, latency_warmup=0, reasoning="off"),
        device="cpu",
    )
    bench = Workbench(suite, Store(tmp_path / "first"), runtime, lambda _: None)
    [cell] = suite.cells()
    bench.measure(cell)  # the libraries' own caches are filled once
    bench.close()
    before = alive()
    again = Workbench(replace(suite), Store(tmp_path / "again"), runtime, lambda _: None)
    again.measure(cell)
    assert alive() > before  # its model stands ready for the next cell of its checkpoint
    again.close()
    free(runtime)
    assert alive() == before

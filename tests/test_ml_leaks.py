"""Nothing outlives a cell: what it sets in the libraries and in the process is as before, after a failure as well."""

import os
import random
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from models import FAST, make_examples, training_of, tune

from pytest_ftbench.grid import DataSpec, EvaluationSpec, MethodSpec, ModelSpec, Suite, UserError
from pytest_ftbench.ml.runtime import Runtime, _on_threads, _show_only, quiet_libraries
from pytest_ftbench.ml.train import _deterministic
from pytest_ftbench.ml.workbench import Workbench
from pytest_ftbench.store import Store

pytestmark = pytest.mark.torch


def state():
    """All that a user of the process might notice."""
    import logging

    import datasets
    import torch
    import transformers
    from huggingface_hub.utils import are_progress_bars_disabled

    return {
        "random states": (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()),
        "transformers": transformers.logging.get_verbosity(),
        "datasets": datasets.logging.get_verbosity(),
        "bars of transformers": transformers.logging.is_progress_bar_enabled(),
        "bars of datasets": not datasets.utils.are_progress_bars_disabled(),
        "bars of the hub": not are_progress_bars_disabled(),
        "threads": torch.get_num_threads(),
        "deterministic": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        "dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "warnings": list(warnings.filters),
        "showwarning": warnings.showwarning,
        "environment": {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        "folder": Path.cwd(),
        "loggers": [(logger.level, list(logger.handlers)) for logger in (logging.root, logging.getLogger("trl"))],
    }


def set_up(bars, verbosity, threads, deterministic):
    """Put the libraries into a state of the user's choice."""
    import torch
    import transformers
    from datasets import utils as datasets_bars
    from huggingface_hub import utils as hub_bars

    of_transformers, of_datasets, of_hub = bars
    (transformers.logging.enable_progress_bar if of_transformers else transformers.logging.disable_progress_bar)()
    (datasets_bars.enable_progress_bars if of_datasets else datasets_bars.disable_progress_bars)()
    (hub_bars.enable_progress_bars if of_hub else hub_bars.disable_progress_bars)()
    transformers.logging.set_verbosity(verbosity)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(*deterministic[:1], warn_only=deterministic[1])


USERS = {
    "default": ((True, True, True), 30, 2, (False, False)),
    "silent": ((False, False, False), 40, 1, (True, True)),
    "bars of the hub alone": ((False, False, True), 20, 2, (True, False)),
    "all bars but those of the hub": ((True, True, False), 10, 1, (False, False)),
}


@pytest.fixture(params=USERS)
def user(request):
    """The state a user left the libraries in."""
    before = state()
    set_up(*USERS[request.param])
    yield state()
    bars = tuple(before[f"bars of {library}"] for library in ("transformers", "datasets", "the hub"))
    set_up(bars, before["transformers"], before["threads"], before["deterministic"])


@pytest.fixture(scope="module")
def suite(model_folder):
    return Suite(
        name="tiny",
        place=Path("tiny.toml"),
        models=(ModelSpec("tiny", str(model_folder)),),
        methods=(MethodSpec("base"), MethodSpec("nopeft"), MethodSpec("lora", (2,))),
        train_tasks=("arc",),
        eval_tasks=("arc",),
        recipe=FAST,
        data=DataSpec("embedded", 4, 2),
        evaluation=EvaluationSpec(4, batch_size=2, latency_prompts=1, latency_warmup=0),
    )


def test_measuring_cells_leaves_everything_as_it_was(user, suite, runtime, tmp_path):
    bench = Workbench(suite, Store(tmp_path), runtime, lambda line: None)
    for cell in suite.cells():
        assert bench.measure(cell).ok
        assert state() == user, cell.id
    bench.close()
    assert state() == user


def test_a_training_that_fails_leaves_everything_as_it_was(user, suite, runtime, tmp_path):
    diverging = replace(suite, recipe=replace(FAST, learning_rate=1e30, num_train_epochs=4))
    bench = Workbench(diverging, Store(tmp_path), runtime, lambda line: None)
    with pytest.raises(UserError, match="training step"):
        bench.measure(suite.cells()[2])
    assert state() == user


def test_what_is_silenced_is_silent_inside_and_as_before_after_an_error(user):
    class BoomError(Exception):
        pass

    def inside():
        with quiet_libraries(), _on_threads(1):
            now = state()
            assert (now["transformers"], now["bars of transformers"], now["bars of datasets"]) == (40, False, False)
            assert now["bars of the hub"] is False
            assert now["threads"] == 1 or os.cpu_count() > 2
            warnings.warn("of a library", FutureWarning, stacklevel=1)
            raise BoomError

    with pytest.raises(BoomError):
        inside()
    assert state() == user


def test_deterministic_kernels_are_chosen_for_cuda_and_not_beyond_a_training(user):
    def inside():
        with _deterministic(Runtime("cuda", "bfloat16", "a chip", 1)):
            assert state()["deterministic"] == (True, True)
            raise UserError("training step 1", "the loss is nan", "lower the learning rate")

    with pytest.raises(UserError):
        inside()
    assert state() == user


def test_a_training_prints_nothing(model_folder, runtime, tmp_path, capfd):
    said = []
    for method, rank in (("nopeft", None), ("lora", 2)):
        training = training_of(make_examples(model_folder, count=4), method, rank)
        tune(model_folder, runtime, tmp_path / method, training, said.append)
    assert capfd.readouterr() == ("", "")
    assert said == []


def test_a_long_training_says_how_far_it_is(model_folder, runtime, tmp_path, monkeypatch):

    said = []
    monkeypatch.setattr("pytest_ftbench.ml.countdown._SECONDS_BETWEEN_LINES", 0.0)
    tune(model_folder, runtime, tmp_path / "out", training_of(make_examples(model_folder, count=8)), said.append)
    assert [line.partition(", loss")[0] for line in said] == ["step 1 of 2", "step 2 of 2"]
    assert said[1].endswith("about 0 s left")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:-1", "CPU", ""])
def test_a_device_there_is_not_is_a_sentence(device):
    with pytest.raises(UserError, match=rf"^device: is '{device}'; give auto, cpu, cuda or cuda:N\.$"):
        Runtime.choose(device, "auto")


def test_the_processor_computes_in_float32_unless_told_otherwise(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (Runtime.choose("auto", "auto").device, Runtime.choose("cpu", "auto").dtype) == ("cpu", "float32")
    assert Runtime.choose("cpu", "bfloat16").torch_dtype is torch.bfloat16
    with pytest.raises(UserError, match="torch finds no CUDA device"):
        Runtime.choose("cuda", "auto")


@pytest.mark.parametrize(
    ("visible", "device", "left"), [(None, "cuda:1", "1"), ("5,6", "cuda:1", "6"), ("GPU-a,GPU-b", "cuda:0", "GPU-a")]
)
def test_a_numbered_device_is_one_of_those_this_process_may_use(monkeypatch, visible, device, left):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    _show_only(int(device.partition(":")[2]))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == left


def test_a_number_beyond_those_devices_is_a_sentence(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
    with pytest.raises(UserError, match=r"^device: is cuda:2 but 2 can be seen; give a lower number\.$"):
        _show_only(2)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5,6"

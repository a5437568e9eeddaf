"""Snapshots: they change no bit of the training, hold what it was at their epoch, and take none of its time."""

import json
import statistics
import time
from dataclasses import replace

import pytest
from models import FAST, make_examples, training_of, tune
from safetensors.torch import load_file

from pytest_ftbench.grid import UserError
from pytest_ftbench.ml import snapshots as module
from pytest_ftbench.ml.snapshots import Stopwatch

pytestmark = pytest.mark.torch

METHODS = [("nopeft", None), ("lora", 4)]
WEIGHTS = {"nopeft": "model.safetensors", "lora": "adapter_model.safetensors"}
# the cosine and its warm-up would differ were the training told another length
RECIPE = replace(FAST, num_train_epochs=4, lr_scheduler_type="cosine", warmup_ratio=0.2, gradient_checkpointing=True)
EPOCHS, STEPS_PER_EPOCH = (1, 3), 3


@pytest.fixture(scope="module")
def rows(model_folder):
    return make_examples(model_folder)


@pytest.fixture(scope="module")
def run(model_folder, runtime, tmp_path_factory, rows):
    """Trains on the dozen rows with snapshots after some epochs; the folder and the facts."""

    def train(method, rank, epochs, recipe=RECIPE, dtype="float32"):
        out = tmp_path_factory.mktemp("runs") / "run"
        training = replace(training_of(rows, method, rank, recipe), snapshots=epochs)
        return out, tune(model_folder, replace(runtime, dtype=dtype), out, training)

    return train


@pytest.fixture(scope="module", params=METHODS, ids=["nopeft", "lora"])
def both(request, run):
    """A method, and the same training without and with snapshots."""
    method, rank = request.param
    return method, run(method, rank, ()), run(method, rank, EPOCHS)


def files(folder):
    """The content of a checkpoint's own files by name, without its snapshots."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_training_ends_in_the_same_bytes_with_and_without_snapshots(both):
    method, (plain, without), (kept, with_them) = both
    assert WEIGHTS[method] in files(plain)
    assert files(kept) == files(plain)
    assert with_them["losses"] == without["losses"]


def test_a_training_without_snapshots_saves_nothing_else(both):
    _, (plain, facts), _ = both
    assert all(path.is_file() for path in plain.rglob("*"))
    assert [point["epoch"] for point in facts["points"]] == [4]


def test_a_snapshot_has_the_files_of_a_checkpoint_and_weights_of_its_own(both):
    method, _, (kept, _) = both
    assert sorted(path.name for path in kept.iterdir() if path.is_dir()) == ["epoch-1", "epoch-3"]
    weights = {files(kept)[WEIGHTS[method]]}
    for epoch in EPOCHS:
        snapshot = files(kept / f"epoch-{epoch}")
        assert set(snapshot) == set(files(kept))
        # the configuration is that of the end: no cache switched off, no other dtype
        assert {name: snapshot[name] for name in snapshot if name.endswith(".json")} == {
            name: content for name, content in files(kept).items() if name.endswith(".json")
        }
        weights.add(snapshot[WEIGHTS[method]])
    assert len(weights) == 1 + len(EPOCHS)


def test_a_snapshot_is_what_a_training_at_a_constant_rate_ends_in_after_as_many_epochs(run):
    recipe = replace(RECIPE, lr_scheduler_type="constant", warmup_ratio=0.0)
    kept, _ = run("nopeft", None, (2,), recipe)
    shorter, _ = run("nopeft", None, (), replace(recipe, num_train_epochs=2))
    assert files(kept / "epoch-2") == files(shorter)


def test_a_snapshot_uses_the_cache_as_its_base_does(both):
    method, _, (kept, _) = both
    if method == "nopeft":
        config = json.loads((kept / "epoch-1" / "config.json").read_text(encoding="utf-8"))
        assert config["use_cache"] is True


@pytest.mark.parametrize(("method", "rank", "dtype"), [("nopeft", None, "bfloat16"), ("lora", 4, "float32")])
def test_a_snapshot_of_a_base_in_bfloat16_has_the_dtype_that_its_end_has(run, method, rank, dtype):
    kept, _ = run(method, rank, (1,), replace(RECIPE, num_train_epochs=2), dtype="bfloat16")
    for folder in (kept, kept / "epoch-1"):
        tensors = load_file(folder / WEIGHTS[method])
        assert {str(tensor.dtype) for tensor in tensors.values()} == {f"torch.{dtype}"}
    plain, _ = run(method, rank, (), replace(RECIPE, num_train_epochs=2), dtype="bfloat16")
    assert files(plain) == files(kept)


def test_a_point_says_how_far_the_training_was(both):
    _, _, (_, facts) = both
    points = facts["points"]
    assert [(point["epoch"], point["step"]) for point in points] == [(1, 3), (3, 9), (4, 12)]
    for point in points:
        assert type(point["epoch"]) is int
        losses = facts["losses"][: point["step"]][-STEPS_PER_EPOCH:]
        assert point["loss"] == pytest.approx(statistics.fmean(losses))
    seconds = [point["seconds"] for point in points]
    assert 0 < seconds[0] < seconds[1] < seconds[2] == facts["seconds"]


def test_a_training_that_ends_amid_an_epoch_says_so_at_its_end(run):
    kept, facts = run("nopeft", None, (1, 2), replace(RECIPE, num_train_epochs=2.5))
    assert [path.name for path in sorted(kept.glob("epoch-*"))] == ["epoch-1", "epoch-2"]
    assert [point["step"] for point in facts["points"]] == [3, 6, 8]
    end = facts["points"][-1]
    assert 2 < end["epoch"] < 3
    assert end["loss"] == pytest.approx(statistics.fmean(facts["losses"][6:]))


def test_the_time_that_saving_takes_is_none_of_the_trainings(run, monkeypatch):
    save = module.save

    def slow(*arguments):
        time.sleep(0.5)
        save(*arguments)

    monkeypatch.setattr(module, "save", slow)
    start = time.perf_counter()
    _, facts = run("nopeft", None, EPOCHS)
    whole = time.perf_counter() - start
    assert facts["seconds"] <= whole - 2 * 0.5
    assert facts["points"][-1]["seconds"] == facts["seconds"]


def test_a_stopwatch_stands_still_while_it_is_paused_also_where_that_fails(runtime):
    watch = Stopwatch(runtime)

    def fail():
        with watch.paused():
            time.sleep(0.2)
            raise OSError

    with pytest.raises(OSError, match=r"^$"):
        fail()
    assert 0 <= watch.seconds() < 0.2


def test_a_training_that_diverges_after_a_snapshot_is_still_refused(run):
    with pytest.raises(UserError, match="training step"):
        run("nopeft", None, (1, 2, 3), replace(RECIPE, learning_rate=1e30, warmup_ratio=0.9))

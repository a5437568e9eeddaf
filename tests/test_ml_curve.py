"""Learning curves on the workbench: each snapshot answers as a checkpoint does, once, and ends in the record itself."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from models import FAST, at_work, forbid_loading

from pytest_ftbench.grid import CellRecord, DataSpec, EvaluationSpec, MethodSpec, ModelSpec, Suite
from pytest_ftbench.ml import workbench
from pytest_ftbench.ml.base import load_tokenizer, load_weights
from pytest_ftbench.ml.generate import Decoder
from pytest_ftbench.ml.prompts import Renderer
from pytest_ftbench.ml.workbench import Workbench
from pytest_ftbench.store import Store, digest
from pytest_ftbench.tasks import get_task

pytestmark = pytest.mark.torch

ROWS, TEST_ROWS, BUDGET = 12, 5, 6
EPOCHS = (1, 3)
POINT = {"epoch", "step", "seconds", "loss", "scores", "format_rate", "empty_rate", "truncated_rate"}


@pytest.fixture(scope="module")
def suite(model_folder):
    return Suite(
        name="tiny",
        place=Path("tiny.toml"),
        models=(ModelSpec("tiny", str(model_folder)),),
        methods=(MethodSpec("base"), MethodSpec("nopeft"), MethodSpec("lora", (2,), recipe={"num_train_epochs": 3})),
        train_tasks=("arc",),
        eval_tasks=("arc", "squad"),
        recipe=replace(FAST, num_train_epochs=4),
        data=DataSpec("embedded", ROWS, TEST_ROWS),
        evaluation=EvaluationSpec(
            BUDGET, batch_size=3, reasoning="off", latency_prompts=1, latency_warmup=0, epochs=EPOCHS
        ),
    )


class Bench(Workbench):
    """A workbench as a new process would have it, and all it said."""

    def __init__(self, suite, root, runtime, **options):
        self.said = []
        super().__init__(suite, Store(root, self.said.append), runtime, self.said.append, **options)


@pytest.fixture(scope="module")
def first(suite, runtime, tmp_path_factory):
    """The workbench that measured every cell first, and the records by id."""
    bench = Bench(suite, tmp_path_factory.mktemp("cache"), runtime)
    records = {cell.id: bench.measure(cell) for cell in suite.cells()}
    bench.close()
    return bench, records


def without_curves(suite):
    return replace(suite, evaluation=replace(suite.evaluation, epochs=()))


def answered(bench):
    """Which snapshots it says were answered."""
    return [line for line in bench.said if line.endswith(" answered")]


def test_an_untuned_model_has_no_curve(first):
    assert [record.curve for name, record in first[1].items() if "-base-" in name] == [[], []]


@pytest.mark.parametrize(("cell", "epochs"), [("nopeft-arc", [1, 3, 4]), ("lora-r2-arc", [1, 3])])
@pytest.mark.parametrize("task", ["arc", "squad"])
def test_a_curve_ascends_to_the_records_own_scores(first, cell, epochs, task):
    record = first[1][f"tiny-{cell}-to-{task}"]
    assert [point["epoch"] for point in record.curve] == epochs
    assert [point["step"] for point in record.curve] == [3 * epoch for epoch in epochs]
    seconds = [point["seconds"] for point in record.curve]
    assert seconds == sorted(set(seconds))
    end = record.curve[-1]
    assert (end["seconds"], end["step"]) == (record.train["seconds"], record.train["steps"])
    for key in ("scores", "format_rate", "empty_rate", "truncated_rate"):
        assert end[key] == getattr(record, key)
    for point in record.curve:
        assert set(point) == POINT
        assert set(point["scores"]) == set(record.scores)
    value = json.loads(json.dumps(record.to_json(), allow_nan=False))
    assert CellRecord.from_json(value) == record


def test_the_points_of_a_training_are_the_same_whatever_it_is_tested_on(first):
    arc, squad = (first[1][f"tiny-nopeft-arc-to-{task}"].curve for task in ("arc", "squad"))
    for one, other in zip(arc, squad, strict=True):
        assert all(one[key] == other[key] for key in ("epoch", "step", "seconds", "loss"))


def test_a_point_scores_what_its_snapshot_answers(first, suite, runtime):
    bench, records = first
    folder = bench.checkpoint(suite.cells()[2].checkpoint_key).folder / "epoch-1"
    task = get_task("arc")
    rows = bench.rows.test(task)
    with at_work():
        tokenizer = load_tokenizer(bench.base("tiny").folder)
        renderer = Renderer(tokenizer, "off")
        decoder = Decoder(load_weights(folder, runtime), tokenizer, BUDGET)
        answers = decoder.answers([renderer.prompt(task.messages(row)) for row in rows], 3, print)
    scored = task.score([answer.text for answer in answers], rows)
    point = records["tiny-nopeft-arc-to-arc"].curve[0]
    assert (point["scores"], point["format_rate"]) == (scored["scores"], scored["format_rate"])
    assert point["truncated_rate"] == sum(answer.truncated for answer in answers) / TEST_ROWS


def test_whole_lines_tell_which_snapshot_was_answered(first):
    assert answered(first[0]) == [
        "tiny-nopeft-arc-to-arc: epoch 1 of 4 answered",
        "tiny-nopeft-arc-to-arc: epoch 3 of 4 answered",
        "tiny-nopeft-arc-to-squad: epoch 1 of 4 answered",
        "tiny-nopeft-arc-to-squad: epoch 3 of 4 answered",
        "tiny-lora-r2-arc-to-arc: epoch 1 of 3 answered",
        "tiny-lora-r2-arc-to-squad: epoch 1 of 3 answered",
    ]


def test_a_second_workbench_loads_no_model_and_has_the_same_curves(first, suite, runtime, monkeypatch):
    bench, records = first
    forbid_loading(monkeypatch)
    again = Bench(suite, bench.store.root, runtime)
    assert {cell.id: again.measure(cell) for cell in suite.cells()} == records
    assert again.said == []


def test_fresh_timings_leave_the_curve_as_it_was(first, suite, runtime):
    bench, records = first
    again = Bench(suite, bench.store.root, runtime, fresh_timings=True)
    cell = suite.cells()[2]
    assert again.measure(cell).curve == records[cell.id].curve
    assert answered(again) == []


def test_without_curves_scores_and_losses_are_the_same_and_no_snapshot_is_kept(first, suite, runtime, tmp_path):
    _, records = first
    plain = without_curves(suite)
    bench = Bench(plain, tmp_path, runtime)
    cell = plain.cells()[2]
    record = bench.measure(cell)
    assert record.curve == []
    assert (record.scores, record.items) == (records[cell.id].scores, records[cell.id].items)
    assert record.train["losses"] == records[cell.id].train["losses"]
    assert list(bench.store.root.glob("checkpoints/*/epoch-*")) == []


def test_an_interrupted_curve_goes_on_behind_the_answers_it_has(first, suite, runtime, tmp_path, monkeypatch):
    bench = Bench(suite, tmp_path, runtime)
    cell = suite.cells()[2]
    load, loaded = workbench.load_decoder, []

    def interrupted(checkpoint, *rest):
        loaded.append(checkpoint.folder.name)
        if checkpoint.folder.name == "epoch-3":
            raise KeyboardInterrupt
        return load(checkpoint, *rest)

    monkeypatch.setattr(workbench, "load_decoder", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.measure(cell)
    assert loaded[1:] == ["epoch-1", "epoch-3"]
    assert answered(bench) == ["tiny-nopeft-arc-to-arc: epoch 1 of 4 answered"]

    monkeypatch.setattr(workbench, "load_decoder", lambda *given: loaded.append(given[0].folder.name) or load(*given))
    again = Bench(suite, tmp_path, runtime)
    del loaded[:]
    record = again.measure(cell)
    # neither trained nor answered again
    assert (again.said, loaded) == (["tiny-nopeft-arc-to-arc: epoch 3 of 4 answered"], ["epoch-3"])
    untimed = [point | {"seconds": None} for point in record.curve]
    assert untimed == [point | {"seconds": None} for point in first[1][cell.id].curve]


def test_one_model_is_on_the_device_at_a_time(suite, runtime, tmp_path, monkeypatch):
    import gc
    import weakref

    load, models = workbench.load_decoder, []

    def watched(*given):
        gc.collect()
        assert [model for model in models if model() is not None] == []
        decoder = load(*given)
        models.append(weakref.ref(decoder.model))
        return decoder

    monkeypatch.setattr(workbench, "load_decoder", watched)
    Bench(suite, tmp_path, runtime).measure(suite.cells()[4])
    assert len(models) == 2


def test_a_snapshot_that_has_changed_is_noticed(first, suite, runtime):
    bench, _ = first
    key = suite.cells()[4].checkpoint_key
    folder = bench.checkpoint(key).folder
    (path,) = folder.glob("epoch-1/*.safetensors")
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    again = Bench(suite, bench.store.root, runtime)
    assert again.checkpoint(key).folder == folder
    assert any("epoch-1/adapter_model.safetensors has changed; set aside" in line for line in again.said)
    assert path.read_bytes() == sound


def keys(suite, runtime, root, index):
    """The keys of a cell's checkpoint, answers and record."""
    bench = Bench(suite, root, runtime)
    cell = suite.cells()[index]
    checkpoint = digest(bench.materials.checkpoint(cell.checkpoint_key, bench.base(cell.model)))
    return checkpoint, *(digest(part(cell, checkpoint)) for part in (bench.materials.answers, bench.materials.record))


@pytest.mark.parametrize(
    ("index", "epochs", "changed"),
    [
        (0, (1, 3), [False, False, False]),  # untuned
        (2, (1, 3), [True, True, True]),
        (2, (1,), [True, True, True]),
        (2, (4,), [False, False, True]),  # its end alone: no snapshot is needed
        (4, (3,), [False, False, True]),
    ],
)
def test_snapshots_are_part_of_a_checkpoints_key_where_there_are_any(suite, runtime, tmp_path, index, epochs, changed):
    plain = without_curves(suite)
    curved = replace(plain, evaluation=replace(plain.evaluation, epochs=epochs))
    before, after = (keys(each, runtime, tmp_path, index) for each in (plain, curved))
    assert [one != other for one, other in zip(before, after, strict=True)] == changed


def test_each_snapshots_answers_have_a_key_of_their_own(first, suite):
    bench, _ = first
    cell = suite.cells()[2]
    checkpoint = bench.checkpoint(cell.checkpoint_key)
    each = [checkpoint, *(checkpoint.snapshot(epoch) for epoch in EPOCHS)]
    assert len({digest(bench.materials.answers(cell, one.key)) for one in each}) == 3
    assert [one.folder.name for one in each[1:]] == ["epoch-1", "epoch-3"]
    assert len(list((bench.store.root / "answers").iterdir())) == 2 + 2 * 3 + 2 * 2

"""The workbench: cells measured from end to end, nothing done twice, nothing stale served."""

import importlib
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from models import bytes_in, forbid_loading

from pytest_ftbench import lab
from pytest_ftbench.grid import CellRecord, DataSpec, EvaluationSpec, MethodSpec, ModelSpec, Recipe, Suite
from pytest_ftbench.ml.workbench import Workbench
from pytest_ftbench.store import Store, digest, read_json
from pytest_ftbench.tasks import get_task

pytestmark = pytest.mark.torch

TASKS = ("arc", "squad")
TRAIN_ROWS, TEST_ROWS, BUDGET = 12, 5, 6


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with a dozen training rows and a few test rows of two tasks."""
    folder = tmp_path_factory.mktemp("data")
    for name in TASKS:
        rows = lab.rows(name, "train", TRAIN_ROWS + TEST_ROWS)
        for split, some in (("train", rows[:TRAIN_ROWS]), ("test", rows[TRAIN_ROWS:])):
            write(folder, split, name, some)
    return folder


def write(folder, split, name, rows):
    path = folder / f"{split}-{get_task(name).stem}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def suite(data, model_folder):
    return Suite(
        name="tiny",
        place=Path("tiny.toml"),
        models=(ModelSpec("tiny", str(model_folder)),),
        methods=(MethodSpec("base"), MethodSpec("nopeft"), MethodSpec("lora", (2,))),
        train_tasks=("arc",),
        eval_tasks=TASKS,
        recipe=Recipe(name="fast", learning_rate=1e-2),
        data=DataSpec(str(data)),
        evaluation=EvaluationSpec(BUDGET, batch_size=3, reasoning="off", latency_prompts=2, latency_warmup=1),
    )


class Bench(Workbench):
    """A workbench as a new process would have it, and all it said."""

    def __init__(self, suite, root, runtime, **options):
        self.said = []
        super().__init__(suite, Store(root, self.said.append), runtime, self.said.append, **options)

    def trained(self):
        """The checkpoints it says it trained."""
        return [line.partition(":")[0] for line in self.said if ": trained in " in line]


@pytest.fixture(scope="module")
def first(suite, runtime, tmp_path_factory):
    """The workbench that measured every cell first, and the records."""
    bench = Bench(suite, tmp_path_factory.mktemp("cache"), runtime)
    records = [bench.measure(cell) for cell in suite.cells()]
    bench.close()
    return bench, records


def times(root):
    """When each file of the store was written last."""
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file() and "locks" not in path.parts}


def test_each_checkpoint_is_trained_once_for_all_its_cells(first):
    bench, records = first
    assert [record.id for record in records] == [
        "tiny-base-to-arc",
        "tiny-base-to-squad",
        "tiny-nopeft-arc-to-arc",
        "tiny-nopeft-arc-to-squad",
        "tiny-lora-r2-arc-to-arc",
        "tiny-lora-r2-arc-to-squad",
    ]
    assert bench.trained() == ["tiny-nopeft-arc", "tiny-lora-r2-arc"]
    assert len(list((bench.store.root / "checkpoints").iterdir())) == 2
    assert f"tiny-nopeft-arc: training on {TRAIN_ROWS} rows" in bench.said


def test_a_record_is_complete(first):
    for record in first[1]:
        value = record.to_json()
        assert CellRecord.from_json(json.loads(json.dumps(value, allow_nan=False))) == record
        assert record.complete
        assert (record.status, record.error, record.n, record.eval_dtype) == ("ok", None, TEST_ROWS, "float32")
        task = get_task(record.eval_task)
        assert {metric.key for metric in task.metrics} <= set(record.scores)
        assert record.scores[task.headline.key] is not None
        rates = (record.format_rate, record.empty_rate, record.truncated_rate)
        assert all(0 <= rate <= 1 for rate in rates)
        latency, tokens = record.latency_s, record.output_tokens
        assert latency["n"] == len(latency["samples"]) == len(latency["tokens"]) == 2
        assert 0 < latency["ttft_median"] <= latency["median"]
        assert latency["cores_of_others"] >= 0
        assert latency["gpu_shared"] is latency["gpu_throttled"] is None
        assert len(tokens["samples"]) == TEST_ROWS
        assert all(1 <= count <= BUDGET for count in tokens["samples"])
        assert tokens["mean"] == sum(tokens["samples"]) / TEST_ROWS
        # on the processor nobody knows the peak of its memory
        memory = dict(record.memory_gib)
        resident = {phase: memory.pop(f"{phase}_process") for phase in ("train", "eval")}
        assert memory == dict.fromkeys(("train_allocated", "train_reserved", "eval_allocated", "eval_reserved"))
        assert resident["eval"] >= 0
        assert (resident["train"] is None) == (record.train is None)


def test_the_items_of_a_record_are_the_test_rows_scored(first, suite):
    bench, records = first
    for record in records:
        task = get_task(record.eval_task)
        rows = bench.rows.test(task)
        outputs = [item["output"] for item in record.items]
        scored = task.score(outputs, rows)
        assert record.scores == scored["scores"]
        assert record.format_rate == scored["format_rate"]
        assert [item["item"] for item in record.items] == [row["id"] for row in rows]
        assert [item["tokens"] for item in record.items] == record.output_tokens["samples"]
        assert record.empty_rate == sum(not output.strip() for output in outputs) / TEST_ROWS


def test_what_is_timed_are_answers_of_the_record(first):
    # two of five items, at a stride: the first and the third
    for record in first[1]:
        samples = record.output_tokens["samples"]
        assert record.latency_s["tokens"] == [samples[0], samples[2]]


@pytest.mark.parametrize("index", range(6))
def test_a_record_tells_how_its_checkpoint_was_trained(first, index):
    record = first[1][index]
    if record.method == "base":
        assert record.train is None
        return
    train = record.train
    assert (train["steps"], train["rows"], train["rows_left_out"], train["dtype"]) == (2, TRAIN_ROWS, 0, "float32")
    assert (train["learning_rate"], train["alpha"]) == (1e-2, 16 if record.method == "lora" else None)
    assert (train["targets_empty"], train["targets_without_end"]) == (0, 0)
    assert train["template"] == record.extra["provenance"]["template"]
    assert train["losses"][-1] == train["final_loss"]
    assert (train["trainable_params"] == train["total_params"]) == (record.method == "nopeft")
    assert train["seconds"] > 0


def test_a_record_says_where_it_came_from(first, suite, runtime):
    bench, records = first
    for record in records:
        said = record.extra["provenance"]
        assert said["reasoning"] == record.provenance("reasoning") == "off"
        assert (said["device_name"], said["batch_size"], said["max_new_tokens"]) == (runtime.device_name, 3, BUDGET)
        assert said["base"] == bench.base("tiny").fingerprint
        assert said["template"] == digest(lab.CHAT_TEMPLATE)
        assert said["test_rows"] == bench.materials.test_rows(record.eval_task)
        base = record.method == "base"
        assert said["recipe"] == (None if base else suite.recipe.as_dict())
        assert (said["merge"] is None) == (record.method != "lora")
        if record.method == "lora":
            assert 0 <= said["merge"]["max_logit_gap"] < said["merge"]["logit_std"] / 100
        same = {"exact": 0, "near": 0, "other_target": 0, "passages": 0, "items": []}
        other = same | {"near": None, "other_target": None, "passages": None}
        assert said["overlap"] == (None if base else same if record.eval_task == "arc" else other)
        assert said["prompts_differ"] == (None if base else 0)
        assert said["train_rows"] == (None if base else bench.materials.train_rows("arc"))
    assert len({record.extra["provenance"]["checkpoint"] for record in records}) == 3
    weights = [record.extra["provenance"]["weights"] for record in records]
    assert len(set(weights)) == 3
    assert [each is None for each in weights] == [record.method == "base" for record in records]


def test_tuned_models_answer_otherwise_than_their_base(first):
    outputs = {record.id: [item["output"] for item in record.items] for record in first[1]}
    assert outputs["tiny-nopeft-arc-to-arc"] != outputs["tiny-base-to-arc"]


def test_a_second_workbench_trains_and_writes_nothing_and_has_the_same_records(first, suite, runtime, monkeypatch):
    bench, records = first
    before = times(bench.store.root)
    forbid_loading(monkeypatch)
    again = Bench(suite, bench.store.root, runtime)
    assert [again.measure(cell) for cell in suite.cells()] == records
    assert again.said == []
    assert times(bench.store.root) == before


def test_fresh_timings_are_measured_and_the_rest_is_as_it_was(first, suite, runtime):
    bench, records = first
    before = times(bench.store.root)
    again = Bench(suite, bench.store.root, runtime, fresh_timings=True)
    cell = suite.cells()[2]
    record = again.measure(cell)
    again.close()
    assert record.latency_s["samples"] != records[2].latency_s["samples"]
    untimed = {"latency_s": {}, "memory_gib": {}}
    assert replace(record, **untimed) == replace(records[2], **untimed)
    assert again.trained() == []
    assert times(bench.store.root) == before


def test_without_prompts_to_time_there_is_no_latency(first, suite, runtime):
    bench, records = first
    untimed = replace(suite, evaluation=replace(suite.evaluation, latency_prompts=0))
    again = Bench(untimed, bench.store.root, runtime)
    record = again.measure(suite.cells()[4])
    assert again.trained() == []
    assert record.to_json()["latency_s"]["n"] is None
    assert record.scores == records[4].scores


def test_a_fixed_length_is_timed_beside_the_natural_one(first, suite, runtime, monkeypatch):
    bench, records = first
    monkeypatch.setattr("pytest_ftbench.ml.countdown._SECONDS_BETWEEN_LINES", 0.0)
    fixed = replace(suite, evaluation=replace(suite.evaluation, latency_tokens=BUDGET + 2))
    again = Bench(fixed, bench.store.root, runtime)
    record = again.measure(suite.cells()[4])
    again.close()
    assert again.trained() == []
    found = record.latency_s["fixed"]
    assert found["new_tokens"] == BUDGET + 2
    assert found["tokens"] == [BUDGET + 2] * 2
    assert found["n"] == len(found["samples"]) == 2
    assert record.latency_s["tokens"] == records[4].latency_s["tokens"]
    assert set(record.latency_s) == set(records[4].latency_s) | {"fixed"}
    assert CellRecord.from_json(json.loads(json.dumps(record.to_json(), allow_nan=False))) == record
    assert [line.partition(",")[0] for line in again.said] == [
        f"{record.id}: warmed up with 1 of 1 answers",
        f"{record.id}: timed 1 of 2 answers",
        f"{record.id}: timed 2 of 2 answers",
        f"{record.id}: warmed up with 1 of 1 answers of {BUDGET + 2} tokens",
        f"{record.id}: timed 1 of 2 answers of {BUDGET + 2} tokens",
        f"{record.id}: timed 2 of 2 answers of {BUDGET + 2} tokens",
    ]


def test_the_record_says_who_answered_and_how_many_of_a_sample_are_others_at_batch_1(first, suite, runtime):
    bench, records = first
    assert [record.extra["provenance"]["engine"] for record in records] == [
        {"name": "cpu", "rows": 64, "checked": 2, "flips": 0}
    ] * len(records)
    plain = Bench(evaluation(suite, engine="plain", latency_fast=True), bench.store.root, runtime)
    record = plain.measure(suite.cells()[4])
    plain.close()
    assert plain.trained() == []
    told = {"name": "plain", "rows": 3, "why": "it was asked for", "checked": 2, "flips": 0}
    assert record.extra["provenance"]["engine"] == told
    assert (record.scores, record.items) == (records[4].scores, records[4].items)
    assert "no GPU" in record.latency_s["fast"]["why"]


def test_what_is_not_merged_is_answered_by_the_plain_engine(first, suite, runtime):
    unmerged = Bench(evaluation(suite, adapters="unmerged"), first[0].store.root, runtime)
    record = unmerged.measure(next(cell for cell in suite.cells() if cell.method == "lora"))
    unmerged.close()
    told = record.extra["provenance"]["engine"]
    assert told["name"] == "plain"
    assert "Peft" in told["why"]
    assert told["flips"] == 0


def keys(suite, first, runtime, index):
    """The keys of a cell's entries: checkpoint, answers, timings, record."""
    bench = Bench(suite, first[0].store.root, runtime)
    cell = suite.cells()[index]
    checkpoint = digest(bench.materials.checkpoint(cell.checkpoint_key, bench.base(cell.model)))
    parts = (bench.materials.answers, bench.materials.timings, bench.materials.record)
    return dict(zip(KINDS, [checkpoint, *(digest(part(cell, checkpoint)) for part in parts)], strict=True))


KINDS = ("checkpoint", "answers", "timings", "record")


def changed_keys(first, suite, runtime, other, other_runtime=None, index=4):
    before, after = keys(suite, first, runtime, index), keys(other, first, other_runtime or runtime, index)
    return [kind for kind in KINDS if before[kind] != after[kind]]


def method(suite, **changes):
    base, nopeft, lora = suite.methods
    return replace(suite, methods=(base, nopeft, replace(lora, **changes)))


def evaluation(suite, **changes):
    return replace(suite, evaluation=replace(suite.evaluation, **changes))


ALL = list(KINDS)
SUITES = {
    "learning rate": (lambda suite: replace(suite, recipe=replace(suite.recipe, learning_rate=2e-2)), ALL),
    "epochs": (lambda suite: replace(suite, recipe=replace(suite.recipe, num_train_epochs=2)), ALL),
    "seed": (lambda suite: replace(suite, seeds=(1,)), ALL),
    "planning": (lambda suite: replace(suite, planning="off"), ALL),
    "rank": (lambda suite: method(suite, ranks=(3,)), ALL),
    "alpha": (lambda suite: method(suite, options={"lora_alpha": 8}), ALL),
    "recipe of the method": (lambda suite: method(suite, recipe={"weight_decay": 0.1}), ALL),
    "fewer rows": (lambda suite: replace(suite, data=replace(suite.data, train_samples=5)), ALL),
    "reasoning": (lambda suite: evaluation(suite, reasoning="unlocked"), ALL),
    "budget": (lambda suite: evaluation(suite, max_new_tokens=BUDGET + 1), ALL[1:]),
    "batch size": (lambda suite: evaluation(suite, batch_size=2), ALL[1:]),
    "fewer tests": (lambda suite: replace(suite, data=replace(suite.data, test_samples=2)), ALL[1:]),
    "timed prompts": (lambda suite: evaluation(suite, latency_prompts=3), ALL[2:]),
    "warm-up": (lambda suite: evaluation(suite, latency_warmup=2), ALL[2:]),
    "fixed length": (lambda suite: evaluation(suite, latency_tokens=3), ALL[2:]),
    "fast mode": (lambda suite: evaluation(suite, latency_fast=True), ALL[2:]),
    "engine": (lambda suite: evaluation(suite, engine="plain"), ALL[1:]),
    "name of the model": (lambda suite: replace(suite, models=(replace(suite.models[0], name="x"),)), ALL[3:]),
    "name of the suite": (lambda suite: replace(suite, name="x", place=Path("x.toml")), []),
    "another model": (
        lambda suite: replace(suite, models=(*suite.models, ModelSpec("x", "embedded:nano", methods=("base",)))),
        [],
    ),
    "embedder of tasks that compare texts": (lambda suite: evaluation(suite, embedder="/nowhere"), []),
    "default spelt out": (lambda suite: method(suite, options={"lora_alpha": 16, "lora_dropout": 0.1}), []),
}


@pytest.mark.parametrize("name", SUITES)
def test_an_entrys_key_changes_with_what_decides_it_and_nothing_else(first, suite, runtime, name):
    change, expected = SUITES[name]
    assert changed_keys(first, suite, runtime, change(suite)) == expected


MACHINES = {
    "dtype": ({"dtype": "bfloat16"}, ALL),
    "device": ({"device": "cuda"}, ALL),
    "versions": ({"versions": {"torch": "9"}}, ALL),
    "chip": ({"device_name": "another"}, ALL[2:]),
    "threads": ({"threads": 77}, ALL[2:]),
}


@pytest.mark.parametrize("name", MACHINES)
def test_an_entrys_key_changes_with_the_machine_as_far_as_that_decides_it(first, suite, runtime, name):
    change, expected = MACHINES[name]
    assert changed_keys(first, suite, runtime, suite, replace(runtime, **change)) == expected


def test_one_letter_of_a_training_row_changes_the_checkpoints_key_and_an_unused_column_none(
    first, suite, runtime, data, tmp_path
):
    def with_rows(split, name, change):
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        for path in data.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        rows = lab.rows(name, "train", TRAIN_ROWS + TEST_ROWS)
        rows = rows[:TRAIN_ROWS] if split == "train" else rows[TRAIN_ROWS:]
        write(folder, split, name, [change(rows[0]), *rows[1:]])
        return replace(suite, data=DataSpec(str(folder)))

    def changed(*change, index=4):
        return changed_keys(first, suite, runtime, with_rows(*change), index=index)

    assert changed("train", "arc", lambda row: row | {"question": row["question"] + "?"}) == ALL
    assert changed("train", "arc", lambda row: row | {"answer": "ABCDA"["ABCD".index(row["answer"]) + 1]}) == ALL
    # the record is put together again, for it names the folder that its rows are from
    assert changed("train", "arc", lambda row: row | {"title": "Another"}) == ["record"]
    assert changed("train", "squad", lambda row: row | {"question": "Who?"}) == ["record"]
    assert changed("test", "arc", lambda row: row | {"question": row["question"] + "?"}) == ALL[1:]
    # a further gold is no other prompt or target, but another score
    assert (
        changed("test", "squad", lambda row: row | {"answers": [row["answer"], row["context"].split()[0]]}, index=5)
        == ALL[1:]
    )


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "train.json"])
def test_a_damaged_checkpoint_is_noticed_and_trained_anew_to_the_same_bytes(first, suite, runtime, name):
    bench, _ = first
    key = suite.cells()[4].checkpoint_key
    whole = bench.checkpoint(key)
    folder, weights = whole.folder, whole.weights
    sound = bytes_in(folder)
    damaged = bytearray(sound[name])
    damaged[len(damaged) // 2] ^= 1
    (folder / name).write_bytes(damaged)
    again = Bench(suite, bench.store.root, runtime)
    checkpoint = again.checkpoint(key)
    assert checkpoint.folder == folder
    assert checkpoint.weights == weights
    assert again.trained() == ["tiny-lora-r2-arc"]
    assert any(f"{name} has changed; set aside" in line for line in again.said)
    after = bytes_in(folder)
    for file in set(sound) - {"train.json", "manifest.json"}:  # those hold the seconds it took
        assert after[file] == sound[file], file
    assert read_json(folder / "train.json")["losses"] == json.loads(sound["train.json"])["losses"]
    third = Bench(suite, bench.store.root, runtime)
    third.checkpoint(key)
    assert third.said == []


def test_a_training_that_fails_leaves_no_entry_and_the_next_one_is_not_disturbed(first, suite, runtime, tmp_path):
    from pytest_ftbench.grid import UserError

    diverging = replace(suite, recipe=replace(suite.recipe, learning_rate=1e30, num_train_epochs=3))
    bench = Bench(diverging, tmp_path / "cache", runtime)
    with pytest.raises(UserError, match="training step"):
        bench.measure(diverging.cells()[2])
    assert [
        path for kind in ("checkpoints", "records", "building") for path in (bench.store.root / kind).glob("*")
    ] == []
    sound = Bench(suite, tmp_path / "cache", runtime)
    key = suite.cells()[2].checkpoint_key
    assert (
        bytes_in(sound.checkpoint(key).folder)["model.safetensors"]
        == (bytes_in(first[0].checkpoint(key).folder)["model.safetensors"])
    )


def test_rows_left_out_are_said_and_recorded(first, suite, runtime, tmp_path):
    from models import make_examples

    lengths = sorted(len(example.input_ids) for example in make_examples(suite.models[0].source, "arc", TRAIN_ROWS))
    short = replace(suite, recipe=replace(suite.recipe, max_length=lengths[7]))
    fitting = sum(length <= lengths[7] for length in lengths)
    bench = Bench(short, tmp_path / "cache", runtime)
    train = bench.checkpoint(suite.cells()[2].checkpoint_key).train
    assert (train["rows"], train["rows_left_out"]) == (fitting, TRAIN_ROWS - fitting)
    assert f"tiny-nopeft-arc: training on {fitting} rows, {TRAIN_ROWS - fitting} are too long" in bench.said


def test_trivial_answerers_score_on_the_suites_test_rows(first):
    bench, _ = first
    task = get_task("squad")
    rows = bench.rows.test(task)
    expected = task.score([r"\boxed{unanswerable}"] * TEST_ROWS, rows)["scores"]
    silent = task.score([""] * TEST_ROWS, rows)["scores"]
    assert bench.trivial("squad") == {"always_abstain": expected, "empty_output": silent}


def test_the_median_answer_is_that_of_the_tasks_own_training_rows(suite, runtime, tmp_path):
    bench = Bench(replace(suite, data=DataSpec("embedded", 9, TEST_ROWS)), tmp_path, runtime)
    task = get_task("openmath")
    answers = sorted(row["answer"] for row in bench.rows.train(task))
    outputs = [rf"\boxed{{{answers[(len(answers) - 1) // 2]:g}}}"] * TEST_ROWS
    assert bench.trivial("openmath")["train_median"] == task.score(outputs, bench.rows.test(task))["scores"]


IMPORTED = """
import sys
import pytest_ftbench.ml.workbench, pytest_ftbench.ml.rows, pytest_ftbench.ml.base, pytest_ftbench.ml.scratch
import pytest_ftbench.ml.embedder
import pytest_ftbench.ml.hub, pytest_ftbench.ml.train, pytest_ftbench.ml.generate, pytest_ftbench.ml.latency
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_importing_the_room_imports_no_library():
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    libraries = {
        "sentence_transformers",
        "torch",
        "transformers",
        "trl",
        "peft",
        "datasets",
        "tokenizers",
        "accelerate",
        "huggingface_hub",
    }
    imported = set(done.stdout.split())
    assert "pytest_ftbench" in imported
    assert imported.isdisjoint(libraries | {"numpy", "pyarrow", "safetensors", "pytest"})


class Turns:
    """A machine's lock that notes which way it is held."""

    works = True

    def __init__(self):
        self.held = None
        self.seen = []

    @contextmanager
    def _hold(self, mode):
        assert self.held is None
        self.held = mode
        yield
        self.held = None

    def shared(self):
        return self._hold("shared")

    def alone(self):
        return self._hold("alone")

    def give_way(self, *_):
        assert self.held == "shared"


def test_answers_are_timed_alone_and_everything_else_is_done_beside_others(suite, runtime, tmp_path, monkeypatch):
    turns = Turns()
    for name in ("train", "load_decoder", "time_answers", "assemble"):
        module = f"pytest_ftbench.ml.{ {'train': 'train', 'time_answers': 'timing'}.get(name, 'workbench') }"
        real = getattr(importlib.import_module(module), name)

        def noting(*given, _real=real, _name=name, **more):
            turns.seen.append((_name, turns.held))
            return _real(*given, **more)

        monkeypatch.setattr(f"{module}.{name}", noting)
    bench = Bench(suite, tmp_path, runtime, machine=turns)
    record = bench.measure(next(cell for cell in suite.cells() if cell.method == "nopeft"))
    assert turns.seen == [
        ("train", "shared"),
        ("load_decoder", "shared"),
        ("time_answers", "alone"),
        ("assemble", "shared"),
    ]
    assert record.latency_s["exclusive"] is True

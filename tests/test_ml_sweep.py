"""Learning rates chosen by real trainings: judged as they should be, each trial made once, and found again."""

import json
import math
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from models import forbid_loading, make_examples

from pytest_ftbench import lab
from pytest_ftbench.grid import DataSpec, EvaluationSpec, MethodSpec, ModelSpec, Recipe, Suite, SweepSpec, UserError
from pytest_ftbench.ml import trainer
from pytest_ftbench.ml.base import load_weights
from pytest_ftbench.ml.judge import mean_loss
from pytest_ftbench.ml.runtime import at_work
from pytest_ftbench.ml.train import DivergedError
from pytest_ftbench.ml.workbench import Workbench
from pytest_ftbench.store import Store, digest, read_json
from pytest_ftbench.tasks import get_task

pytestmark = pytest.mark.torch

TRAIN_ROWS, JUDGES = 10, 4
WAYS = ("tiny-nopeft-arc", "tiny-lora-r2-arc")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with all three splits of a task."""
    folder = tmp_path_factory.mktemp("data")
    for split, count in (("train", TRAIN_ROWS), ("validation", 24), ("test", 3)):
        rows = lab.rows("arc", split, count)
        if split == "validation":
            # some that mustn't judge, whoever samples how many of them
            rows += lab.rows("arc", "test", 3) + lab.rows("arc", "train", 3)
        path = folder / f"{split}-{get_task('arc').stem}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def suite(data, model_folder):
    return Suite(
        name="tiny",
        place=Path("tiny.toml"),
        models=(ModelSpec("tiny", str(model_folder)),),
        methods=(MethodSpec("base"), MethodSpec("nopeft"), MethodSpec("lora", (2,))),
        train_tasks=("arc",),
        eval_tasks=("arc",),
        seeds=(0, 1),
        recipe=Recipe(name="fast", learning_rate=1e-4, gradient_checkpointing=False),
        tuned=True,
        sweep=SweepSpec(trials=2, factor=100.0, extensions=1, validation_samples=JUDGES),
        data=DataSpec(str(data)),
        evaluation=EvaluationSpec(4, batch_size=3, reasoning="off", latency_prompts=1, latency_warmup=0),
    )


class Bench(Workbench):
    """A workbench as a new process would have it, and all it said."""

    def __init__(self, suite, root, runtime, **options):
        self.said = []
        super().__init__(suite, Store(root, self.said.append), runtime, self.said.append, **options)

    def records(self):
        """The records of all cells by id."""
        return {cell.id: self.measure(cell) for cell in self.suite.cells()}

    def tried(self):
        """The trials it says it made: way and rate."""
        lines = [
            line.split(": ") for line in self.said if ": trial " in line and ("validation " in line or "failed" in line)
        ]
        return [(way, rate.removeprefix("rate ")) for way, _, rate, *_ in lines]

    def trained(self):
        """The checkpoints it says it trained."""
        return [line.partition(":")[0] for line in self.said if ": trained in " in line]


@pytest.fixture(scope="module")
def first(suite, runtime, tmp_path_factory):
    """The workbench that measured every cell first, and the records."""
    bench = Bench(suite, tmp_path_factory.mktemp("cache"), runtime)
    records = bench.records()
    bench.close()
    return bench, records


def sweep_of(record):
    return record.extra["provenance"]["sweep"]


def trials(root):
    return [read_json(path) for path in root.glob("trials/*/trial.json")]


def test_each_way_is_swept_once_and_then_trained_with_each_seed_at_the_rate_chosen(first, suite):
    bench, records = first
    for way in WAYS:
        mine = [record for name, record in records.items() if name.startswith(f"{way}-to")]
        assert [record.seed for record in mine] == [0, 1]
        assert sweep_of(mine[0]) == sweep_of(mine[1])
        sweep = sweep_of(mine[0])
        assert len(bench.tried()) == len(set(bench.tried()))
        assert {rate for name, rate in bench.tried() if name == way} == {f"{rate:g}" for rate in sweep["rates"]}
        for record in mine:
            assert record.train["learning_rate"] == sweep["chosen"]
            recipe = record.extra["provenance"]["recipe"]
            assert (recipe["name"], recipe["learning_rate"]) == ("tuned", sweep["chosen"])
    assert bench.trained() == [f"{way}{seed}" for way in WAYS for seed in ("", "-s1")]
    assert sweep_of(records["tiny-base-to-arc"]) is None


def test_a_record_tells_the_whole_sweep(first, suite):
    for name, record in first[1].items():
        if record.train is None:
            continue
        told = sweep_of(record)
        count = len(told["rates"])
        assert told["rates"] == sorted(told["rates"])
        assert count == told["trials"] == suite.sweep.trials + told["extended"]
        assert len(told["scores"]) == len(told["losses"]) == count
        assert all(0 <= score <= 1 for score in told["scores"])
        assert all(0 < loss < 20 for loss in told["losses"])
        best = max(zip(told["scores"], [-loss for loss in told["losses"]], told["rates"], strict=True))
        assert told["chosen"] == best[2]
        assert told["at_edge"] == (told["chosen"] in (told["rates"][0], told["rates"][-1]))
        assert (told["metric"], told["seed"], told["validation_rows"]) == ("macro_f1", 1000, JUDGES)
        assert told["seconds"] > 0
        centre = 1e-4 * (10 if record.method == "lora" else 1)
        assert told["rates"][0] <= centre / 10 * 1.01
        assert f"{centre * 10:g}" in {f"{rate:g}" for rate in told["rates"]}, name


def test_all_ways_have_the_same_budget(first):
    told = [sweep_of(record) for record in first[1].values() if record.train]
    assert len({count for one in told for count in one["tokens"]}) == 1
    tokens = sum(
        len(example.input_ids) for example in make_examples(first[0].suite.models[0].source, "arc", TRAIN_ROWS)
    )
    assert all(one["tokens"] == [tokens] * one["trials"] for one in told)
    assert all(one["train_tokens"] == tokens * one["trials"] for one in told)
    assert {record.train["tokens"] for record in first[1].values() if record.train} == {tokens}


def test_a_trial_is_stored_without_its_weights(first):
    bench, _ = first
    root = bench.store.root
    assert len(trials(root)) == len(bench.tried())
    assert [path.name for path in root.glob("trials/*/*")].count("trial.json") == len(trials(root))
    assert {path.name for path in root.glob("trials/*/*")} == {"trial.json", "manifest.json"}
    assert len(list((root / "checkpoints").iterdir())) == 4


def test_a_suite_that_is_complete_loads_no_model(first, suite, runtime, monkeypatch):
    forbid_loading(monkeypatch)
    again = Bench(suite, first[0].store.root, runtime)
    assert again.records() == first[1]
    assert again.said == []


def test_the_checkpoint_is_the_one_that_the_rate_itself_would_train(first, suite, runtime):
    bench, records = first
    cell = next(cell for cell in suite.cells() if cell.method == "nopeft")
    chosen = sweep_of(records[cell.id])["chosen"]
    plain = replace(suite, tuned=False, recipe=replace(suite.recipe, learning_rate=chosen))
    other = Bench(plain, bench.store.root, runtime)
    material = other.materials.checkpoint(cell.checkpoint_key, other.base("tiny"))
    assert digest(material) == records[cell.id].extra["provenance"]["checkpoint"]
    record = other.measure(cell)
    assert other.trained() == []
    assert record.scores == records[cell.id].scores
    # but what is told of it is its own: it was not tuned
    assert record.extra["provenance"]["recipe"]["name"] == "fast"
    assert sweep_of(record) is None


def test_a_sweep_that_was_interrupted_goes_on_where_it_stopped(suite, runtime, tmp_path, monkeypatch):
    bench = Bench(suite, tmp_path, runtime)
    cell = next(cell for cell in suite.cells() if cell.method == "nopeft")
    judge, judged = trainer.judge, []

    def interrupted(*given):
        judged.append(1)
        if len(judged) == 2:
            raise KeyboardInterrupt
        return judge(*given)

    monkeypatch.setattr(trainer, "judge", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.checkpoint(cell.checkpoint_key)
    assert len(trials(tmp_path)) == 1
    assert list((tmp_path / "building").iterdir()) == []
    monkeypatch.setattr(trainer, "judge", judge)
    again = Bench(suite, tmp_path, runtime)
    again.checkpoint(cell.checkpoint_key)
    assert not set(again.tried()) & set(bench.tried())
    assert len(again.tried()) == len(trials(tmp_path)) - 1


def diverging(suite, rate, factor, extensions=0):
    recipe = replace(suite.recipe, learning_rate=rate, num_train_epochs=2)
    sweep = replace(suite.sweep, factor=factor, extensions=extensions)
    return replace(suite, methods=suite.methods[:2], recipe=recipe, sweep=sweep)


def test_a_rate_that_diverges_has_no_score_and_another_is_chosen(suite, runtime, tmp_path):
    wild = diverging(suite, 1e13, 1e32)
    cells = [cell for cell in wild.cells() if not cell.is_base]
    bench = Bench(wild, tmp_path, runtime)
    told = sweep_of(bench.measure(cells[0]))
    assert told["rates"] == [1e-3, 1e29]
    assert (told["scores"][1], told["losses"][1]) == (None, None)
    assert (told["chosen"], told["trials"]) == (1e-3, 2)
    # of the one that diverged as much as it was trained
    (failed,) = (trial for trial in trials(tmp_path) if trial["failed"])
    step, steps = int(re.match(r"training step (\d)", failed["failed"])[1]), 4
    assert told["tokens"][1] == failed["tokens"] == round(told["tokens"][0] * step / steps)
    assert told["train_tokens"] == sum(told["tokens"])
    assert failed["seconds"] > 0
    assert any("rate 1e+29: training step" in line and line.endswith("it failed") for line in bench.said)
    json.dumps(told, allow_nan=False)
    # it is known now, and not tried again
    assert sweep_of(Bench(wild, tmp_path, runtime).measure(cells[1])) == told


def test_where_every_rate_diverges_each_cell_fails_with_one_sentence_and_no_further_training(suite, runtime, tmp_path):
    wild = diverging(suite, 1e28, 10.0)
    cells = [cell for cell in wild.cells() if not cell.is_base]
    bench = Bench(wild, tmp_path, runtime)
    with pytest.raises(UserError, match=r"^tiny-nopeft-arc: its training diverges at every rate tried \(.*e\+\d"):
        bench.measure(cells[0])
    assert len(bench.tried()) == 2
    with pytest.raises(UserError, match="its sweep failed before"):
        bench.measure(cells[1])
    assert bench.trained() == []
    again = Bench(wild, tmp_path, runtime)
    with pytest.raises(UserError, match="diverges at every rate"):
        again.measure(cells[1])
    assert again.tried() == []


def test_a_rate_that_only_diverges_with_the_suites_seed_is_the_sweeps_doing(suite, runtime, tmp_path, monkeypatch):
    cell = next(cell for cell in suite.cells() if cell.method == "nopeft")
    bench = Bench(suite, tmp_path, runtime)
    monkeypatch.setattr(bench.sweeps, "attempt", lambda *_: {"score": 1.0, "loss": 1.0, "tokens": 1, "seconds": 1.0})

    def diverge(*_):
        raise DivergedError("training step 3", "the loss is nan", "lower the learning rate")

    monkeypatch.setattr("pytest_ftbench.ml.train.train", diverge)
    with pytest.raises(UserError) as raised:
        bench.measure(cell)
    assert str(raised.value) == (
        "tiny-nopeft-arc, seed 0: its training diverges at the rate that its sweep chose, 1e-07 (training step 3: "
        "the loss is nan), though it did not with the sweep's seed, 1000; lower sweep.factor, so that a rate nearby "
        "can be chosen, or recipe.learning_rate (or give sweep.centre)."
    )
    plain = Bench(replace(suite, tuned=False), tmp_path, runtime)
    with pytest.raises(DivergedError, match=r"^training step 3: the loss is nan; lower the learning rate\.$"):
        plain.measure(cell)


def test_without_rows_to_choose_by_no_cell_is_begun(suite, runtime, tmp_path, monkeypatch):
    forbid_loading(monkeypatch)
    rows = "".join(json.dumps(row) + "\n" for row in lab.rows("arc", "train", 30))
    for split in ("train", "validation"):
        (tmp_path / f"{split}-{get_task('arc').stem}.jsonl").write_text(rows, encoding="utf-8")
    bench = Bench(replace(suite, data=DataSpec(str(tmp_path))), tmp_path / "cache", runtime)
    with pytest.raises(UserError, match=r"validation-ai2_arc\.jsonl: has too few rows to choose learning rates by \(0"):
        bench.measure(suite.cells()[0])


def test_a_mistake_that_no_rate_mends_is_no_trial(suite, runtime, tmp_path):
    wrong = replace(suite, methods=(MethodSpec("lora", (2,), {"target_modules": ["nowhere"]}),))
    bench = Bench(wrong, tmp_path, runtime)
    with pytest.raises(UserError, match="nowhere"):
        bench.measure(wrong.cells()[0])
    assert trials(tmp_path) == []


def test_seed_validation_rows_and_factor_are_part_of_what_is_tried(first, suite, runtime):
    def keys(other):
        bench = Bench(other, first[0].store.root, runtime)
        cell = next(cell for cell in other.cells() if cell.method == "lora")
        way = cell.checkpoint_key._replace(seed=other.selection_seed)
        recipe = replace(other.recipe_for("lora"), learning_rate=1e-3)
        return digest(bench.materials.trial(way, bench.base("tiny"), recipe))

    def sweep(**changes):
        return replace(suite, sweep=replace(suite.sweep, **changes))

    before = keys(suite)
    assert keys(sweep(seed=5)) != before
    assert keys(sweep(validation_samples=3)) != before
    # a sweep that is wider or longer finds the trials it shares with another
    assert keys(sweep(trials=7, factor=2.0, extensions=0)) == before
    assert keys(replace(suite, seeds=(4, 5, 6))) == before
    # nor does it matter which of the rows that are tested are sampled: none of them judges
    every = sweep(validation_samples=100)
    assert keys(replace(every, data=replace(suite.data, test_samples=1))) == keys(every)
    assert keys(replace(suite, evaluation=replace(suite.evaluation, epochs=(1,)))) == before


def test_a_stored_trial_of_other_fields_is_one_sentence(suite, runtime, tmp_path):
    bench = Bench(suite, tmp_path, runtime)
    cell = next(cell for cell in suite.cells() if cell.method == "nopeft")
    spec = replace(suite.recipe_for("nopeft"), learning_rate=suite.sweep.wanted(1e-4, [])[0])
    way = cell.checkpoint_key._replace(seed=suite.selection_seed)
    material = bench.materials.trial(way, bench.base("tiny"), spec)
    bench.store.get("trials", material, lambda folder: (folder / "trial.json").write_text('{"rate": 1, "more": 2}'))
    bench.sweeps.attempt = lambda *_: {"score": 1.0, "loss": 1.0}
    with pytest.raises(UserError, match=r"trial.json: is no trial of a learning rate; remove its folder"):
        bench.sweeps.of(cell.checkpoint_key, bench.base("tiny"))


def test_while_another_process_is_at_a_trial_the_others_are_made(suite, runtime, tmp_path):
    bench = Bench(suite, tmp_path, runtime)
    cell = next(cell for cell in suite.cells() if cell.method == "nopeft")
    spec = replace(suite.recipe_for("nopeft"), learning_rate=suite.sweep.wanted(1e-4, [])[0])
    way = cell.checkpoint_key._replace(seed=suite.selection_seed)
    material = bench.materials.trial(way, bench.base("tiny"), spec)
    begun, free = threading.Event(), threading.Event()

    def slow(folder):
        begun.set()
        free.wait(60)
        trial = {"rate": spec.learning_rate, "score": 1.0, "loss": 1.0, "seconds": 1.0, "tokens": 9, "failed": None}
        (folder / "trial.json").write_text(json.dumps(trial), encoding="utf-8")

    other = threading.Thread(target=Store(tmp_path).get, args=("trials", material, slow))
    other.start()
    begun.wait(60)
    attempt = bench.sweeps.attempt

    def attempted(*given):
        done = attempt(*given)
        free.set()  # only now: the sweep must have gone on to the second rate meanwhile
        return done

    bench.sweeps.attempt = attempted
    sweep = bench.sweeps.of(cell.checkpoint_key, bench.base("tiny"))
    other.join()
    assert bench.tried()[0] == ("tiny-nopeft-arc", "0.001")
    assert spec.learning_rate in [trial.rate for trial in sweep.trials]
    assert sweep.chosen == spec.learning_rate


def losses_one_by_one(model, examples, ahead=0):
    """The loss of each target, every example by itself and all its logits; ``ahead`` tokens are put before each."""
    import torch

    losses = []
    for example in examples:
        with torch.inference_mode():
            odds = model(input_ids=torch.tensor([example.input_ids])).logits[0, ahead:].double().log_softmax(-1)
        for place, counts in enumerate(example.completion_mask):
            if counts:
                losses.append(-float(odds[place - 1, example.input_ids[place]]))
    return math.fsum(losses) / len(losses)


@pytest.mark.parametrize("size", [1, 3, 20])
def test_the_loss_is_the_mean_over_all_target_tokens(model_folder, runtime, size):
    examples = [*make_examples(model_folder, "squad", 7), *make_examples(model_folder, "arc", 4)]
    with at_work():
        model = load_weights(model_folder, runtime).eval()
        assert mean_loss(model, examples, size) == pytest.approx(losses_one_by_one(model, examples), rel=1e-5)
        assert mean_loss(model, [], size) is None
        for parameter in model.parameters():
            parameter.data.fill_(float("nan"))
        assert mean_loss(model, examples, size) is None


@pytest.mark.parametrize(("kind", "ahead"), [("LORA", 0), ("PROMPT_TUNING", 5), ("PREFIX_TUNING", 0)])
def test_so_it_is_with_an_adapter_beside_the_weights(model_folder, runtime, kind, ahead):
    import peft

    own = {"r": 2, "target_modules": ["q_proj"], "init_lora_weights": False}
    options = own if kind == "LORA" else {"num_virtual_tokens": 5}
    with at_work():
        config = peft.get_peft_config({"peft_type": kind, "task_type": "CAUSAL_LM", **options})
        model = peft.get_peft_model(load_weights(model_folder, runtime), config).eval()
        examples = make_examples(model_folder, "arc", 5)
        expected = losses_one_by_one(model, examples, ahead)
        assert mean_loss(model, examples, 2) == pytest.approx(expected, rel=1e-5)


def test_no_more_logits_are_made_than_from_the_first_target_on(model_folder, runtime):
    examples, shapes = make_examples(model_folder, "squad", 5), []
    with at_work():
        model = load_weights(model_folder, runtime).eval()
        model.lm_head.register_forward_hook(lambda *given: shapes.append(given[-1].shape))
        mean_loss(model, examples, 2)
    assert [shape[0] for shape in shapes] == [2, 2, 1]
    longest = max(len(example.input_ids) for example in examples)
    assert max(shape[1] for shape in shapes) < longest / 2

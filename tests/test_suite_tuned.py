"""Tuned recipes in suite files: what is swept around which rate, and the one sentence that each mistake gets."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from test_suite import TASKS, changed, sentence, write

from pytest_ftbench import lab
from pytest_ftbench.grid import Recipe, Suite, SweepSpec, UserError, load_suite
from pytest_ftbench.ml.rows import RowSource
from pytest_ftbench.settings import Settings
from pytest_ftbench.tasks import get_task


@pytest.fixture
def load(tmp_path):
    return lambda *changes, name="mine.toml": load_suite(write(tmp_path / name, changed(*changes)), TASKS)


def centres(suite):
    """The rate that each method's sweep lies around."""
    return {spec.name: suite.recipe_for(spec.name).learning_rate for spec in suite.methods if spec.method.trains}


def settings(**given):
    """The settings of a run that names nothing but these."""
    nothing = dict.fromkeys(("suite", "data", "samples", "seeds", "reasoning", "device", "dtype", "json"))
    return Settings(**(nothing | {"models": (), "cache": Path(), "retime": False} | given))


def test_by_its_name_it_is_the_published_one_but_for_its_rates(load):
    suite = load(("recipe", "tuned"))
    assert suite.tuned
    assert suite.recipe == Recipe()
    assert centres(suite) == {"nopeft": 1e-5, "lora": pytest.approx(1e-4)}
    assert suite.recipe_for("lora").name == "tuned"
    assert suite.recipe_for("lora").optim == "sgd"
    assert not load(("recipe", "published")).tuned


def test_a_tables_rate_is_full_fine_tunings_and_a_methods_own_is_its_own(load):
    recipe = {"name": "tuned", "learning_rate": 2e-4, "num_train_epochs": 2}
    suite = load(("recipe", recipe), ("methods.vera", {"ranks": [8]}))
    assert suite.tuned
    assert centres(suite) == {"nopeft": 2e-4, "lora": pytest.approx(2e-3), "vera": pytest.approx(2e-2)}
    assert suite.recipe_for("vera") == replace(
        Recipe(), name="tuned", learning_rate=suite.recipe_for("vera").learning_rate, num_train_epochs=2
    )
    own = load(("recipe", recipe), ("methods.lora.recipe", {"learning_rate": 5e-3}))
    assert centres(own)["lora"] == 5e-3


@pytest.mark.parametrize("stem", ["published", "tuned"])
def test_a_file_that_is_called_like_a_recipe_is_not_taken_for_it(load, stem):
    suite = load(name=f"{stem}.toml")
    assert not suite.tuned
    assert suite.recipe_for("nopeft") == Recipe(name="custom", learning_rate=1e-3)
    assert load(("recipe.name", "tuned"), name=f"{stem}.toml").recipe.name == "custom"


def test_the_option_tunes_any_suite_and_published_is_what_the_suite_itself_says(load):
    plain, tuned = load(), load(("recipe.name", "tuned"))
    assert settings(recipe="tuned").apply(plain) == tuned
    assert settings(recipe="published").apply(tuned) == plain
    assert settings(recipe="published").apply(plain) == settings().apply(plain) == plain
    assert settings().apply(tuned) == tuned
    assert centres(plain) == {"nopeft": 1e-3, "lora": 1e-3}


def test_how_it_sweeps_can_be_said_also_where_only_an_option_tunes(load):
    table = {"trials": 3, "factor": 2, "extensions": 0, "validation_samples": 20, "seed": 7}
    suite = load(("sweep", table))
    assert not suite.tuned
    assert suite.sweep == SweepSpec(3, 2, 0, 20, 7)
    assert suite.selection_seed == 7
    assert load().sweep == SweepSpec()


@pytest.mark.parametrize(
    ("changes", "place", "words"),
    [
        ([("recipe", "tune")], "recipe: is 'tune'", "choose one of published, tuned"),
        ([("sweep", 3)], "sweep: is 3", "table"),
        ([("sweep", {"trial": 3})], "sweep.trial: is an unknown key", "did you mean 'trials'"),
        ([("sweep", {"trials": 1})], "sweep.trials: is 1", "give at least 2"),
        ([("sweep", {"trials": 2.5})], "sweep.trials: is 2.5", "int"),
        ([("sweep", {"factor": 1})], "sweep.factor: is 1", "give at least 1.1"),
        ([("sweep", {"factor": "x"})], "sweep.factor: is 'x'", "float"),
        ([("sweep", {"centre": -1})], "sweep.centre: is -1", "give at least 0"),
        ([("recipe", "tuned"), ("sweep", {"centre": 0})], "methods.nopeft: a sweep around the rate 0", "above 0"),
        ([("sweep", {"extensions": -1})], "sweep.extensions: is -1", "give at least 0"),
        ([("sweep", {"validation_samples": 0})], "sweep.validation_samples: is 0", "give at least 20"),
        ([("sweep", {"seed": -1})], "sweep.seed: is -1", "give at least 0"),
        ([("recipe", "tuned"), ("sweep", {"seed": 0})], "sweep.seed: is 0", "tested with"),
        ([("recipe", {"name": "tuned", "learning_rate": 0})], "methods.nopeft: a sweep around the rate 0", "above 0"),
        ([("recipe", "tuned"), ("sweep", {"trials": 10**9})], "methods.nopeft: a sweep", "narrower"),
        ([("methods.lora.recipe", {"name": "tuned"})], "methods.lora.recipe.name: names", "a suite has one recipe"),
    ],
)
def test_a_mistake_is_one_sentence_with_file_key_and_fix(tmp_path, changes, place, words):
    said = sentence(write(tmp_path / "mine.toml", changed(*changes)))
    assert said.startswith(place)
    assert words in said


def test_a_seed_that_an_option_brings_in_must_not_be_the_sweeps(load):
    suite = load(("recipe", "tuned"), ("sweep", {"seed": 2}))
    settings(seeds=2).apply(suite)
    with pytest.raises(UserError, match=r"sweep\.seed: is 2, a seed that is tested with"):
        settings(seeds=3).apply(suite)
    # of a suite that isn't tuned nobody asks
    settings(seeds=3, recipe="published").apply(suite)


def test_the_sweeps_centre_is_full_fine_tunings_whatever_rates_the_recipes_name(load):
    own = ("methods.lora.recipe", {"learning_rate": 5e-3, "num_train_epochs": 3})
    plain, tuned = load(own), load(own, ("recipe.name", "tuned"), ("sweep", {"centre": 2e-4}))
    assert centres(tuned) == {"nopeft": 2e-4, "lora": pytest.approx(2e-3)}
    assert tuned.recipe_for("lora").num_train_epochs == 3
    # as it stands the suite is what it was
    assert centres(settings(recipe="published").apply(tuned)) == centres(plain) == {"nopeft": 1e-3, "lora": 5e-3}


SUITES = sorted((Path(__file__).parents[1] / "benchmarks" / "suites").glob("*.toml"))
SMALL = ("embedded", "real-rows")
PRIORS = {"nopeft": 1, "lora": 10, "dora": 10, "qlora": 10, "adalora": 10, "vera": 100, "ia3": 100}


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_each_suites_sweeps_lie_around_what_its_methods_usually_need(path):
    suite = load_suite(path, (*TASKS, "facts"))
    tuned = settings(recipe="tuned", seeds=3).apply(suite)
    assert isinstance(tuned, Suite)
    found = centres(tuned)
    # full fine-tuning of models this small takes more than the studies' 1e-5
    low, high = (1e-4, 5e-4) if path.stem.startswith(SMALL) else (1e-5, 1e-4)
    assert low <= found["nopeft"] <= high
    for method, rate in found.items():
        assert rate == pytest.approx(found["nopeft"] * PRIORS[method])
        tried = tuned.sweep.wanted(rate, [])
        assert tried[0] < rate < tried[-1] < 1
    assert settings(recipe="published").apply(tuned) == replace(suite, seeds=(0, 1, 2))


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("embedded", {"nopeft": 2e-4, "lora": 2e-4}),
        ("embedded-facts", {"nopeft": 1e-3, "lora": 1e-3}),
        ("real-rows", {"nopeft": 2e-3, "lora": 2e-3}),
        ("qwen3-shape", {"nopeft": 1e-5, "lora": 1e-5}),
        (
            "embedded-methods",
            {"nopeft": 2e-4, "lora": 2e-3, "dora": 2e-3, "vera": 2e-2, "qlora": 2e-3, "ia3": 2e-3, "adalora": 2e-3},
        ),
    ],
)
def test_untuned_they_train_at_the_rates_that_were_published(name, rates):
    (path,) = (path for path in SUITES if path.stem == name)
    assert centres(load_suite(path, (*TASKS, "facts"))) == rates


def test_too_few_rows_to_choose_by_are_known_without_a_model(load, tmp_path):
    suite = load(("data.source", str(tmp_path)))
    rows = lab.rows("arc", "train", 30)
    (tmp_path / "train-ai2_arc.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    suite = replace(suite, train_tasks=("arc",))
    assert settings().apply(suite) == suite
    tuned = RowSource.of(settings(recipe="tuned").apply(suite))
    with pytest.raises(UserError, match=r"train-ai2_arc\.jsonl: has too few rows to choose learning rates by"):
        tuned.check_validation([get_task("arc")])

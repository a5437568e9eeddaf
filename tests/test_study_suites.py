"""The suites of the studies: what they repeat is what the studies' texts say, and each has a twin that runs offline."""

from pathlib import Path

import pytest

from pytest_ftbench.grid import QUESTIONS, STUDIES, Recipe, UserError, load_suite
from pytest_ftbench.tasks import TASK_NAMES

SUITES = Path(__file__).parents[1] / "benchmarks" / "suites"


def suite_of(name):
    return load_suite(SUITES / f"{name}.toml", TASK_NAMES)


def ways(suite):
    """The methods that train and their ranks."""
    return {method.name: method.ranks for method in suite.methods if method.method.trains}


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_and_its_twin_ask_the_studys_questions(name):
    study, twin = suite_of(name), suite_of(f"embedded-{name}")
    assert study.questions == twin.questions == STUDIES[name]
    assert set(ways(study)) == set(ways(twin))
    assert study.train_tasks == twin.train_tasks or name == "quantization"
    assert all(model.source.startswith("embedded:") for model in twin.models)
    assert twin.data.source == "embedded"


@pytest.mark.parametrize("name", ["tune-or-scale", "peft-variants", "quantization"])
def test_a_study_is_trained_by_the_published_recipe(name):
    suite = suite_of(name)
    for method in suite.methods:
        assert suite.recipe_for(method.name) == Recipe()
        assert not method.options
    assert {model.source for model in suite.models} == {"Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B"}
    assert (suite.data.train_samples, suite.data.test_samples, suite.evaluation.max_new_tokens) == (1000, 200, 1000)


def test_tune_or_scale_has_the_ranks_tasks_and_reasoning_of_its_study():
    suite = suite_of("tune-or-scale")
    assert ways(suite) == {"nopeft": (), "lora": (32, 64, 256, 512, 1024)}
    assert suite.train_tasks == suite.eval_tasks == ("arc", "openmath", "squad")
    assert suite.evaluation.reasoning == "unlocked"
    assert "qwen3-0.6b-lora-r1024-squad-to-arc" in {cell.id for cell in suite.cells()}
    lora = suite.method("lora").method.defaults
    assert (lora["lora_alpha"], lora["lora_dropout"]) == (16, 0.1)
    assert set(lora["target_modules"]) == {"q_proj", "k_proj", "v_proj", "o_proj"}


def test_peft_variants_has_the_ranks_and_tasks_of_its_study():
    suite = suite_of("peft-variants")
    assert ways(suite) == {"nopeft": (), "lora": (256, 512), "dora": (256, 512), "vera": (512, 1024)}
    assert suite.train_tasks == ("openmath", "squad")
    assert suite.eval_tasks == ("arc", "openmath", "squad")
    assert suite.evaluation.reasoning == "off"


@pytest.mark.parametrize("name", ["fact-learning", "embedded-fact-learning"])
def test_fact_learning_has_the_ranks_and_alphas_of_its_study(name):
    suite = suite_of(name)
    assert ways(suite) == {"nopeft": (), "lora": (4, 8), "qlora": (8,), "ia3": ()}
    # r 4 with alpha 16, r 8 with alpha 32
    assert {method.options["lora_alpha"] for method in suite.methods if method.ranks} == {"4r"}
    assert 3 in suite.evaluation.epochs


def test_two_alphas_that_are_no_multiple_of_their_ranks_are_two_methods(tmp_path):
    path = tmp_path / "mine.toml"
    other = "{ peft_type = 'LORA', ranks = [8], lora_alpha = 20, target_modules = 'attention' }"
    methods = f"lora = {{ ranks = [4] }}\nlora_b = {other}"
    path.write_text(
        f'[models]\nnano = "embedded:nano"\n[methods]\n{methods}\n[tasks]\ntrain = ["arc"]\neval = ["arc"]\n',
        encoding="utf-8",
    )
    assert [cell.id for cell in load_suite(path, TASK_NAMES).cells()] == [
        "nano-lora-r4-arc-to-arc",
        "nano-lora_b-r8-arc-to-arc",
    ]


@pytest.mark.parametrize(
    ("questions", "said"),
    [
        ('["does-rank-mater"]', "questions: names 'does-rank-mater'; did you mean 'does-rank-matter'?"),
        ('"does-rank-matter"', "questions: is 'does-rank-matter'; give a list of names"),
        ("[3]", "questions: is [3]; give a list of names"),
        ('["does-rank-matter", "does-rank-matter"]', "questions: names one twice"),
    ],
)
def test_a_question_that_is_none_is_a_sentence(tmp_path, questions, said):
    path = tmp_path / "mine.toml"
    path.write_text(
        f'questions = {questions}\n[models]\nnano = "embedded:nano"\n[methods]\nbase = {{}}\n[tasks]\neval = ["arc"]\n',
        encoding="utf-8",
    )
    with pytest.raises(UserError) as error:
        load_suite(path, TASK_NAMES)
    assert said in str(error.value)


def test_every_question_is_one_sentence():
    assert all(text.endswith("?") and text.count("?") == 1 for text in QUESTIONS.values())

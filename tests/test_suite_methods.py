"""The methods of a suite: those of the registry, those named by PEFT's type, and what is quantized when."""

from pathlib import Path

import pytest

from pytest_ftbench.grid import METHODS, UserError, load_suite
from pytest_ftbench.tasks import TASK_NAMES

SUITES = sorted((Path(__file__).parents[1] / "benchmarks" / "suites").glob("*.toml"))

SUITE = """
{top}
[models]
nano = "embedded:nano"
[methods]
base = {{}}
{methods}
[tasks]
train = ["arc"]
eval = ["squad"]
[evaluation]
{evaluation}
"""


def suite_of(tmp_path, methods="nopeft = {}", top="", evaluation=""):
    """The suite with these lines in it."""
    path = tmp_path / "mine.toml"
    path.write_text(SUITE.format(top=top, methods=methods, evaluation=evaluation), encoding="utf-8")
    return load_suite(path, ("arc", "squad"))


def ids(suite):
    """The ids of its cells, without what is the same in all."""
    return [cell.id.removeprefix("nano-").removesuffix("-to-squad").removesuffix("-arc") for cell in suite.cells()]


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.trains])
def test_every_method_can_be_named_alone(tmp_path, name):
    ranks = "{ ranks = [4, 8] }" if METHODS[name].rank_field else "{}"
    suite = suite_of(tmp_path, f"{name} = {ranks}")
    assert ids(suite)[1:] == ([f"{name}-r4", f"{name}-r8"] if METHODS[name].rank_field else [name])
    assert suite.method(name).trained_on == METHODS[name].quantization


def test_any_other_method_of_pefts_is_its_type_and_fields(tmp_path):
    suite = suite_of(
        tmp_path, 'oft = { peft_type = "oft", ranks = [32], rank_field = "oft_block_size", module_dropout = 0.1 }'
    )
    spec = suite.method("oft")
    assert ids(suite) == ["base", "oft-r32"]
    assert (spec.method.peft_type, spec.method.rank_field) == ("OFT", "oft_block_size")
    assert spec.options == {"module_dropout": 0.1}


def test_a_prompt_stands_beside_the_weights_whatever_is_said_of_others(tmp_path):
    methods = 'prompt = { peft_type = "PROMPT_TUNING", num_virtual_tokens = 4 }'
    suite = suite_of(tmp_path, methods, evaluation='quantized_adapters = "requantized"')
    assert [suite.adapter_form("prompt", quantization) for quantization in (None, "nf4")] == ["unmerged"] * 2


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_suite_that_ships_has_cells(path):
    assert len(load_suite(path, TASK_NAMES).cells()) > 3


def test_quantization_is_an_axis_that_a_method_may_have_of_its_own(tmp_path):
    methods = 'nopeft = {}\nqlora = { ranks = [8], quantizations = ["none", "nf4"] }'
    suite = suite_of(tmp_path, methods, top='quantizations = ["int8"]')
    assert ids(suite) == ["base-int8", "nopeft-int8", "qlora-r8", "qlora-r8-nf4"]


@pytest.mark.parametrize(
    ("evaluation", "forms"),
    [
        ("", ["merged", "requantized", "merged", "unmerged", "merged", "requantized"]),
        ('adapters = "unmerged"', ["unmerged", "requantized", "unmerged", "unmerged", "merged", "requantized"]),
        ('quantized_adapters = "requantized"', ["merged", "requantized"] * 3),
        ('quantized_adapters = "unmerged"', ["merged", "unmerged"] * 3),
    ],
)
def test_how_an_adapter_answers_is_said_and_never_rounded_in_silence(tmp_path, evaluation, forms):
    methods = (
        'lora = { ranks = [8] }\nqlora = { ranks = [8] }\ndora = { ranks = [8], adapters = "merged" }\nnopeft = {}'
    )
    suite = suite_of(tmp_path, methods, top='quantizations = ["none", "nf4"]', evaluation=evaluation)
    found = {
        (cell.method, cell.quantization): suite.adapter_form(cell.method, cell.quantization) for cell in suite.cells()
    }
    assert [found[method, q] for method in ("lora", "qlora", "dora") for q in (None, "nf4")] == forms
    assert {found[method, q] for method in ("base", "nopeft") for q in (None, "nf4")} == {None}


@pytest.mark.parametrize(
    ("methods", "place", "fix"),
    [
        ("loha = { ranks = [8] }", "methods.loha: is no method", "needs its peft_type"),
        ('lora = { peft_type = "LORA", ranks = [8] }', "methods.lora: has a PEFT type of its own", "another name"),
        ('r8 = { peft_type = "LORA" }', "methods.r8: is no name for a method", "no rank"),
        ('int8 = { peft_type = "LORA" }', "methods.int8: is no name for a method", "no quantization"),
        ("x = { peft_type = 3 }", "methods.x.peft_type: is 3", "type str"),
        ('lora = { ranks = [8], lora_alpha = "2x" }', "methods.lora.lora_alpha: is '2x'", "type float"),
        ('lora = { ranks = [8], adapters = "melted" }', "methods.lora.adapters: is 'melted'", "merged, unmerged"),
        ('nopeft = { adapters = "merged" }', "methods.nopeft.adapters: is an unknown key", "quantizations"),
        (
            'lora = { ranks = [8], quantizations = ["fp4"] }',
            "methods.lora.quantizations: is ['fp4']",
            "none, nf4, int8",
        ),
        (
            'lora = { ranks = [8], train_quantization = "fp4" }',
            "methods.lora.train_quantization: is 'fp4'",
            "nf4, int8",
        ),
        ("adalora = { ranks = [8], init_r = 0 }", "methods.adalora.init_r: is 0", "at least 1"),
        ('qlora = { ranks = [8], train_quantization = "none" }', "methods.qlora.train_quantization", "nf4, int8"),
        ('lora = { ranks = [8], use_rslora = "2r" }', "methods.lora.use_rslora: is '2r'", "type bool"),
        ('lora = { ranks = [8], lora_alpha = "0r" }', "methods.lora.lora_alpha: is '0r'", "give a number"),
        ("lora = { ranks = [8], lora_dropout = 1.5 }", "methods.lora.lora_dropout: is 1.5", "below 1"),
        ("lora = { ranks = [8], target_modules = [] }", "methods.lora.target_modules: is empty", "at least one"),
        ("dora = { ranks = [8], use_dora = false }", "methods.dora.use_dora: is an unknown key", "known are"),
        ('x = { peft_type = "LORA", ranks = [8], r = 3 }', "methods.x.r: is set by ranks", "remove"),
        ('x = { peft_type = "OFT", rank_field = "r" }', "methods.x.rank_field: is given without ranks", "ranks = [8]"),
        ("ia3 = { ranks = [8] }", "methods.ia3.ranks: is given for a method without a rank", "remove"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, methods, place, fix):
    with pytest.raises(UserError) as caught:
        suite_of(tmp_path, methods)
    said = str(caught.value)
    assert place in said
    assert fix in said
    assert "\n" not in said

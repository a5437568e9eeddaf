"""The vLLM engine against a stand-in for vLLM: what it is given, and what is made of what it says."""

import sys
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import pytest
from models import at_work
from test_ml_engine import FAMILIES, _Tokenizer

from pytest_ftbench.grid import UserError
from pytest_ftbench.ml import engine_vllm
from pytest_ftbench.ml.engine import Engines, check_engine

pytestmark = pytest.mark.torch

END = 5


class LLM:
    """Answers as told, and remembers what it was given."""

    answers: tuple[SimpleNamespace, ...] = ()
    made: ClassVar[list["LLM"]] = []

    def __init__(self, model, **options):
        from pathlib import Path

        self.files = sorted(path.name for path in Path(model).iterdir())
        self.options = options
        self.asked = []
        LLM.made.append(self)

    def generate(self, prompts, sampling, use_tqdm):
        self.asked.append((prompts, sampling))
        return [SimpleNamespace(outputs=[answer]) for answer in self.answers]


@pytest.fixture
def vllm(monkeypatch):
    module = ModuleType("vllm")
    module.LLM, module.SamplingParams = LLM, lambda **fields: SimpleNamespace(**fields)
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setattr(engine_vllm, "is_installed", lambda: True)
    LLM.made.clear()
    return module


def said(*tokens, reason="length", stop=None):
    return SimpleNamespace(token_ids=list(tokens), finish_reason=reason, stop_reason=stop)


def test_it_is_handed_a_folder_of_whole_weights_and_tokens(vllm, monkeypatch):
    monkeypatch.setattr(LLM, "answers", (said(7, 8, END, reason="stop", stop=END), said(9, reason="stop", stop=END)))
    engine = Engines("vllm").loaded(FAMILIES["Llama"](), _Tokenizer, 8)
    assert engine.generate([[1, 2], [3]], 4, {END}, lambda _: None) == [[7, 8, END], [9, END]]
    [made] = LLM.made
    assert {"config.json", "model.safetensors"} <= set(made.files)
    assert made.options["skip_tokenizer_init"] is True
    assert made.options["dtype"] == "float32"
    [(prompts, sampling)] = made.asked
    assert prompts == [{"prompt_token_ids": [1, 2]}, {"prompt_token_ids": [3]}]
    assert (sampling.temperature, sampling.max_tokens, sampling.stop_token_ids) == (0.0, 4, [END])
    assert sampling.ignore_eos is True
    assert engine.told()["name"] == "vllm"


@pytest.mark.parametrize("answers", [(), (said(1),), (said(1), said()), (said(1), said(*range(9)))])
def test_a_missing_an_empty_or_a_long_answer_is_an_error(vllm, monkeypatch, answers):
    monkeypatch.setattr(LLM, "answers", answers)
    engine = Engines("vllm").loaded(FAMILIES["Llama"](), _Tokenizer, 8)
    with pytest.raises(RuntimeError, match="vLLM"):
        engine.generate([[1], [2]], 4, {END}, lambda _: None)


def test_adapters_beside_the_weights_never_reach_it(vllm):
    from peft import LoraConfig, get_peft_model

    for dora in (False, True):
        config = LoraConfig(target_modules=["q_proj"], use_dora=dora, task_type="CAUSAL_LM")
        with at_work():
            engine = Engines("vllm").loaded(get_peft_model(FAMILIES["Llama"](), config), _Tokenizer, 8)
        assert engine.told() == {"name": "plain", "rows": 8, "why": "an adapter is beside its weights"}
    assert LLM.made == []


def test_without_vllm_a_suite_that_asks_for_it_is_refused(monkeypatch):
    monkeypatch.setattr(engine_vllm, "is_installed", lambda: False)
    check_engine("auto")
    with pytest.raises(UserError, match="vllm, which isn't installed"):
        check_engine("vllm")

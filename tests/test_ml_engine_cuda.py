"""The fast engine on a GPU: recorded steps, with kernels and without, answer as ``generate()`` does in float32.

Skipped where there is none.
"""

import random
from dataclasses import replace

import pytest
from models import at_work
from test_ml_engine import FAMILIES, some_prompts

from pytest_ftbench.ml.engine_fast import Fast
from pytest_ftbench.ml.engine_plain import Plain
from pytest_ftbench.ml.latency_fast import time_tokens
from pytest_ftbench.ml.memory import free
from pytest_ftbench.ml.runtime import Runtime

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]

BUDGET = 30
# heads of a width that the kernels take, and one they don't
WIDE = ("Qwen3", "Qwen3 tied", "Qwen2, with biases", "Llama, one pair for all")


def on_gpu(family):
    with at_work():
        return FAMILIES[family]().to("cuda")


def alone(model, prompts, ends=()):
    plain = Plain(1, 0)
    plain.load(model)
    with at_work():
        return plain.generate(prompts, BUDGET, ends)


def engine_of(model, kernels=True, **pace):
    engine = Fast("cuda")
    engine.pace = replace(engine.pace, **pace)
    if not kernels:
        engine._kernels = lambda _cache: None
    with at_work():
        assert engine.refuses(model) is None
        assert engine.load(model) is None
    return engine


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kernels", [True, False], ids=["kernels", "operations"])
def test_every_family_answers_as_generate_does(family, kernels):
    model, prompts = on_gpu(family), some_prompts(40, 150)
    expected = alone(model, prompts)
    ends = {answer[index % BUDGET] for index, answer in enumerate(expected[:6])}
    engine = engine_of(model, kernels)
    with at_work():
        assert engine.generate(prompts, BUDGET, ()) == expected
        assert engine.generate(prompts, BUDGET, ends) == alone(model, prompts, ends)
        few = replace(engine.pace, tokens=200, look=3)
        engine.pace, engine.rows = few, 8
        engine._drop_cache()
        assert engine.generate(prompts, BUDGET, ends) == alone(model, prompts, ends)
    if kernels:
        # Triton's products on the chip take nothing narrower than 16
        assert (engine.without is None) == (engine._stack.shape.width >= 16), engine.without


def test_another_models_weights_are_computed_by_the_same_recorded_steps():
    first, second = on_gpu("Qwen3"), on_gpu("Qwen3")
    with torch.no_grad():
        for parameter in second.parameters():
            parameter += 0.3 * parameter.std() * torch.randn_like(parameter)
    prompts = some_prompts()
    engine = engine_of(first)
    with at_work():
        engine.generate(prompts, BUDGET, ())
        recorded = engine.recorded[0]
        for model in (second, first):
            assert engine.load(model) is None
            assert engine.generate(prompts, BUDGET, ()) == alone(model, prompts)
        assert engine.recorded[0] == recorded > 0
        engine.release()
    assert engine.recorded[0] == 0


def test_what_it_held_is_given_back():
    model = on_gpu("Qwen3")
    alone(model, [[1, 2]])
    runtime = Runtime.choose("cuda", "float32")
    free(runtime)
    before = torch.cuda.memory_allocated()
    engine = engine_of(model)
    with at_work():
        engine.generate(some_prompts(), BUDGET, ())
        assert torch.cuda.memory_allocated() > before
        engine.release()
    free(runtime)
    assert torch.cuda.memory_allocated() == before


def test_one_answer_at_a_time_has_the_tokens_of_generate():
    model, prompts = on_gpu("Qwen3"), some_prompts(5, 40)
    ends = {random.Random(0).choice(alone(model, prompts)[0])}
    engine = engine_of(model)
    for prompt, answer in zip(prompts, alone(model, prompts, ends), strict=True):
        seconds, first, tokens = time_tokens(engine, prompt, BUDGET, ends)
        assert 0 < first <= seconds
        assert tokens == len(answer)

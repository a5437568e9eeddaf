"""The fast engine: in float32, token by token what ``generate()`` answers at batch 1, whatever is asked beside it."""

import gc
import random
import weakref

import pytest
from models import at_work

from pytest_ftbench import lab
from pytest_ftbench.grid import DivergedError
from pytest_ftbench.ml.base import end_tokens, load_tokenizer, load_weights
from pytest_ftbench.ml.engine import Engines
from pytest_ftbench.ml.engine_fast import Fast
from pytest_ftbench.ml.engine_plain import Plain
from pytest_ftbench.ml.engine_stack import why_not
from pytest_ftbench.ml.prompts import Renderer
from pytest_ftbench.tasks import get_task

pytestmark = pytest.mark.torch

BUDGET = 12
SMALL = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": None,
}


def make(family, **changes):
    """A tiny random model of a family."""
    import torch
    import transformers

    config = getattr(transformers, f"{family}Config")(**SMALL | changes)
    with at_work():
        torch.manual_seed(0)
        return getattr(transformers, f"{family}ForCausalLM")(config).eval()


FAMILIES = {
    "Qwen3": lambda: make("Qwen3", head_dim=16),
    "Qwen3 tied": lambda: make("Qwen3", head_dim=8, tie_word_embeddings=True),
    "Qwen2, with biases": lambda: make("Qwen2"),
    "Llama": lambda: make("Llama"),
    "Llama, one pair for all": lambda: make("Llama", num_key_value_heads=1, attention_bias=True, mlp_bias=True),
    "Llama, scaled positions": lambda: make(
        "Llama",
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 10_000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    ),
}


def alone(model, prompts, budget=BUDGET, ends=()):
    """What ``generate()`` answers to each prompt by itself."""
    import torch

    found = []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        with at_work(), torch.inference_mode():
            whole = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=budget,
                do_sample=False,
                eos_token_id=sorted(ends) or None,
                pad_token_id=0,
            )
        found.append(whole[0, len(prompt) :].tolist())
    return found


def fast(model, prompts, budget=BUDGET, ends=(), **pace):
    """What the fast engine answers."""
    engine = Fast("cpu")
    for name, value in pace.items():
        object.__setattr__(engine, name, value)
    with at_work():
        assert engine.refuses(model) is None
        assert engine.load(model) is None
        return engine.generate(prompts, budget, ends)


def some_prompts(count=23, longest=60, shared=0):
    """Prompts of very unlike lengths, in no order, that begin alike."""
    draw = random.Random(count)
    lengths = [draw.choice((1, 2, 3, longest // 2, longest, draw.randint(1, longest))) for _ in range(count)]
    beginning = [draw.randrange(1, 300) for _ in range(shared)]
    return [beginning + [draw.randrange(1, 300) for _ in range(length)] for length in lengths]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_answers_as_generate_does(family):
    model = FAMILIES[family]()
    prompts = some_prompts()
    expected = alone(model, prompts)
    assert fast(model, prompts) == expected
    # they say different things, and not one token again and again
    assert len({tuple(answer) for answer in expected}) > 15
    assert max(len(set(answer)) for answer in expected) > 6


@pytest.mark.parametrize("shared", [0, 3, 20])
def test_what_all_prompts_begin_with_is_computed_once_and_changes_nothing(shared):
    model = FAMILIES["Qwen3"]()
    prompts = some_prompts(shared=shared)
    assert fast(model, prompts) == alone(model, prompts)


def test_a_prompt_may_be_what_others_begin_with():
    model = FAMILIES["Qwen3"]()
    prompts = [list(range(1, count)) for count in (9, 30, 9, 12, 2)]
    assert fast(model, prompts) == alone(model, prompts)
    same = [prompts[1]] * 5
    assert fast(model, same) == alone(model, same)


@pytest.mark.parametrize("rows", [1, 2, 5, 64])
def test_fewer_rows_than_prompts_answer_them_in_turn(rows):
    model = FAMILIES["Qwen3"]()
    prompts = some_prompts()
    ends = {answer[index % BUDGET] for index, answer in enumerate(alone(model, prompts))}
    assert fast(model, prompts, ends=ends, rows=rows) == alone(model, prompts, ends=ends)


@pytest.mark.parametrize("look", [1, 3, 8])
@pytest.mark.parametrize("steps", [(), (1, 2, 4, 8, 16, 32)])
def test_ends_at_any_length_and_the_rows_move_together(look, steps):
    from dataclasses import replace

    model = FAMILIES["Llama"]()
    prompts = some_prompts(30)
    ends = {token for index, answer in enumerate(alone(model, prompts, 40)) for token in answer[index : index + 1]}
    expected = alone(model, prompts, 40, ends)
    assert len({len(answer) for answer in expected}) > 5
    pace = replace(Fast("cpu").pace, rows=16, tokens=100, look=look, stride=16, steps=steps)
    assert fast(model, prompts, 40, ends, pace=pace, rows=16) == expected


def test_a_first_token_may_end_an_answer_and_a_single_one_may_be_all_there_is():
    model = FAMILIES["Qwen3"]()
    prompts = some_prompts()
    first = {answer[0] for answer in alone(model, prompts, 1)}
    assert fast(model, prompts, 1) == alone(model, prompts, 1)
    assert fast(model, prompts, BUDGET, first) == [answer[:1] for answer in alone(model, prompts)]
    [some, *_] = sorted(first)
    assert fast(model, prompts, BUDGET, {some}) == alone(model, prompts, BUDGET, {some})


def test_one_prompt_and_no_prompt():
    model = FAMILIES["Qwen3"]()
    assert fast(model, [[7]]) == alone(model, [[7]])
    assert fast(model, []) == []


def test_another_models_weights_take_the_place_of_the_first_and_nothing_is_left_of_those():
    import torch

    first, second = FAMILIES["Qwen3"](), FAMILIES["Qwen3"]()
    with torch.no_grad():
        for parameter in second.parameters():
            parameter += 0.3 * parameter.std() * torch.randn(parameter.shape, generator=torch.manual_seed(5))
    prompts = some_prompts()
    engine = Fast("cpu")
    with at_work():
        found = []
        for model in (first, second, first):
            assert engine.load(model) is None
            found.append(engine.generate(prompts, BUDGET, ()))
        assert engine.load(FAMILIES["Llama"]()) is None  # of another shape
        assert engine.generate(prompts, BUDGET, ()) == alone(FAMILIES["Llama"](), prompts)
    assert found == [alone(first, prompts), alone(second, prompts), alone(first, prompts)]
    assert found[0] != found[1]


def test_a_model_that_computes_no_numbers_is_left_to_the_plain_engine_and_leaves_nothing_behind():
    import torch

    broken, model, prompts = FAMILIES["Qwen3"](), FAMILIES["Qwen3"](), some_prompts()
    engine = Fast("cpu")
    with at_work(), torch.no_grad():
        engine.load(model)
        expected = engine.generate(prompts, BUDGET, ())
        broken.model.layers[0].self_attn.k_proj.weight.fill_(float("nan"))
        assert "logits" in (engine.load(broken) or "")
        with pytest.raises(DivergedError, match="its logits are not numbers"):
            engine.generate(prompts, BUDGET, ())
        assert engine.load(model) is None
        assert engine.generate(prompts, BUDGET, ()) == expected


def test_the_cache_stays_from_one_task_to_the_next():
    model, engine = FAMILIES["Qwen3"](), Fast("cpu")
    with at_work():
        engine.load(model)
        long, short = some_prompts(20), some_prompts(7, 9)
        engine.generate(long, BUDGET, ())
        before = engine._cache
        assert engine.generate(short, BUDGET, ()) == alone(model, short)
        assert engine._cache is before
        held = weakref.ref(before.keys), weakref.ref(engine._stack)
        del before
        gc.disable()  # nothing is to wait for a collection of cycles
        engine.release()
        gc.enable()
        assert [each() for each in held] == [None, None]


def test_progress_counts_the_answers_up():
    told = []
    engine = Fast("cpu")
    with at_work():
        engine.load(FAMILIES["Qwen3"]())
        engine.generate(some_prompts(), BUDGET, (), told.append)
    assert told == sorted(told)
    assert told[-1] == 23


def test_out_of_memory_takes_fewer_rows_and_loses_nothing(monkeypatch):
    import torch

    from pytest_ftbench.ml import engine_fast

    made, cache = [], engine_fast.Cache

    def scarce(stack, rows, length):
        made.append(rows)
        if rows > 6:
            raise torch.OutOfMemoryError
        return cache(stack, rows, length)

    model, prompts = FAMILIES["Qwen3"](), some_prompts()
    engine = Fast("cpu")
    with at_work():
        engine.load(model)
        monkeypatch.setattr(engine_fast, "Cache", scarce)
        assert engine.generate(prompts, BUDGET, ()) == alone(model, prompts)
    assert made == [23, 23, 16, 8, 4]
    assert engine.told()["rows"] == 4


def test_without_room_for_a_single_row_the_plain_engine_answers(monkeypatch):
    import torch

    from pytest_ftbench.ml import engine_fast

    class Full:
        def __init__(self, *_, **__):
            raise torch.OutOfMemoryError

    model, prompts = FAMILIES["Qwen3"](), some_prompts()
    expected = alone(model, prompts)
    for place in ("Stack", "Cache"):
        with at_work(), monkeypatch.context() as patch:
            patch.setattr(engine_fast, place, Full)
            found, told = Engines().answers(model, _Tokenizer, 8, prompts, BUDGET, ())
        assert found == expected
        assert told["name"] == "plain"
        assert "no room" in told["why"]


@pytest.mark.parametrize("name", lab.SHAPES)
@pytest.mark.parametrize("task_name", lab.TASKS)
def test_the_embedded_models_answer_every_prompt_of_the_lab_as_generate_does(name, task_name, runtime):
    folder, task = lab.model_folder(name), get_task(task_name)
    with at_work():
        tokenizer, model = load_tokenizer(folder), load_weights(folder, runtime).eval()
        renderer = Renderer(tokenizer, "off")
        rows = lab.rows(task_name, "test", 200)
        # every prompt on the smaller model; what the larger one takes four times as long for, at a stride
        prompts = [renderer.encode(renderer.prompt(task.messages(row))) for row in rows]
        prompts = prompts if name == "nano" else prompts[::5]
        ends = end_tokens(model, tokenizer)
    assert fast(model, prompts, 24, ends) == alone(model, prompts, 24, ends)


def test_what_it_does_not_know_is_left_to_the_plain_engine():
    import torch
    from peft import LoraConfig, get_peft_model

    assert "GPTNeoX" in (why_not(make("GPTNeoX")) or "")
    assert "activation" in (why_not(make("Llama", hidden_act="gelu")) or "")
    dynamic = {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 2.0}
    assert "positions" in (why_not(make("Llama", rope_parameters=dynamic)) or "")
    sliding = make("Qwen3", use_sliding_window=True, sliding_window=8, max_window_layers=0, head_dim=8)
    assert "layers" in (why_not(sliding) or "")
    mixed = FAMILIES["Llama"]()
    mixed.lm_head.to(torch.bfloat16)
    assert "dtypes" in (why_not(mixed) or "")
    assert "float32" in (Fast("cpu").refuses(FAMILIES["Llama"]().to(torch.bfloat16)) or "")
    with at_work():
        adapted = get_peft_model(FAMILIES["Llama"](), LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM"))
        assert "PeftModel" in (why_not(adapted) or "")
        assert "adapter" in (why_not(adapted.get_base_model()) or "")
        assert why_not(adapted.merge_and_unload()) is None


def test_a_stack_that_computes_something_else_is_found_out():
    model = FAMILIES["Qwen3"]()
    rotary = model.model.rotary_emb.forward
    engine = Fast("cpu")
    with at_work():
        assert engine.load(model) is None
        # positions that the model's own forward pass doesn't see
        engine._stack._rotary = lambda state, positions: rotary(state, positions + positions % 2)
        assert "logits" in (engine._apart(model) or "")


class _Tokenizer:
    pad_token_id = 0


def test_the_wish_decides_and_the_record_is_told_why():
    import torch

    model = FAMILIES["Llama"]()
    with at_work():
        assert Engines().loaded(model, _Tokenizer, 8).told() == {"name": "cpu", "rows": 64}
        plain = Engines("plain").loaded(model, _Tokenizer, 8)
        assert plain.told() == {"name": "plain", "rows": 8, "why": "it was asked for"}
        halves = Engines().loaded(FAMILIES["Llama"]().to(torch.bfloat16), _Tokenizer, 8)
        assert halves.told()["name"] == "plain"
        assert "float32" in halves.told()["why"]


@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_the_plain_engine_answers_in_batches(batch_size):
    model, prompts, told = FAMILIES["Qwen3"](), some_prompts(), []
    ends = {answer[4] for answer in alone(model, prompts)}
    plain = Plain(batch_size, 0)
    plain.load(model)
    with at_work():
        assert plain.generate(prompts, BUDGET, ends, told.append) == alone(model, prompts, ends=ends)
        assert plain.generate(prompts, BUDGET, ()) == alone(model, prompts)
    assert told[-1] == 23

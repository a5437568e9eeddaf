"""Prompts and training examples: one text for training and evaluation, nothing lost on the way to tokens."""

import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import at_work

from pytest_ftbench import lab
from pytest_ftbench.grid import ModelSpec, UserError
from pytest_ftbench.ml.base import PLAIN_TURNS, find_base, load_tokenizer, load_weights
from pytest_ftbench.ml.generate import Decoder
from pytest_ftbench.ml.prompts import Renderer, training_examples
from pytest_ftbench.ml.targets import differs
from pytest_ftbench.tasks import TASK_NAMES, get_task
from pytest_ftbench.tasks.openmath import OpenMathTask

pytestmark = pytest.mark.torch

REASONING = ("on", "off", "unlocked")
EMPTY_THOUGHT = "<think>\n\n</think>\n\n"
# the part of Qwen3's own template that matters here
QWEN3 = """
{%- for message in messages %}
{%- if message.content is string %}{%- set content = message.content %}{%- else %}{%- set content = '' %}{%- endif %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.role == 'assistant' %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{{- content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}
"""


@pytest.fixture(scope="module")
def shared_tokenizer(model_folder):
    with at_work():
        return load_tokenizer(model_folder)


@pytest.fixture
def tokenizer(model_folder):
    with at_work():
        return load_tokenizer(model_folder)


@pytest.fixture(scope="module")
def decoder(model_folder, shared_tokenizer, runtime):
    with at_work():
        return Decoder(load_weights(model_folder, runtime), shared_tokenizer, 4)


def answer_tokens(example):
    return [token for token, mine in zip(example.input_ids, example.completion_mask, strict=True) if mine]


def prompt_tokens(example):
    return [token for token, mine in zip(example.input_ids, example.completion_mask, strict=True) if not mine]


@pytest.mark.parametrize("reasoning", REASONING)
@pytest.mark.parametrize("name", TASK_NAMES)
def test_a_model_is_trained_on_the_very_prompt_it_is_tested_with(shared_tokenizer, decoder, name, reasoning):
    task, renderer = get_task(name), Renderer(shared_tokenizer, reasoning)
    for row in lab.rows(name, "train", 5):
        [tested] = decoder.encode([renderer.prompt(task.messages(row))])["input_ids"].tolist()
        assert prompt_tokens(renderer.example(task, row)) == tested


@pytest.mark.parametrize("reasoning", REASONING)
@pytest.mark.parametrize("name", TASK_NAMES)
def test_an_example_is_the_prompt_then_the_target_then_the_end_token(shared_tokenizer, name, reasoning):
    task, renderer = get_task(name), Renderer(shared_tokenizer, reasoning)
    # with thinking off the prompt has the empty think block already, otherwise the template puts it before the answer
    thought = "" if reasoning == "off" else EMPTY_THOUGHT
    for row in lab.rows(name, "train", 5):
        example, prompt = renderer.example(task, row), renderer.prompt(task.messages(row))
        assert shared_tokenizer.decode(example.input_ids) == prompt + thought + task.target(row) + lab.END
        assert shared_tokenizer.decode(answer_tokens(example)) == thought + task.target(row) + lab.END
        assert example.completion_mask == sorted(example.completion_mask)
        assert example.input_ids[-1] == shared_tokenizer.eos_token_id
        assert answer_tokens(example).count(shared_tokenizer.eos_token_id) == 1


@pytest.mark.parametrize("name", TASK_NAMES)
def test_only_with_reasoning_off_the_prompt_ends_in_an_empty_thought(shared_tokenizer, name):
    messages = get_task(name).messages(lab.rows(name, "train", 1)[0])
    on, off, unlocked = (Renderer(shared_tokenizer, reasoning).prompt(messages) for reasoning in REASONING)
    assert off == on + EMPTY_THOUGHT
    assert "<think>" not in on
    assert on == unlocked
    assert on.endswith("<|im_start|>assistant\n")


def test_reasoning_on_differs_from_unlocked_where_the_template_has_another_default(tokenizer):
    tokenizer.chat_template = "{{ messages[-1].content }}:{{ enable_thinking if enable_thinking is defined else '?' }}"
    messages = [{"role": "user", "content": "Hi"}]
    texts = [Renderer(tokenizer, reasoning).prompt(messages) for reasoning in REASONING]
    assert texts == ["Hi:True", "Hi:False", "Hi:?"]


@pytest.mark.parametrize("name", TASK_NAMES)
def test_a_prompt_holds_the_system_prompt_and_then_everything_of_the_row_but_its_answer(shared_tokenizer, name):
    task, row = get_task(name), lab.rows(name, "train", 1)[0]
    prompt = Renderer(shared_tokenizer, "off").prompt(task.messages(row))
    system, user = prompt.split("<|im_start|>")[1:3]
    assert system == f"system\n{task.system_prompt}{lab.END}\n"
    assert user.startswith("user\n")
    assert row["question"] in user
    assert row.get("context", "") in user
    assert task.target(row) not in user


@settings(max_examples=60, deadline=None)
@given(target=st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip))
@pytest.mark.parametrize("reasoning", REASONING)
def test_any_target_comes_out_of_its_tokens_as_it_was(shared_tokenizer, reasoning, target):
    class Says(OpenMathTask):
        def target(self, row):
            return target

    example = Renderer(shared_tokenizer, reasoning).example(Says(), lab.rows("openmath", "train", 1)[0])
    text = shared_tokenizer.decode(answer_tokens(example))
    assert text.removeprefix(EMPTY_THOUGHT) == target + lab.END


class Silent(OpenMathTask):
    """Answers with whatever its rows hold under ``target``."""

    def target(self, row):
        """Whatever that is."""
        return row["target"]


@pytest.mark.parametrize("target", ["", " \n", 12.0, None])
def test_a_target_that_is_no_text_or_empty_is_refused(tokenizer, target):
    row = {"id": "row-7", "question": "1 + 1?", "answer": 2.0, "target": target}
    with pytest.raises(UserError, match="openmath: row 'row-7': its training target is empty"):
        Renderer(tokenizer, "off").example(Silent(), row)


def test_qwen3s_template_would_make_silence_of_a_float(tokenizer):
    tokenizer.chat_template = QWEN3
    renderer = Renderer(tokenizer, "off")
    messages = get_task("openmath").messages(row := {"question": "1 + 1?", "answer": 2.0, "target": 2.0})
    assert renderer.completion(messages, 2.0) == lab.END
    assert renderer.completion(messages, "2.0") == f"2.0{lab.END}"
    with pytest.raises(UserError, match=r"training target is empty \(2\.0\)"):
        renderer.example(Silent(), row)


def test_a_template_that_drops_the_target_is_refused(tokenizer):
    tokenizer.chat_template = lab.CHAT_TEMPLATE.replace(
        "message.content", "('' if message.role == 'assistant' else message.content)"
    )
    with pytest.raises(UserError, match="the chat template loses its training target; use a template that prints"):
        Renderer(tokenizer, "off").example(get_task("arc"), lab.rows("arc", "train", 1)[0])


def test_a_template_that_cuts_the_target_is_refused(tokenizer):
    tokenizer.chat_template = lab.CHAT_TEMPLATE.replace(
        "message.content", "(message.content[:4] if message.role == 'assistant' else message.content)"
    )
    with pytest.raises(UserError, match="loses its training target"):
        Renderer(tokenizer, "off").example(get_task("arc"), lab.rows("arc", "train", 1)[0])


def test_where_the_template_ends_a_turn_otherwise_the_end_token_is_put_there(tokenizer):
    tokenizer.chat_template = lab.CHAT_TEMPLATE.replace("<|im_end|>\n", "\n")
    task, row = get_task("arc"), lab.rows("arc", "train", 1)[0]
    example = Renderer(tokenizer, "off").example(task, row)
    assert tokenizer.decode(answer_tokens(example)) == task.target(row) + lab.END


def test_where_the_template_renders_an_answered_chat_otherwise_the_target_follows_the_prompt(tokenizer):
    # as templates do that announce tools or dates only when a turn is opened
    tokenizer.chat_template = "{% if add_generation_prompt %}{{ 'Go: ' }}{% endif %}" + lab.CHAT_TEMPLATE
    task, row = get_task("squad"), lab.rows("squad", "train", 1)[0]
    renderer = Renderer(tokenizer, "off")
    text = tokenizer.decode(renderer.example(task, row).input_ids)
    assert text == renderer.prompt(task.messages(row)) + task.target(row) + lab.END


class Spelling:
    """A tokenizer to which every letter is a token, and the end token but a word."""

    eos_token, eos_token_id = "the end", 1_000

    def __init__(self, tokenizer):
        self.apply_chat_template = tokenizer.apply_chat_template

    def __call__(self, text, add_special_tokens):
        """Spell it."""
        return {"input_ids": list(text.encode())}


def test_an_end_token_that_is_no_single_token_is_refused(tokenizer):
    with pytest.raises(UserError, match="doesn't end in the end token; check the tokenizer's eos_token"):
        Renderer(Spelling(tokenizer), "off").example(get_task("arc"), lab.rows("arc", "train", 1)[0])


def test_a_model_without_a_chat_template_is_asked_and_trained_in_plain_turns(model_folder, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(model_folder, bare)
    (bare / "chat_template.jinja").unlink()
    task, row = get_task("facts"), lab.rows("facts", "train", 1)[0]
    with at_work():
        tokenizer = load_tokenizer(bare)
    renderer = Renderer(tokenizer, "off")
    prompt, example = renderer.prompt(task.messages(row)), renderer.example(task, row)
    assert prompt.endswith("\n\nAssistant:")
    assert all(f"{each['role'].capitalize()}: {each['content']}" in prompt for each in task.messages(row))
    assert not differs(example, renderer.encode(prompt))
    assert tokenizer.decode(example.input_ids).endswith(f"{task.target(row)}{tokenizer.eos_token}")
    # whoever gives it a template has another model
    spec = ModelSpec("m", str(bare))
    plain = find_base(spec).fingerprint
    (bare / "chat_template.jinja").write_text(PLAIN_TURNS, encoding="utf-8")
    assert find_base(spec).fingerprint != plain


def test_rows_over_the_maximum_length_are_left_out_and_counted(tokenizer):
    task, renderer, rows = get_task("squad"), Renderer(tokenizer, "off"), lab.rows("squad", "train", 12)
    lengths = [len(renderer.example(task, row).input_ids) for row in rows]
    limit = sorted(lengths)[5]
    examples, left_out = training_examples(renderer, task, rows, limit)
    assert [len(example.input_ids) for example in examples] == [length for length in lengths if length <= limit]
    assert left_out == sum(length > limit for length in lengths) > 0
    assert training_examples(renderer, task, rows, max(lengths))[1] == 0


def test_where_every_row_is_too_long_the_message_names_the_length_that_would_do(tokenizer):
    task, renderer, rows = get_task("squad"), Renderer(tokenizer, "off"), lab.rows("squad", "train", 5)
    shortest = min(len(renderer.example(task, row).input_ids) for row in rows)
    with pytest.raises(
        UserError, match=rf"recipe.max_length: {shortest - 1}: every row of squad is longer; .*{shortest}"
    ):
        training_examples(renderer, task, rows, shortest - 1)
    assert len(training_examples(renderer, task, rows, shortest)[0]) >= 1

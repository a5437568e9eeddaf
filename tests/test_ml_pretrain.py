"""The pretraining of the embedded models: what is read, what is trained on, and that it learns."""

from dataclasses import replace
from itertools import islice

import pytest
from models import SHAPE

from pytest_ftbench import lab
from pytest_ftbench.lab.corpus import Chat, Turn, documents, held_out_chats
from pytest_ftbench.ml.base import load_tokenizer
from pytest_ftbench.ml.pretrain import Corpus, Pretraining, Stage, Stepper, ask, loss_of, pretrain, rendered
from pytest_ftbench.ml.prompts import Renderer
from pytest_ftbench.ml.runtime import at_work
from pytest_ftbench.ml.scratch import make_model
from pytest_ftbench.tasks import get_task

pytestmark = pytest.mark.torch

STAGE = Stage("general", steps=500, rows=2, length=320, learning_rates={"tiny": 1e-2}, warmup=5, workers=1)
RECIPE = Pretraining(stages=(STAGE,))


@pytest.fixture(scope="module")
def tokenizer(model_folder):
    with at_work():
        return load_tokenizer(model_folder)


@pytest.fixture
def model(tokenizer):
    with at_work():
        return make_model(SHAPE, tokenizer, 0)


def text_of(document):
    return "".join(text for text, _ in rendered(document))


@pytest.mark.parametrize("name", lab.TASKS)
def test_a_chat_under_a_tasks_own_prompt_is_the_very_text_that_tuning_uses(tokenizer, name):
    task, row = get_task(name), lab.rows(name, "test", 1)[0]
    prompt = ask(name, row)
    chat = Chat(name, prompt.system, [Turn(prompt.user, prompt.boxed)])
    renderer = Renderer(tokenizer, "off")
    messages = task.messages(row)
    assert rendered(chat) == [
        (renderer.prompt(messages), False),
        (renderer.completion(messages, task.target(row)).removeprefix(renderer.prompt(messages)), True),
    ]


def test_a_thought_is_said_where_thinking_is_on(tokenizer):
    chat = Chat("arc", "Think.", [Turn("Why?", "So.", thought="Because.")])
    prompt = Renderer(tokenizer, "on").prompt(
        [{"role": "system", "content": "Think."}, {"role": "user", "content": "Why?"}]
    )
    assert rendered(chat) == [(prompt, False), ("<think>\nBecause.\n</think>\n\nSo.<|im_end|>", True)]


def test_a_batch_holds_whole_documents_and_counts_answers_fully_and_plain_text_a_little(tokenizer):
    batch = next(iter(Corpus(tokenizer, RECIPE, STAGE)))
    assert batch.shape == (STAGE.rows, 4, STAGE.length)
    written = islice(documents(ask, "0-0"), 200)
    expected = {text_of(document): document for document in written}
    seen = 0
    for ids, weights, numbers, positions in batch.tolist():
        for number in range(1, max(numbers) + 1):
            here = [index for index, value in enumerate(numbers) if value == number]
            assert [positions[index] for index in here] == list(range(len(here)))
            document = expected[tokenizer.decode([ids[index] for index in here])]
            trained = [ids[index] for index in here if weights[index] == 100]
            if isinstance(document, str):
                assert {weights[index] for index in here} == {20}
            else:
                answers = [text for text, is_answer in rendered(document) if is_answer]
                assert tokenizer.decode(trained) == "".join(answers)
                assert {weights[index] for index in here} == {0, 100}
            seen += 1
        assert not any(weight for weight, number in zip(weights, numbers, strict=True) if number == 0)
    assert seen > STAGE.rows


def test_a_document_sees_only_itself(model, tokenizer):
    import torch

    with at_work(), torch.no_grad():
        one, other = islice(Corpus(tokenizer, RECIPE, STAGE).examples(held_out_chats(ask, "x")), 2)
        together = [a + b for a, b in zip(one, other, strict=True)]
        numbers = [1] * len(one[0]) + [2] * len(other[0])
        places = [*range(len(one[0])), *range(len(other[0]))]
        packed = loss_of(model, torch.tensor([[*together, numbers, places]]))
        alone = [loss_of(model, torch.tensor([[*e, [1] * len(e[0]), list(range(len(e[0])))]])) for e in (one, other)]
    counts = [sum(weight > 0 for weight in example[1]) for example in (one, other)]
    expected = sum(loss.item() * count for loss, count in zip(alone, counts, strict=True)) / sum(counts)
    assert packed.item() == pytest.approx(expected, rel=1e-4)


def test_it_learns_and_two_runs_learn_the_same(tokenizer):
    with at_work():
        runs = []
        for _ in range(2):
            said = []
            models = {"tiny": make_model(SHAPE, tokenizer, 0)}
            curve = pretrain(models, tokenizer, RECIPE, STAGE, "cpu", said.append)
            runs.append((curve, {name: p.tolist() for name, p in models["tiny"].named_parameters()}))
    assert runs[0] == runs[1]
    assert said[-1].startswith("general: step 500 of 500, loss tiny ")
    early, late = runs[0][0]["tiny"]
    assert late < 0.8 * early


def test_the_rate_rises_then_falls_to_nothing(model):
    import torch

    stage = replace(STAGE, steps=25, learning_rates={"tiny": 0.5})
    stepper = Stepper(model, RECIPE, stage, "tiny", "cpu")
    batch = torch.ones(STAGE.rows, 4, STAGE.length, dtype=torch.int32)
    rates = []
    for number in range(1, 26):
        stepper.step(number, batch)
        rates.append(stepper.rate.item())
    assert rates[:5] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-6)

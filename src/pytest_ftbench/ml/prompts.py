r"""From messages to tokens, the one way for training and evaluation.

A prompt is what the model's own chat template makes of the messages, with the answer's turn opened; a training example
is that very text and what the template puts after it for the answer:

>>> renderer.prompt(task.messages(row))            # reasoning off
'<|im_start|>system\n…<|im_end|>\n<|im_start|>user\n…<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n'
>>> renderer.completion(task.messages(row), r"\boxed{B}")
'\\boxed{B}<|im_end|>'

Two traps this guards against: a template that renders anything but text as nothing at all (Qwen3's does), so that a
float target trains the model on silence; and a target without its end token, so that it never learns to stop.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_ftbench.grid import UserError, first_line
from pytest_ftbench.tasks import Message, Row, Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# of a prompt: what a template may say of its own, and how often what it was given
_ROOM, _TIMES = 200_000, 20

_SWITCH = {"on": {"enable_thinking": True}, "off": {"enable_thinking": False}, "unlocked": {}}


@dataclass(frozen=True)
class Example:
    """A tokenised training example; ``completion_mask`` is 1 on the answer's tokens, the only ones trained on."""

    input_ids: list[int]
    completion_mask: list[int]


@dataclass(frozen=True)
class Renderer:
    """Renders messages with a model's chat template. ``reasoning``: on, off, or unlocked (the template's default)."""

    tokenizer: "PreTrainedTokenizerBase"
    reasoning: str

    def prompt(self, messages: Sequence[Message]) -> str:
        """The text up to where the answer begins."""
        return self._render(messages, add_generation_prompt=True)

    def completion(self, messages: Sequence[Message], target: str) -> str:
        """The text of the answer, its end token last."""
        prompt = self.prompt(messages)
        whole = self._render([*messages, {"role": "assistant", "content": target}], add_generation_prompt=False)
        # a template that renders the past differently gives no completion of this prompt; then the target stands alone
        answer = whole[len(prompt) :] if whole.startswith(prompt) else target
        end = str(self.tokenizer.eos_token)
        return answer.rpartition(end)[0] + end if end in answer else answer.rstrip("\n") + end

    def example(self, task: Task, row: Row) -> Example:
        """The tokens of a training example.

        Raises :class:`UserError` where the target is empty, gets lost in rendering, or doesn't end in the end token.
        """
        messages, target = task.messages(row), task.target(row)
        place = f"{task.name}: row {row.get('id', row['question'])!r:.60}"
        if not isinstance(target, str) or not target.strip():
            raise UserError(place, f"its training target is empty ({target!r})", "correct the row's answer")
        completion = self.completion(messages, target)
        prompt_ids, answer_ids = self.encode(self.prompt(messages)), self.encode(completion)
        if target not in completion:
            raise UserError(
                place, "the chat template loses its training target", "use a template that prints the answer"
            )
        if answer_ids[-1] != self.tokenizer.eos_token_id:
            raise UserError(
                place, "its training target doesn't end in the end token", "check the tokenizer's eos_token"
            )
        return Example(prompt_ids + answer_ids, [0] * len(prompt_ids) + [1] * len(answer_ids))

    def encode(self, text: str) -> list[int]:
        """The tokens of rendered text; special tokens are in the text already."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _render(self, messages: Sequence[Any], add_generation_prompt: bool) -> str:
        try:
            given = {"tokenize": False, "add_generation_prompt": add_generation_prompt, **_SWITCH[self.reasoning]}
            text = str(self.tokenizer.apply_chat_template(list(messages), **given))
        except MemoryError:
            raise
        except Exception as error:  # a template is a program, and may refuse a chat, or fail at it
            raise UserError(
                self._place, f"can't render a row's messages ({first_line(error)})", "correct the template"
            ) from error
        if len(text) > _ROOM + _TIMES * sum(len(str(message["content"])) for message in messages):
            raise UserError(self._place, f"makes {len(text)} characters of a row's messages", "correct the template")
        return text

    @property
    def _place(self) -> str:
        return f"{getattr(self.tokenizer, 'name_or_path', 'tokenizer')}: chat_template"


def training_examples(
    renderer: Renderer, task: Task, rows: Sequence[Row], max_length: int
) -> tuple[list[Example], int]:
    """The examples of a task's training rows, and how many rows were left out for being over ``max_length`` tokens.

    Cutting such a row would cut off its target. Raises :class:`UserError` where nothing is left.
    """
    examples = [renderer.example(task, row) for row in rows]
    fitting = [example for example in examples if len(example.input_ids) <= max_length]
    if not fitting:
        shortest = min(len(example.input_ids) for example in examples)
        raise UserError(
            f"recipe.max_length: {max_length}", f"every row of {task.name} is longer", f"give at least {shortest}"
        )
    return fitting, len(examples) - len(fitting)

"""What a model's tokenizer makes of training rows: targets it loses, rows that are too long, prompts that differ.

Everything here is read from the tokens that are trained on, not from what they were meant to be.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_ftbench.grid import UserError
from pytest_ftbench.ml.prompts import Example, Renderer
from pytest_ftbench.store import digest
from pytest_ftbench.tasks import Row, Task


@dataclass(frozen=True)
class Examined:
    """Of a task's training rows: those that can't be learned from, by problem and fix; too long ones; differing ones.

    ``shortest`` is the length of the shortest in tokens.
    """

    faults: list[tuple[str, str, list[Row]]] = field(default_factory=list)
    too_long: list[Row] = field(default_factory=list)
    differing: list[Row] = field(default_factory=list)
    shortest: int = 0


def examined(renderer: Renderer, task: Task, rows: Sequence[Row], max_length: int) -> Examined:
    """What is the matter with each of a task's training rows."""
    examples, faults = _attempts(renderer, task, rows)
    # as evaluation has them: rendered each by itself, encoded together
    prompts = [renderer.prompt(task.messages(row)) for row in rows]
    asked = renderer.tokenizer(prompts, add_special_tokens=False)["input_ids"]
    usable = [(row, each, ids) for row, each, ids in zip(rows, examples, asked, strict=True) if each is not None]
    return Examined(
        faults,
        [row for row, each, _ in usable if len(each.input_ids) > max_length],
        [row for row, each, ids in usable if differs(each, ids)],
        min((len(each.input_ids) for _, each, _ in usable), default=0),
    )


def differs(example: Example, prompt: Sequence[int]) -> bool:
    """Whether a training example's text before the answer isn't exactly an evaluation prompt, token by token."""
    length = len(example.completion_mask) - sum(example.completion_mask)
    return example.input_ids[:length] != list(prompt)


def trained_on(examples: Sequence[Example], tokenizer: Any) -> dict[str, Any]:
    """What the record's ``train`` object says of the targets that were trained on, read from their tokens."""
    end = tokenizer.eos_token_id
    targets = [
        [token for token, kept in zip(each.input_ids, each.completion_mask, strict=True) if kept] for each in examples
    ]
    texts = [[token for token in target if token != end] for target in targets]
    return {
        "targets_empty": sum(not str(tokenizer.decode(text)).strip() for text in texts),
        "targets_without_end": sum(not target or target[-1] != end for target in targets),
        "template": digest(tokenizer.chat_template),
    }


def _attempts(
    renderer: Renderer, task: Task, rows: Sequence[Row]
) -> tuple[list[Example | None], list[tuple[str, str, list[Row]]]]:
    """The example of each row, or None; and of the rows without one, by what is wrong: problem, fix, rows."""
    examples: list[Example | None] = []
    faults: dict[str, tuple[str, str, list[Row]]] = {}
    for row in rows:
        try:
            examples.append(renderer.example(task, row))
        except UserError as error:
            examples.append(None)
            faults.setdefault(error.fix, (error.problem, error.fix, []))[2].append(row)
    return examples, list(faults.values())

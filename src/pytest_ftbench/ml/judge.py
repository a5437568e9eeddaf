"""Judges a model that was trained to choose a learning rate: what it answers, and its loss on the targets."""

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_ftbench.grid import EvaluationSpec, Recipe
from pytest_ftbench.ml.prompts import Example, Renderer
from pytest_ftbench.ml.runtime import Runtime
from pytest_ftbench.ml.snapshots import Stopwatch
from pytest_ftbench.ml.train import GiveWay
from pytest_ftbench.tasks import Row, Task

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from pytest_ftbench.ml.generate import Decoder

_IGNORED = -100  # the label of a token that no loss counts


def judge(
    decoder: "Decoder",
    task: Task,
    rows: Sequence[Row],
    evaluation: EvaluationSpec,
    recipe: Recipe,
    runtime: Runtime,
    give_way: GiveWay,
) -> dict[str, Any]:
    """The headline ``score`` of a model's answers to validation rows, its mean ``loss`` on their targets.

    And the ``seconds`` that it took, without those in which others went first.
    """
    stopwatch, renderer = Stopwatch(runtime), Renderer(decoder.tokenizer, evaluation.reasoning)
    prompts = [renderer.prompt(task.messages(row)) for row in rows]
    answers = decoder.answers(prompts, evaluation.batch_size, lambda _: None, lambda: give_way(stopwatch.paused))
    score = task.score([answer.text for answer in answers], rows)["scores"][task.headline.key]
    examples = [renderer.example(task, row) for row in rows]
    # as in training, what is too long is left out
    fitting = [one for one in examples if len(one.input_ids) <= recipe.max_length]
    loss = mean_loss(decoder.model, fitting, recipe.per_device_train_batch_size)
    return {"score": score, "loss": loss, "seconds": stopwatch.seconds()}


def mean_loss(model: "PreTrainedModel", examples: Sequence[Example], batch_size: int) -> float | None:
    """The mean cross-entropy over the target tokens of examples, in nats; None where it isn't finite, or none are.

    Logits are made from the first target on, in batches as in training, so that it fits wherever the training does.
    """
    import torch

    total, count = 0.0, 0
    # of like length, for little padding
    order = sorted(examples, key=lambda example: len(example.input_ids))
    for first in range(0, len(order), batch_size):
        batch = order[first : first + batch_size]
        labels = _padded([_labels(example) for example in batch], _IGNORED, model.device)
        # the first token is nobody's target, and each target's odds are at the token before it
        labels[:, 0] = _IGNORED
        targets = labels != _IGNORED
        if not targets.any():
            continue
        kept = int(targets.any(dim=0).flip(0).nonzero()[-1]) + 2
        with torch.inference_mode():
            logits = model(
                input_ids=_padded([example.input_ids for example in batch], 0, model.device),
                attention_mask=_padded([[1] * len(example.input_ids) for example in batch], 0, model.device),
                **({"logits_to_keep": kept} if _keeps(model) else {}),
            ).logits
            # counted from the end: tokens that a tuned prompt puts before the others move nothing
            odds = logits[:, -kept:-1][targets[:, 1 - kept :]]
            losses = torch.nn.functional.cross_entropy(odds.float(), labels[targets], reduction="none")
        total += float(losses.double().sum())
        count += len(losses)
    mean = total / count if count else float("nan")
    return mean if abs(mean) < float("inf") else None


def _keeps(model: Any) -> bool:
    """Whether a model can be asked for the logits of its last positions alone."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(base.forward).parameters


def _labels(example: Example) -> list[int]:
    """The tokens of an example that are targets, the others ignored."""
    pairs = zip(example.input_ids, example.completion_mask, strict=True)
    return [token if counts else _IGNORED for token, counts in pairs]


def _padded(rows: Sequence[Sequence[int]], filler: int, device: Any) -> "Tensor":
    """Rows of tokens as one tensor, padded on the right."""
    import torch

    length = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (length - len(row))] for row in rows], device=device)

"""Pretrains the embedded base models on the lab's corpus. Used by ``benchmarks/pretrain_lab.py``, by no suite.

The corpus is made while it is read, without end, and each batch is read twice. Documents are packed into rows of
tokens, each seeing only itself. Of a chat the answers are trained on; plain text counts a little, for most
of it can't be foreseen. All models take their steps on the same batches.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from pytest_ftbench import lab
from pytest_ftbench.lab.corpus import COURSES, Chat, Prompt, documents
from pytest_ftbench.tasks import Row, get_task

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_WARM = 5  # steps taken plainly before one is recorded
_STEPS_BETWEEN_LINES = 250
_UNTIL_AGAIN = 40  # batches of a worker between the two readings of one
_ANSWER_WEIGHT = 100  # weights are whole percents, to travel with the ids

Say = Callable[[str], None]
Segment = tuple[str, bool]
Example = tuple[list[int], list[int]]
"""Token ids and their weights, in percent."""


@dataclass(frozen=True)
class Stage:
    """One course of pretraining for the models with a learning rate; ``rows`` of ``length`` tokens make a batch.

    The rate rises over ``warmup`` steps and falls to zero as a cosine. ``workers`` is part of the recipe: each makes a
    corpus of its own (0: this process does).
    """

    course: str
    steps: int
    rows: int
    length: int
    learning_rates: Mapping[str, float]
    warmup: int
    workers: int


@dataclass(frozen=True)
class Pretraining:
    """How the base models are pretrained. ``plain_weight`` is that of a token of plain text, an answer's being 1."""

    seed: int = lab.SEED
    stages: tuple[Stage, ...] = (
        Stage("general", 15_500, 128, 256, {"nano": 2e-3, "micro": 1.2e-3}, warmup=300, workers=14),
        Stage("letters", 8_000, 128, 256, {"nano": 2e-3, "micro": 1.2e-3}, warmup=300, workers=14),
        Stage("reading", 10_000, 128, 256, {"micro": 1.2e-3}, warmup=300, workers=14),
    )
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.98)
    max_grad_norm: float = 1.0
    plain_weight: float = 0.2


def ask(task_name: str, row: Row) -> Prompt:
    """A row as its task asks for it."""
    task = get_task(task_name)
    system, user = task.messages(row)
    return Prompt(system["content"], user["content"], task.target(row))


def rendered(document: Chat | str) -> list[Segment]:
    """The segments of a document, and whether each is an answer; plain text is one that isn't.

    Each turn stands as the template prompts for it with thinking switched off, its empty thought kept in earlier turns
    too, where the template drops it; but for turns that think aloud.
    """
    if isinstance(document, str):
        return [(document + lab.PAD, False)]
    segments, opened = [], f"<|im_start|>system\n{document.system}{lab.END}\n"
    for turn in document.turns:
        opened += f"<|im_start|>user\n{turn.user}{lab.END}\n<|im_start|>assistant\n"
        if turn.thought is None:
            segments += [(f"{opened}<think>\n\n</think>\n\n", False), (turn.answer + lab.END, True)]
        else:
            segments += [(opened, False), (f"<think>\n{turn.thought}\n</think>\n\n{turn.answer}{lab.END}", True)]
        opened = "\n"
    return segments


class Corpus(IterableDataset):  # type: ignore[type-arg] # torch's stubs make it generic, its runtime class is not
    """Batches without end, int32 of shape (rows, 4, length): ids, weights, document number (0: none), position."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", recipe: Pretraining, stage: Stage) -> None:
        self.tokenizer = tokenizer
        self.recipe = recipe
        self.stage = stage

    def __iter__(self) -> Iterator[torch.Tensor]:
        worker = get_worker_info()
        seed = f"{self.recipe.seed}-{worker.id if worker else 0}"
        examples = self.examples(documents(ask, seed, COURSES[self.stage.course]))
        left = next(examples)
        kept: deque[torch.Tensor] = deque()
        while True:
            rows = []
            for _ in range(self.stage.rows):
                row, left = self._row(left, examples)
                rows.append(row)
            kept.append(torch.tensor(rows, dtype=torch.int32))
            yield kept[-1]
            # making a batch takes longer than learning from it, and a second reading is worth nearly a first
            if len(kept) > _UNTIL_AGAIN:
                yield kept.popleft()

    def examples(self, some: Iterator[Chat | str]) -> Iterator[Example]:
        """The documents as tokens; those too long for a row are left out."""
        encode = self.tokenizer._tokenizer.encode_batch_fast
        plain = round(_ANSWER_WEIGHT * self.recipe.plain_weight)
        while pieces := [rendered(document) for document in islice(some, 500)]:
            encoded = iter(encode([text for segments in pieces for text, _ in segments], add_special_tokens=False))
            for segments in pieces:
                ids: list[int] = []
                weights: list[int] = []
                for _, is_answer in segments:
                    tokens = next(encoded).ids
                    ids += tokens
                    weights += [plain if len(segments) == 1 else _ANSWER_WEIGHT * is_answer] * len(tokens)
                if len(ids) <= self.stage.length:
                    yield ids, weights

    def _row(self, example: Example, examples: Iterator[Example]) -> tuple[list[list[int]], Example]:
        """Examples one after another as long as they fit, and the first that doesn't."""
        row: list[list[int]] = [[], [], [], []]
        number = 0
        while len(row[0]) + len(example[0]) <= self.stage.length:
            number += 1
            count = len(example[0])
            for column, values in zip(row, (*example, [number] * count, range(count)), strict=True):
                column += values
            example = next(examples)
        padding = [0] * (self.stage.length - len(row[0]))
        return [column + padding for column in row], example


def loss_of(model: "PreTrainedModel", batch: torch.Tensor) -> torch.Tensor:
    """The weighted mean cross-entropy of a batch of :class:`Corpus`."""
    ids, weights, number, position = batch.long().unbind(1)
    same = number[:, None, :, None] == number[:, None, None, :]
    mask = same & torch.ones(same.shape[-2:], dtype=torch.bool, device=same.device).tril()
    hidden = model.model(input_ids=ids, attention_mask=mask, position_ids=position, use_cache=False).last_hidden_state
    logits = model.lm_head(hidden[:, :-1]).flatten(0, 1).float()
    losses = torch.nn.functional.cross_entropy(logits, ids[:, 1:].flatten(), reduction="none")
    # a document's first token is foreseen by nothing of its own
    shares = (weights[:, 1:] * (position[:, 1:] > 0)).flatten().float()
    return (losses * shares).sum() / shares.sum()


class Stepper:
    """One optimizer step after another. On a GPU a step is recorded once and replayed: launching costs more than it."""

    def __init__(self, model: "PreTrainedModel", recipe: Pretraining, stage: Stage, name: str, device: str) -> None:
        self.model, self.recipe, self.stage, self.device = model, recipe, stage, device
        self.learning_rate = stage.learning_rates[name]
        matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
        self.rate = torch.tensor(0.0, device=device)
        self.optimizer = torch.optim.AdamW(
            groups, self.rate, recipe.betas, weight_decay=recipe.weight_decay, fused=True, capturable=device == "cuda"
        )
        self.batch = torch.zeros(stage.rows, 4, stage.length, dtype=torch.int32, device=device)
        self.loss = torch.tensor(0.0, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None

    def step(self, number: int, batch: torch.Tensor) -> torch.Tensor:
        """Take step ``number`` (from 1) on a batch; its loss."""
        stage = self.stage
        done = max(0.0, (number - stage.warmup) / max(1, stage.steps - stage.warmup))
        self.rate.fill_(self.learning_rate * min(number / max(1, stage.warmup), (1 + math.cos(math.pi * done)) / 2))
        self.batch.copy_(batch, non_blocking=True)
        if self.device == "cuda" and self.graph is None and number > _WARM:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self._compute()
        if self.graph is not None:
            self.graph.replay()
        else:
            self._compute()
        return self.loss.clone()

    def _compute(self) -> None:
        self.optimizer.zero_grad(set_to_none=False)
        with torch.autocast(self.device, torch.bfloat16, cache_enabled=False):
            loss = loss_of(self.model, self.batch)
        loss.backward()  # type: ignore[no-untyped-call] # torch's own
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.max_grad_norm)
        self.optimizer.step()
        self.loss.copy_(loss.detach())


def pretrain(
    models: Mapping[str, "PreTrainedModel"],
    tokenizer: "PreTrainedTokenizerBase",
    recipe: Pretraining,
    stage: Stage,
    device: str,
    say: Say,
) -> dict[str, list[float]]:
    """Take models, in place, through one stage on one and the same corpus; the mean losses per 250 steps, by name."""
    steppers = {name: Stepper(model.to(device), recipe, stage, name, device) for name, model in models.items()}
    batches = iter(DataLoader(Corpus(tokenizer, recipe, stage), batch_size=None, num_workers=stage.workers))
    started = time.monotonic()
    curve: dict[str, list[float]] = {name: [] for name in models}
    recent: list[torch.Tensor] = []
    for step in range(1, stage.steps + 1):
        batch = next(batches).to(device, non_blocking=True)
        recent.append(torch.stack([stepper.step(step, batch) for stepper in steppers.values()]))
        if step % _STEPS_BETWEEN_LINES == 0 or step == stage.steps:
            losses = torch.stack(recent).mean(0).tolist()
            recent = []
            for name, loss in zip(models, losses, strict=True):
                curve[name].append(loss)
            left = (time.monotonic() - started) / step * (stage.steps - step)
            told = ", ".join(f"{name} {loss:.4f}" for name, loss in zip(models, losses, strict=True))
            say(f"{stage.course}: step {step} of {stage.steps}, loss {told}, about {left:.0f} s left")
    return curve

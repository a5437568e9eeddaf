"""Makes the embedded base models, nano and micro, from the seed: tokenizer, corpus, weights, scores, model card.

    python benchmarks/pretrain_lab.py FOLDER                     # both, on a GPU in minutes, on a CPU in days
    python benchmarks/pretrain_lab.py FOLDER --model nano        # one of them

The corpus is made while it is read, so there is no epoch: no document comes twice but by chance. Documents are packed
into rows, each seeing only itself; of a chat turn the answer is trained on, of plain text everything.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import AutoTokenizer

from pytest_ftbench import lab
from pytest_ftbench.lab.words import JOBS
from pytest_ftbench.lab.corpus import Chat, Prompt, documents, held_out_chats
from pytest_ftbench.ml.base import load_tokenizer, load_weights
from pytest_ftbench.ml.generate import Decoder
from pytest_ftbench.ml.prompts import Renderer
from pytest_ftbench.ml.runtime import Runtime
from pytest_ftbench.ml.scratch import make_model, make_tokenizer
from pytest_ftbench.tasks import get_task

TOKENIZER_DOCUMENTS = 20_000
HELD_OUT, TEST_ROWS = 2000, 400
WORKERS = 14  # part of the recipe: each makes a corpus of its own
WARM = 5  # steps taken plainly before one is recorded


@dataclass(frozen=True)
class Pretraining:
    """How the base models are pretrained; the same for both."""

    steps: int = 12_000
    rows: int = 128
    length: int = 256
    learning_rate: float = 3e-3
    warmup: int = 300
    plain_weight: float = 0.2
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.98)
    max_grad_norm: float = 1.0


def ask(task_name: str, row: dict[str, Any]) -> Prompt:
    """A row as its task asks for it."""
    task = get_task(task_name)
    system, user = task.messages(row)
    return Prompt(system["content"], user["content"], task.target(row))


Segment = tuple[str, bool]


def rendered(document: Chat | str) -> list[Segment]:
    """The segments of a document, and whether each is an answer; plain text is one that isn't."""
    if isinstance(document, str):
        return [(document + lab.PAD, False)]
    segments, opened = [], f"<|im_start|>system\n{document.system}{lab.END}\n"
    for turn in document.turns:
        opened += f"<|im_start|>user\n{turn.user}{lab.END}\n<|im_start|>assistant\n"
        if turn.thought is None:
            # thinking switched off, the template itself opens the answer with an empty thought
            segments += [(f"{opened}<think>\n\n</think>\n\n", False), (turn.answer + lab.END, True)]
        else:
            segments += [(opened, False), (f"<think>\n{turn.thought}\n</think>\n\n{turn.answer}{lab.END}", True)]
        opened = "\n"
    return segments


class Corpus(IterableDataset):
    """Batches without end: token ids, labels, and which document of its row each token belongs to (0: none)."""

    def __init__(self, folder: Path, recipe: Pretraining) -> None:
        self.folder = folder
        self.recipe = recipe

    def __iter__(self) -> Iterator[torch.Tensor]:
        worker = get_worker_info()
        tokenizer = AutoTokenizer.from_pretrained(self.folder)
        seed = f"{lab.SEED}-{worker.id if worker else 0}"
        examples = self._examples(tokenizer._tokenizer, documents(ask, seed))
        while True:
            yield torch.stack([self._row(examples) for _ in range(self.recipe.rows)])

    def _examples(self, tokenizer: Any, some: Iterator[Chat | str]) -> Iterator[tuple[list[int], list[int]]]:
        plain = round(100 * self.recipe.plain_weight)
        while True:
            pieces = [rendered(document) for document in islice(some, 500)]
            encoded = iter(tokenizer.encode_batch_fast([t for of in pieces for t, _ in of], add_special_tokens=False))
            for segments in pieces:
                ids: list[int] = []
                weights: list[int] = []
                for _, is_answer in segments:
                    tokens = next(encoded).ids
                    ids += tokens
                    weights += [100 * is_answer if len(segments) > 1 else plain] * len(tokens)
                if len(ids) <= self.recipe.length:
                    yield ids, weights

    def _row(self, examples: Iterator[tuple[list[int], list[int]]]) -> torch.Tensor:
        """Documents one after another as long as they fit; a row is [ids, weights, document number, position]."""
        row: list[list[int]] = [[], [], [], []]
        ids, weights = getattr(self, "_left", None) or next(examples)
        while len(row[0]) + len(ids) <= self.recipe.length:
            number = row[2][-1] + 1 if row[2] else 1
            for column, values in zip(row, (ids, weights, [number] * len(ids), range(len(ids))), strict=True):
                column += values
            ids, weights = next(examples)
        self._left = ids, weights
        padding = [0] * (self.recipe.length - len(row[0]))
        return torch.tensor([column + padding for column in row], dtype=torch.int32)


def loss_of(model: Any, batch: torch.Tensor) -> torch.Tensor:
    """The weighted mean loss over the tokens trained on."""
    ids, weights, number, position = batch.long().unbind(1)
    same = number[:, None, :, None] == number[:, None, None, :]
    mask = same & torch.ones(same.shape[-2:], dtype=torch.bool, device=same.device).tril()
    hidden = model.model(input_ids=ids, attention_mask=mask, position_ids=position, use_cache=False).last_hidden_state
    logits = model.lm_head(hidden[:, :-1]).flatten(0, 1).float()
    losses = torch.nn.functional.cross_entropy(logits, ids[:, 1:].flatten(), reduction="none")
    shares = weights[:, 1:].flatten().float()
    return (losses * shares).sum() / shares.sum()


class Stepper:
    """One optimizer step after another. On a GPU a step is recorded once and replayed: launching it costs more than it."""

    def __init__(self, model: Any, recipe: Pretraining, device: str) -> None:
        self.model, self.recipe, self.device = model, recipe, device
        matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
        groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
        self.rate = torch.tensor(0.0, device=device)
        self.optimizer = torch.optim.AdamW(
            groups, self.rate, recipe.betas, weight_decay=recipe.weight_decay, fused=True, capturable=device == "cuda"
        )
        self.batch = torch.zeros(recipe.rows, 4, recipe.length, dtype=torch.int32, device=device)
        self.loss = torch.tensor(0.0, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None

    def step(self, number: int, batch: torch.Tensor) -> torch.Tensor:
        """Take step ``number`` (from 1) on a batch; its loss."""
        recipe = self.recipe
        done = max(0.0, (number - recipe.warmup) / (recipe.steps - recipe.warmup))
        self.rate.fill_(recipe.learning_rate * min(number / recipe.warmup, (1 + math.cos(math.pi * done)) / 2))
        self.batch.copy_(batch, non_blocking=True)
        if self.graph is not None:
            self.graph.replay()
        elif self.device == "cuda" and number > WARM:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self._compute()
            self.graph.replay()
        else:
            self._compute()
        return self.loss.clone()

    def _compute(self) -> None:
        self.optimizer.zero_grad(set_to_none=False)
        with torch.autocast(self.device, torch.bfloat16, cache_enabled=False):
            loss = loss_of(self.model, self.batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.max_grad_norm)
        self.optimizer.step()
        self.loss.copy_(loss.detach())


def held_batches(folder, recipe):
    """Held-out chats by task as packed rows, for a probe while training."""
    tok = AutoTokenizer.from_pretrained(folder)._tokenizer
    by = {}
    for chat in islice(held_out_chats(ask, "probe"), 1200):
        by.setdefault(chat.task, []).append(chat)
    out = {}
    for task, chats in by.items():
        c = Corpus(folder, recipe)
        ex = c._examples(tok, iter(chats * 3))
        out[task] = torch.stack([c._row(ex) for _ in range(64)])
    return out


@torch.no_grad()
def probe(model, held, device):
    found = {}
    for task, batch in held.items():
        ids, weights, number, position = batch.to(device).long().unbind(1)
        same = number[:, None, :, None] == number[:, None, None, :]
        mask = same & torch.ones(same.shape[-2:], dtype=torch.bool, device=same.device).tril()
        with torch.autocast(device, torch.bfloat16, cache_enabled=False):
            logits = model(input_ids=ids, attention_mask=mask, position_ids=position, use_cache=False).logits
        w = weights[:, 1:] > 0
        hit = (logits[:, :-1].argmax(-1) == ids[:, 1:]) | ~w
        docs = number[:, 1:]
        n = good = 0
        for r in range(ids.shape[0]):
            for d in range(1, int(docs[r].max()) + 1):
                sel = docs[r] == d
                n += 1
                good += bool(hit[r][sel].all())
        found[task] = round(good / n, 3)
    return found


RATES = {"nano": 3e-3, "micro": 2e-3}


def pretrain(names: list[str], folder: Path, recipe: Pretraining, device: str) -> dict[str, Any]:
    """Train the models of these names on one and the same corpus and save them in bfloat16; the facts of it."""
    tokenizer = AutoTokenizer.from_pretrained(folder / names[0])
    models = {name: make_model(lab.SHAPES[name], tokenizer, lab.SEED).to(device) for name in names}
    held = held_batches(folder / names[0], recipe)
    steppers = {n: Stepper(model, replace(recipe, learning_rate=RATES[n]), device) for n, model in models.items()}
    corpus = Corpus(folder / names[0], recipe)
    batches = iter(DataLoader(corpus, batch_size=None, num_workers=WORKERS, prefetch_factor=8))
    started, losses = time.monotonic(), []
    for step in range(1, recipe.steps + 1):
        batch = next(batches).to(device, non_blocking=True)
        losses.append(torch.stack([stepper.step(step, batch) for stepper in steppers.values()]))
        if step % 1000 == 0:
            for n, model in models.items():
                print(n, step, probe(model, held, device), flush=True)
        if step % 250 == 0:
            recent = ", ".join(f"{loss:.4f}" for loss in torch.stack(losses[-250:]).mean(0).tolist())
            seconds = time.monotonic() - started
            left = seconds / step * (recipe.steps - step)
            print(f"step {step} of {recipe.steps}, losses {recent}, about {left:.0f} s left", flush=True)
    for name, model in models.items():
        model.config.dtype = torch.bfloat16
        model.to(torch.bfloat16).save_pretrained(folder / name)
    return {"seconds": round(time.monotonic() - started), "last_loss": torch.stack(losses[-250:]).mean(0).tolist()}


def kind_of(chat) -> str:
    u=chat.turns[0].user
    if chat.task == "openmath":
        return str(u.count("."))
    if chat.task == "squad":
        q = u.rpartition("Question:\n")[2]
        kind = "who" if q.startswith("Who") else "hop" if any(" the "+j in q for j in JOBS) else "plain"
        return kind + (" none" if "not say" in chat.turns[0].answer else "")
    q=u.partition(" A. ")[0]
    if chat.task=="arc": return "food" if "food" in q or "kind of thing does" in q else "shared" if " the " in q and "these" in q else "not" if " not " in q else "has" if "these" in q or "one" in q else "what"
    return ""


def evaluated(folder: Path, runtime: Runtime) -> dict[str, Any]:
    """What a model can do: held-out chat turns answered word for word, and each task's test rows under its own prompt."""
    decoder = Decoder(load_weights(folder, runtime), load_tokenizer(folder), max_new_tokens=48)
    turns = [turn for turn in islice(held_out_chats(ask, "scores"), HELD_OUT) if turn.turns[0].thought is None]
    answers = decoder.answers([rendered(turn)[0][0] for turn in turns], 500, print)
    right: dict[str, list[bool]] = {}
    for turn, answer in zip(turns, answers, strict=True):
        right.setdefault(f"{turn.task}", []).append(answer.text == turn.turns[0].answer)
        right.setdefault(f"{turn.task} {kind_of(turn)}", []).append(answer.text == turn.turns[0].answer)
    found: dict[str, Any] = {"turns": {name: [round(fmean(hits), 3), len(hits)] for name, hits in sorted(right.items())}}
    for name in ("arc", "openmath", "squad"):
        task, rows = get_task(name), lab.rows(name, "test", TEST_ROWS)
        renderer = Renderer(decoder.tokenizer, "off")
        texts = [a.text for a in decoder.answers([renderer.prompt(task.messages(row)) for row in rows], 500, print)]
        scored = task.score(texts, rows)
        found[name] = {"score": scored["scores"][task.headline.key], "format_rate": scored["format_rate"], "said": texts[:4]}
    return found


def build_tokenizer(folder: Path) -> None:
    """The tokenizer both models share, trained on the first documents of a corpus."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = ("".join(text for text, _ in rendered(d)) for d in islice(documents(ask, "tokenizer"), TOKENIZER_DOCUMENTS))
    make_tokenizer(texts, lab.VOCABULARY, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", choices=tuple(lab.SHAPES), action="append")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=Pretraining.steps)
    arguments = parser.parse_args()
    recipe = Pretraining(steps=arguments.steps)
    names = list(arguments.model or lab.SHAPES)
    for name in names:
        build_tokenizer(arguments.folder / name)
    facts = pretrain(names, arguments.folder, recipe, arguments.device)
    print(facts)
    for name in names:
        facts = evaluated(arguments.folder / name, Runtime.choose(arguments.device, "float32"))
        print(json.dumps(facts))
        (arguments.folder / name / "pretraining.json").write_text(json.dumps(asdict(recipe) | facts, indent=2))


if __name__ == "__main__":
    main()

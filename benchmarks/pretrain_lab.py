"""Makes the embedded base models from the seed: tokenizer, weights, what they can do, model card.

    python benchmarks/pretrain_lab.py FOLDER                    # a quarter of an hour on a GPU; on a CPU, days
    python benchmarks/pretrain_lab.py FOLDER --course reading   # one course, for the models in FOLDER

writes FOLDER/nano and FOLDER/micro in Hugging Face format, FOLDER/pretraining.json with the recipe, digests and scores,
and FOLDER/README.md, the model card. The package's own are in src/pytest_ftbench/lab/weights.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from hashlib import sha256
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from pytest_ftbench import lab
from pytest_ftbench.lab.corpus import COURSES, Chat, documents, held_out_chats
from pytest_ftbench.ml.base import load_tokenizer, load_weights
from pytest_ftbench.ml.generate import Decoder
from pytest_ftbench.ml.pretrain import Pretraining, Stage, ask, pretrain, rendered
from pytest_ftbench.ml.prompts import Renderer
from pytest_ftbench.ml.runtime import LIBRARIES, Runtime, at_work
from pytest_ftbench.ml.scratch import make_model, make_tokenizer
from pytest_ftbench.store import file_digest, package_versions, read_json, write_json
from pytest_ftbench.tasks import get_task

TOKENIZER_DOCUMENTS = 20_000
DIGEST_DOCUMENTS = 2_000
SKILL_TURNS, SCORE_ROWS = 800, 200
BATCH, NEW_TOKENS = 200, 48


def first_documents(seed: str, count: int, course: str = "general") -> Iterator[str]:
    """The texts of a corpus's first documents."""
    some = islice(documents(ask, seed, COURSES[course]), count)
    return ("".join(text for text, _ in rendered(document)) for document in some)


def corpus_digest(seed: int, course: str) -> str:
    """A digest of a corpus's beginning: it changes with the world, its wording and the tasks' prompts."""
    return sha256("\0".join(first_documents(f"{seed}-0", DIGEST_DOCUMENTS, course)).encode()).hexdigest()


def shared_tokenizer(seed: int, folder: Path) -> Any:
    """The tokenizer of all embedded models, trained on the beginning of a corpus."""
    return make_tokenizer(first_documents(f"{seed}-tokenizer", TOKENIZER_DOCUMENTS), lab.VOCABULARY, folder)


def skills(folder: Path, runtime: Runtime, count: int) -> dict[str, float]:
    """Per task, the share of held-out chat turns that a model answers word for word, ``count`` turns in all."""
    decoder = Decoder(load_weights(folder, runtime), load_tokenizer(folder), NEW_TOKENS)
    chats = [chat for chat in islice(held_out_chats(ask, "skills"), 2 * count) if chat.turns[0].thought is None]
    return shares_right(decoder, chats[:count])


def shares_right(decoder: Decoder, chats: list[Chat]) -> dict[str, float]:
    """Per task, the share of chats that are answered word for word."""
    answers = decoder.answers([rendered(chat)[0][0] for chat in chats], BATCH, print)
    hits: dict[str, list[bool]] = {name: [] for name in lab.TASKS}
    for chat, answer in zip(chats, answers, strict=True):
        hits[chat.task].append(answer.text == chat.turns[0].answer)
    return {name: fmean(found) for name, found in hits.items()}


def scores(folder: Path, runtime: Runtime, count: int) -> dict[str, dict[str, float | None]]:
    """Per task, headline score and format rate on the first ``count`` test rows, under the task's own prompt."""
    decoder = Decoder(load_weights(folder, runtime), load_tokenizer(folder), NEW_TOKENS)
    renderer = Renderer(decoder.tokenizer, "off")
    found = {}
    for name in lab.TASKS:
        task, rows = get_task(name), lab.rows(name, "test", count)
        answers = decoder.answers([renderer.prompt(task.messages(row)) for row in rows], BATCH, print)
        scored = task.score([answer.text for answer in answers], rows)
        headline = task.headline.key
        found[name] = {headline: scored["scores"][headline], "format_rate": scored["format_rate"]}
    return found


def make(folder: Path, recipe: Pretraining, stages: Sequence[Stage], device: str) -> dict[str, Any]:
    """Take both models in a folder, made there if the first stage is among these, through stages; what to record."""
    path = folder / "pretraining.json"
    if stages[0] == recipe.stages[0]:
        models = {name: new_model(name, recipe.seed, folder / name) for name in lab.SHAPES}
        past = []
    else:
        runtime = Runtime.choose("cpu", "float32")
        models = {name: load_weights(folder / name, runtime) for name in lab.SHAPES}
        past = read_json(path)["stages"]
    tokenizer = load_tokenizer(folder / "nano")
    runtime = Runtime.choose(device, "float32")
    for stage in stages:
        started = time.monotonic()
        taught = {name: models[name] for name in stage.learning_rates}
        losses = pretrain(taught, tokenizer, recipe, stage, device, lambda line: print(line, flush=True))
        for model in taught.values():  # as if it had been saved and loaded: one course at a time or all, it's the same
            model.to(torch.bfloat16).to(torch.float32)
        past.append(
            {
                "course": stage.course,
                "device_name": runtime.device_name,
                "seconds": time.monotonic() - started,
                "versions": package_versions(*LIBRARIES),
                "losses": losses,
            }
        )
    for name, model in models.items():
        model.config.dtype = torch.bfloat16
        model.to(torch.bfloat16).save_pretrained(folder / name)
    return {
        "recipe": asdict(recipe),
        "stages": past,
        "corpora": {stage.course: corpus_digest(recipe.seed, stage.course) for stage in recipe.stages},
        "tokenizer": file_digest(folder / "nano" / "tokenizer.json"),
        "models": {name: record_of(folder / name, model, runtime) for name, model in models.items()},
    }


def new_model(name: str, seed: int, folder: Path) -> Any:
    """A model with random weights, its tokenizer in its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return make_model(lab.SHAPES[name], shared_tokenizer(seed, folder), seed)


def record_of(folder: Path, model: Any, runtime: Runtime) -> dict[str, Any]:
    """What there is to record of one model."""
    with at_work():
        return {
            "parameters": model.num_parameters(),
            "weights": file_digest(folder / "model.safetensors"),
            "skills": skills(folder, runtime, SKILL_TURNS),
            "scores": scores(folder, runtime, SCORE_ROWS),
        }


def card(record: dict[str, Any]) -> str:
    """The model card of a record."""
    recipe, models = record["recipe"], record["models"]
    rows = [
        f"| {task} | "
        + " | ".join(
            f"{models[name]['skills'][task]:.3f} | {_headline(models[name]['scores'][task])} "
            f"| {100 * models[name]['scores'][task]['format_rate']:.0f} %"
            for name in models
        )
        + " |"
        for task in lab.TASKS
    ]
    return CARD.format(
        sizes=", ".join(f"{name} has {models[name]['parameters']:,}" for name in models),
        vocabulary=lab.VOCABULARY,
        stages="\n".join(_told(stage, done) for stage, done in zip(recipe["stages"], record["stages"], strict=True)),
        header=" | ".join(f"{name} skill | score | in form" for name in models),
        ruler=" | ".join(["---"] * 3 * len(models)),
        rows="\n".join(rows),
        **{key: recipe[key] for key in ("seed", "betas", "weight_decay")},
    )


def _told(stage: dict[str, Any], done: dict[str, Any]) -> str:
    tokens = stage["steps"] * stage["rows"] * stage["length"] / 1e6
    rates = ", ".join(f"{rate:g} ({name})" for name, rate in stage["learning_rates"].items())
    return (
        f"- {stage['course']}: {stage['steps']:,} steps of {stage['rows']} rows of {stage['length']} tokens "
        f"({tokens:.0f} million, padding included, each\n  batch read twice), learning rate {rates} after "
        f"{stage['warmup']} steps of warm-up;\n  {done['seconds'] / 60:.0f} minutes on {done['device_name']}"
    )


def _headline(scores: dict[str, float]) -> str:
    [name] = scores.keys() - {"format_rate"}
    return f"{name} {scores[name]:.3f}"


CARD = """\
---
license: apache-2.0
language: en
tags: [synthetic, laboratory]
---

# The lab's base models: nano and micro

Two small language models of Qwen3's architecture, stand-ins for a small and a larger base model where nothing can be
downloaded. They know one invented world (things, people, sums, short passages) and nothing else: they are of no use
outside this package's benchmarks. {sizes} parameters, in bfloat16;
they share a byte-level BPE tokenizer of {vocabulary} tokens, digits one by one, with Qwen3's ChatML and its thinking
switch.

Made by `python benchmarks/pretrain_lab.py FOLDER` from seed {seed}, with AdamW (betas {betas}, weight decay
{weight_decay}), cosine decay and bfloat16 autocast, in courses one after another:

{stages}

All of it stands in [pretraining.json](pretraining.json), with digests of corpora, tokenizer and weights, versions, loss
curves.

They were trained on plain text and on chats over the same kinds of question as the benchmark's, in other forms of
answer. Under the benchmark's own prompts the corpus answers in the box for about three topics in ten, by design: an
untuned model shall answer in form now and then, as untuned models do. No row of a train, validation or test split is
in the corpus (of `facts`, no person).

| task | {header} |
| --- | {ruler} |
{rows}

Skill: share of chat turns, on questions held out of the corpus (of `facts`: on people it tells of), answered word for
word in the corpus's own forms. Score and format rate: on the first 200 test rows under the task's own prompt, untuned,
greedy.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    recipe = Pretraining()
    courses = [stage.course for stage in recipe.stages]
    parser.add_argument("--course", choices=courses, help="only this one, from what is in FOLDER (default: all)")
    arguments = parser.parse_args()
    stages = [stage for stage in recipe.stages if arguments.course in (None, stage.course)]
    path = arguments.folder / "pretraining.json"
    write_json(path, make(arguments.folder, recipe, stages, arguments.device))
    told = card(read_json(path))
    (arguments.folder / "README.md").write_text(told, encoding="utf-8")
    print(told)


if __name__ == "__main__":
    main()

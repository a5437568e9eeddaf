"""A little invented world: rows for each task, made from a seed, as many distinct ones as asked, in four splits.

Its rows have the very columns of the real data sets, so prompts and scorers are the same for both. No question of one
split is in another: a hash of what makes a question the one it is (``Sample.key``: the passage, the story without its
numbers, the options in any order) says which split it belongs to. Rows of one split may ask the same with other wrong
options. Facts are the exception that has to be, see ``biographies``: their splits share what is asked for and no
wording of it.
"""

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from pytest_ftbench.lab.biographies import biographies
from pytest_ftbench.lab.passages import passage
from pytest_ftbench.lab.quiz import quiz
from pytest_ftbench.lab.sample import Row, Sample
from pytest_ftbench.lab.stories import story

_MAKERS: Mapping[str, Callable[[random.Random, int], Sample]] = {
    "arc": quiz,
    "openmath": lambda rng, _: story(rng),
    "squad": lambda rng, _: passage(rng),
}
TASKS = ("arc", "facts", "openmath", "squad")
"""The tasks the world has rows for."""

SPLITS = ("corpus", "train", "validation", "test")
"""What the base models are pretrained on, and what tasks are tuned, chosen and tested on."""
_BY_TENTH = ("corpus",) * 7 + ("train", "validation", "test")


def rows(task: str, split: str, count: int, seed: int = 0) -> list[Row]:
    """The first ``count`` distinct rows of a task's split; fewer are a part of more.

    Raises KeyError for a task or split the world knows nothing of, ValueError where there are not as many.
    """
    found = [
        {"id": f"world-{split}-{number}", **sample.row}
        for number, sample in enumerate(islice(_distinct(task, split, seed), count), 1)
    ]
    if len(found) < count:
        raise ValueError(f"the world has {len(found)} rows for {task} {split}, not {count}")
    return found


def draw(task: str, split: str, rng: random.Random, number: int) -> Sample:
    """A sample of a task's split, drawn at random; of arc's, any four with consecutive numbers have four letters."""
    while True:
        sample = _MAKERS[task](rng, number)
        if split_of(sample) == split:
            return sample


def split_of(sample: Sample) -> str:
    """The split a sample belongs to."""
    return _BY_TENTH[int.from_bytes(hashlib.blake2b(sample.key.encode(), digest_size=8).digest()) % len(_BY_TENTH)]


def _distinct(task: str, split: str, seed: int) -> Iterator[Sample]:
    if task not in TASKS or split not in SPLITS:
        raise KeyError(f"{task} {split}")
    rng = random.Random(f"{task}-{split}-{seed}")
    if task == "facts":
        yield from biographies(split, rng)
        return
    seen: set[str] = set()
    while True:
        sample = draw(task, split, rng, len(seen))
        # whatever the order of its words: options that changed places make no new question
        words = f"{sample.row.get('context', '')} {sample.row['question']}".split()
        identity = " ".join(sorted(words))
        if identity not in seen:
            seen.add(identity)
            yield sample

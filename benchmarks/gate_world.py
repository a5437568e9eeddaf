"""Runs made by chance, whose truth is known: records with items as a suite's trainings would leave them.

How far trainings lie apart is read from what ``seed_spread.py`` measured. An item is answered rightly with a chance of
its own, the same in every training: Beta-distributed over items, so that mean score and noise of an answer are those
measured. A training's own luck, and a drop, turn so many answers of its, drawn at random, the other way.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_ftbench.grid import Cell, CellRecord

Flags = NDArray[np.bool_]

KEYS = {"arc": ("macro_f1", 1.0), "openmath": ("solve_rate", 1.0), "squad": ("f1", 100.0)}
WAYS_PER_TASK = 4
PROMPTS = 10
MS = 10.0
PROMPT_NOISE = 0.1
"""Standard deviation of the logarithm of a time per token from prompt to prompt."""


@dataclass(frozen=True)
class Spread:
    """Answers of one way to one task: their mean, the standard deviations between trainings and of an answer: 0..1."""

    mean: float
    training: float
    noise: float

    @classmethod
    def read(cls, value: dict[str, Any], times: float) -> "Spread":
        """From points, trainings lying ``times`` as far apart as measured."""
        mean, training, noise = (value[key] / 100 for key in ("mean", "training_stddev", "noise_stddev"))
        return cls(mean, times * training, min(times * noise, 0.5))

    def chances(self, items: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """The chance of each item to be answered rightly."""
        most = self.mean * (1 - self.mean)
        share = min(0.999, self.noise**2 / most) if most > 0 else 0.0
        if share <= 0:
            return (np.arange(items) < round(items * self.mean)).astype(np.float64)
        like = share / (1 - share)
        return rng.beta(max(1e-3, self.mean * like), max(1e-3, (1 - self.mean) * like), items)

    def answers(self, chances: NDArray[np.float64], rng: np.random.Generator) -> Flags:
        """Which items one training answers rightly."""
        return turned(rng.random(len(chances)) < chances, rng.normal(0, self.training), rng)


def turned(right: Flags, share: float, rng: np.random.Generator) -> Flags:
    """The answers with a ``share`` of all items more that are right, or fewer where it is negative, drawn at random."""
    more = share > 0
    count = int(abs(share) * len(right) + rng.random())
    others = np.flatnonzero(~right if more else right)
    found = right.copy()
    found[rng.permutation(others)[:count]] = more
    return found


@dataclass(frozen=True)
class Place:
    """A way and eval task of the made suite, and what its answers are like."""

    method: str
    rank: int
    train: str
    task: str
    answers: Spread
    in_form: Spread
    """Of the answers that are wrong."""

    @property
    def way(self) -> str:
        """Its id without a seed."""
        return Cell("nano", self.method, self.task, self.train, self.rank).way


def places(path: Path, times: float = 1.0) -> list[Place]:
    """36 cells: four ways on each of three tasks, each tested on all three; where fewer were measured, they repeat."""
    measured = json.loads(path.read_text(encoding="utf-8"))["cells"]
    found = []
    for train in KEYS:
        ways = dict.fromkeys(_trained(cell) for cell in measured if cell["train_task"] == train)
        for index, way in zip(range(WAYS_PER_TASK), cycle(ways), strict=False):
            mine = [cell for cell in measured if _trained(cell) == way]
            for cell in mine:
                answers, in_form = (Spread.read(cell[key], times) for key in ("answers", "in_form"))
                # what is right is in form; of the rest, so many are
                wrong = max(1e-9, 1 - answers.mean)
                rest = max(0.0, in_form.mean - answers.mean) / wrong
                form = Spread(rest, in_form.training / wrong, min(0.5, in_form.noise / wrong**0.5))
                found.append(Place("lora", 2**index, train, cell["eval_task"], answers, form))
    return found


def _trained(cell: dict[str, Any]) -> str:
    """The trained way of a measured cell, whatever it was tested on."""
    return str(cell["way"]).rpartition("-to-")[0]


class World:
    """One test set, and the chances of every way to answer its items, from which runs are drawn."""

    def __init__(self, cells: Sequence[Place], items: int, timing_noise: float, rng: np.random.Generator) -> None:
        self.cells, self.items, self.rng, self.timing_noise = cells, items, rng, timing_noise
        self.answers = [place.answers.chances(items, rng) for place in cells]
        self.in_form = [place.in_form.chances(items, rng) for place in cells]
        # what an item can become: right, wrong, unparsed; made once, for records only read them
        self.kinds = {
            task: [_kinds(f"{task}-{index}", full) for index in range(items)] for task, (_, full) in KEYS.items()
        }

    def run(self, seeds: Sequence[int], drops: dict[str, float] | None = None) -> list[CellRecord]:
        """The records of all ways under these seeds, some of them ``drops`` worse, as a share of the full score."""
        return [record for index in range(len(self.cells)) for record in self.way(index, seeds, drops)]

    def way(self, index: int, seeds: Sequence[int], drops: dict[str, float] | None = None) -> Iterator[CellRecord]:
        """The records of one way under these seeds, timed in one go."""
        place = self.cells[index]
        speed = MS / 1000 * np.exp(self.rng.normal(0, self.timing_noise / 100 / np.sqrt(2)))
        for seed in seeds:
            yield self._record(index, place, seed, (drops or {}).get(place.way, 0.0), speed)

    def _record(self, index: int, place: Place, seed: int, drop: float, speed: float) -> CellRecord:
        right = place.answers.answers(self.answers[index], self.rng)
        parsed = right | place.in_form.answers(self.in_form[index], self.rng)
        right = turned(right, -drop, self.rng)
        kinds = self.kinds[place.task]
        # 0 unparsed, 1 wrong, 2 right
        items = [kind[outcome] for kind, outcome in zip(kinds, (parsed.astype(np.int8) + right).tolist(), strict=True)]
        key, full = KEYS[place.task]
        tpot = (speed * np.exp(self.rng.normal(0, PROMPT_NOISE, PROMPTS))).tolist()
        cell = Cell("nano", place.method, place.task, place.train, place.rank, seed=seed, seeded=True)
        return CellRecord.of(
            cell,
            n=self.items,
            scores={key: full * float(right.mean())},
            format_rate=float(parsed.mean()),
            empty_rate=0.0,
            latency_s={"tpot_median": float(np.median(tpot)), "tpot": tpot, "n": PROMPTS, "workers": 1},
            output_tokens={"mean": 6.0},
            memory_gib={"train_allocated": 3.0, "eval_allocated": 1.5},
            train={"dtype": "bfloat16"},
            items=items,
            extra={"provenance": {"items": "made", "prompts": "made", "device_name": "made"}},
        )


def _kinds(name: str, full: float) -> tuple[dict[str, Any], ...]:
    wrong = {"item": name, "output": "\\boxed{B}", "gold": "A", "parsed": "B", "score": 0.0}
    return (
        wrong | {"output": "B", "parsed": None},
        wrong,
        wrong | {"output": "\\boxed{A}", "parsed": "A", "score": full},
    )

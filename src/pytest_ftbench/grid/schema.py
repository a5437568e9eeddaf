"""What schema 1 says of the values in a record: of which kind each is, so that whoever computes can rely on it.

Null is the unknown wherever it stands, and keys that aren't named here may hold anything. A version that gives a key
another meaning, or another kind, writes schema 2, and says here how a file of schema 1 becomes one. So far nothing has
to be migrated, for schema 1 has only ever grown: the files of earlier versions among the golden ones load as they are.
"""

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_ftbench.grid.shown import shown

SCHEMA = 1
DEEPEST = 64
"""How deep values may lie in each other: what goes through them all takes a call or two for each level."""


class Shape(Protocol):
    """What a JSON value other than null must be like."""

    def fits(self, value: Any) -> bool:
        """Whether the value is like that."""

    def problem(self, value: Any, place: str) -> str | None:
        """What is wrong with the value at a place, as in ``'latency_s.samples[2]' is 'fast', no number``."""


@dataclass(frozen=True)
class Kind:
    """A plain value of a kind, by what a sentence calls it."""

    name: str
    fits: Callable[[Any], bool]

    def problem(self, value: Any, place: str) -> str | None:
        """That the value is of another kind."""
        return None if self.fits(value) else f"{place!r} is {shown(value)}, no {self.name}"


@dataclass(frozen=True)
class Keys:
    """A JSON object, by the shapes of its known keys; ``rest`` is that of all others (None: anything).

    Those ``needed`` are there, and not null.
    """

    known: Mapping[str, Shape]
    rest: Shape | None = None
    needed: tuple[str, ...] = ()

    def fits(self, value: Any) -> bool:
        """Whether it is an object and what is in it is of its shape."""
        if not isinstance(value, dict) or any(value.get(key) is None for key in self.needed):
            return False
        known, rest = self.known, self.rest
        return not any(
            inner is not None and (shape := known.get(key, rest)) is not None and not shape.fits(inner)
            for key, inner in value.items()
        )

    def problem(self, value: Any, place: str) -> str | None:
        """That it is no object, which key it lacks, or what is wrong with the first thing in it that is."""
        if not isinstance(value, dict):
            return f"{place!r} is no object" if place else "it is no object"
        within = ((_at(place, key), self.known.get(key, self.rest), each) for key, each in value.items())
        lacks = (f"{_at(place, key)!r} is missing" for key in self.needed if value.get(key) is None)
        wrong = (shape.problem(inner, at) for at, shape, inner in within if not (inner is None or shape is None))
        return _first([*lacks, *wrong])


@dataclass(frozen=True)
class Each:
    """A JSON array, by the shape of what is in it; ``or_null`` says that some of it may be unknown."""

    shape: Shape
    or_null: bool = False

    def fits(self, value: Any) -> bool:
        """Whether it is an array and all in it is of its shape."""
        fits, or_null = self.shape.fits, self.or_null
        return isinstance(value, list) and all(fits(inner) or (or_null and inner is None) for inner in value)

    def problem(self, value: Any, place: str) -> str | None:
        """That it is no array, or what is wrong with the first thing in it that is."""
        if not isinstance(value, list):
            return f"{place!r} is no list"
        asked = ((at, inner) for at, inner in enumerate(value) if not (self.or_null and inner is None))
        return _first(self.shape.problem(inner, f"{place}[{at}]") for at, inner in asked)


def _at(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _first(problems: Iterable[str | None]) -> str | None:
    return next((each for each in problems if each is not None), None)


def _is_number(value: Any) -> bool:
    # what Python's own JSON writes for the unknown, NaN, is read as what it means
    return isinstance(value, float) or (type(value) is int and abs(value) <= sys.float_info.max)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) or (_is_number(value) and math.isfinite(value))


TEXT = Kind("text", lambda value: isinstance(value, str))
NUMBER = Kind("number", _is_number)
NAME = Kind("text or number", _is_name)
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
OBJECT = Keys({})
SCORES = Keys({}, NUMBER)


def _of(shape: Shape, *names: str) -> dict[str, Shape]:
    return dict.fromkeys(names, shape)


_NUMBERS = Each(NUMBER, or_null=True)
_RATES = _of(NUMBER, "format_rate", "empty_rate", "truncated_rate")
_TIMES: dict[str, Shape] = {
    **_of(NUMBER, "mean", "median", "stddev", "p95", "n", "ttft_median", "tpot_median", "new_tokens"),
    **_of(_NUMBERS, "samples", "ttft", "tpot", "tokens"),
}
_LATENCY: dict[str, Shape] = {
    **_TIMES,
    **_of(Keys(_TIMES), "fixed", "fast"),
    **_of(NUMBER, "cores_of_others", "cores", "workers", "threads"),
    **_of(FLAG, "gpu_shared", "gpu_throttled", "exclusive"),
}
_MEMORY = [f"{phase}_{kind}" for phase in ("train", "eval") for kind in ("allocated", "reserved", "process")]
_TRAIN: dict[str, Shape] = {
    **_of(NUMBER, "seconds", "steps", "final_loss", "mean_loss", "learning_rate", "trainable_params", "total_params"),
    **_of(NUMBER, "checkpoint_bytes", "merged_bytes", "threads", "rows", "rows_left_out", "tokens"),
    **_of(NUMBER, "targets_empty", "targets_without_end"),
    **_of(TEXT, "dtype", "base_dtype", "quantization", "device_name", "template"),
    "losses": _NUMBERS,
    "use_rslora": FLAG,
    "plan": OBJECT,
}
_ITEM = Keys({**_of(NAME, "item", "cluster"), "output": TEXT, **_of(NUMBER, "score", "tokens")})
_POINT = Keys({**_RATES, **_of(NUMBER, "epoch", "step", "seconds", "loss"), "scores": SCORES})

RECORD = Keys(
    {
        **_of(
            TEXT, "id", "model", "method", "eval_task", "train_task", "quantization", "status", "error", "eval_dtype"
        ),
        **_of(NAME, "rank", "seed"),
        **_RATES,
        "n": NUMBER,
        "scores": SCORES,
        "latency_s": Keys(_LATENCY),
        "output_tokens": Keys({**_of(NUMBER, "mean", "median"), "samples": _NUMBERS}),
        "memory_gib": Keys(_of(NUMBER, *_MEMORY)),
        "train": Keys(_TRAIN),
        "items": Each(_ITEM),
        "curve": Each(_POINT),
        "flags": Each(TEXT),
        "provenance": OBJECT,
    },
    needed=("id", "model", "method", "eval_task"),
)
"""A record of schema 1."""

TRAIN = Keys({**_TRAIN, "points": Each(_POINT), "peak_memory_gib": OBJECT}, needed=("points",))
"""What a stored checkpoint says of its training."""
_ANSWER = Keys({"text": TEXT, "tokens": NUMBER, "truncated": FLAG}, needed=("text", "tokens", "truncated"))
ANSWERS = Keys(
    {"answers": Each(_ANSWER), **_of(TEXT, "dtype", "template"), **_of(OBJECT, "merge", "engine")},
    needed=("answers", "dtype", "engine"),
)
"""What a model has answered, as it is stored."""
_TIMED = ("samples", "ttft", "tokens")
_TIMINGS = Keys({**_LATENCY, "texts": Each(TEXT)}, needed=_TIMED)
TIMINGS = Keys({**_TIMINGS.known, "peak_memory_gib": SCORES, "fixed": _TIMINGS}, needed=(*_TIMED, "peak_memory_gib"))
"""How long answers took, as it is stored."""
TRIAL = Keys({**_of(NUMBER, "rate", "score", "loss", "seconds", "tokens"), "failed": TEXT}, needed=("rate",))
"""What a learning rate came to, as it is stored."""
_SAID = Each(TEXT)
OVERLAP = Keys(
    {**_of(NUMBER, "exact", "near", "other_target", "passages"), "items": _SAID, "said": _SAID},
    needed=("exact", "items", "said"),
)
"""Which test rows were found among training rows, as it is stored."""
_FAULT = Kind("place, problem and fix", lambda value: isinstance(value, list) and len(value) == 3)
ASKED_ROWS = Keys({"said": _SAID, "fault": _FAULT}, needed=("said",))
TRAINING_ROWS = Keys(
    {**_of(NUMBER, "left_out", "differing"), "said": _SAID, "fault": _FAULT}, needed=("left_out", "differing", "said")
)
"""What was found the matter with training rows, as it is stored."""

RESULTS = Keys({"suite": TEXT, "provenance": OBJECT, "trivial": Keys({}, Keys({}, SCORES)), "cells": Each(OBJECT)})
"""A results file of schema 1, but for what is in its cells."""


def is_deep(value: Any) -> bool:
    """Whether values lie deeper in each other than what goes through them all can go."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True

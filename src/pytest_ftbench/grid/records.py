"""What a cell leaves behind: one record; and ``results.json``, schema 1, which holds them all.

Records are made of plain JSON values from the start, so that they can be stored, sent between processes and rendered
years later without the libraries that measured them. Keys that this version doesn't know are kept.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from pytest_ftbench.grid.cell import Cell
from pytest_ftbench.grid.errors import UserError

SCHEMA = 1
_T = TypeVar("_T", dict[str, Any], list[Any])

# the keys of schema 1 in a record's objects; these are lists, unknown numbers are null
_LISTS = ("samples", "ttft", "tpot", "tokens")
_KEYS: Mapping[str, tuple[str, ...]] = {
    "latency_s": (
        *("mean", "median", "stddev", "p95", "n", "ttft_median", "tpot_median"),
        *("samples", "ttft", "tpot", "tokens", "fixed"),
        *("cores_of_others", "cores", "gpu_shared", "gpu_throttled"),
    ),
    "output_tokens": ("mean", "median", "samples"),
    "memory_gib": (
        *("train_allocated", "train_reserved", "eval_allocated", "eval_reserved"),
        *("train_process", "eval_process"),
    ),
    "train": (
        *("seconds", "steps", "final_loss", "learning_rate", "alpha", "trainable_params", "total_params", "dtype"),
        *("checkpoint_bytes", "merged_bytes", "quantization", "rows", "rows_left_out"),
        *("targets_empty", "targets_without_end", "template"),
    ),
}
# what tells checkpoints apart beside their names
_NAMING = {"train_task": str, "quantization": str, "rank": int | float | str, "seed": int | float | str}
_POINT = ("epoch", "step", "seconds", "loss", "scores", "format_rate", "empty_rate", "truncated_rate")


@dataclass(repr=False)
class CellRecord:
    """Everything measured in one cell; field names are the keys of ``results.json``. Unknown is None.

    ``latency_s`` holds, of the answers that were timed one by one, ``samples``, seconds end to end, their ``mean``,
    ``median``, ``stddev``, ``p95`` (linear between samples) and number ``n``; ``ttft``, seconds to the first token, and
    ``tpot``, seconds per output token after it (null in an answer of one token), with their medians; ``tokens``. Under
    ``fixed`` are the same numbers of the same prompts for exactly ``new_tokens`` tokens each, where that was asked for.
    ``cores_of_others`` is the mean number of cores that other processes kept busy meanwhile, of the ``cores`` that the
    run might use with its ``threads`` (on a CPU), ``gpu_shared``
    whether another process computed on the GPU, ``gpu_throttled`` whether its clocks were held down.

    ``memory_gib`` holds peaks of training and of answering: ``allocated`` and ``reserved`` are those of torch's
    allocator on CUDA, ``process`` is the process's own share (as NVML has it on CUDA, on a CPU by how much its resident
    set grew). In ``train``, ``checkpoint_bytes`` is what is saved, an adapter or the weights, and ``merged_bytes`` the
    whole model with it merged in; ``quantization`` (``nf4``, ``int8``) is what the base was in while it was trained.
    Of the ``rows`` trained on, ``targets_empty`` and ``targets_without_end`` (no end token last) are counts;
    ``rows_left_out`` were over the recipe's length; ``template`` is the digest of the chat template.

    Among what ``provenance`` holds, which is in ``extra``: ``overlap``, the test items found among the training rows
    (``exact`` and ``near`` duplicates, ``other_target`` with another answer there, ``passages`` that are shared:
    counts; ``items``, some of the duplicates' ids); ``prompts_differ``, how many training texts don't begin with the
    evaluation prompt of their row; ``merge``, the logits of a merged adapter against those with it beside the weights:
    ``relative_rms``, how far they are apart over how far the adapter moves its base's (and ``requantized_rms``, where
    the merged weights were quantized again); ``max_logit_gap``, ``logit_std`` of the unmerged, ``argmax_flips`` (a
    share). Null where that doesn't apply or isn't known.

    ``curve`` is the learning curve, where the suite asked for one: points of one training, ascending by epoch, the last
    of them its end and so this record's own scores. Of each it holds ``epoch`` and ``step``, how long the training had
    gone on; ``seconds`` of training until then, without saving and testing; ``loss``, the mean of the steps' losses in
    that epoch; and ``scores``, ``format_rate``, ``empty_rate``, ``truncated_rate`` as in the record itself.
    """

    id: str
    model: str
    method: str
    eval_task: str
    rank: int | None = None
    quantization: str | None = None
    train_task: str | None = None
    seed: int = 0
    status: str = "ok"
    error: str | None = None
    n: int | None = None
    scores: dict[str, float | None] = field(default_factory=dict)
    format_rate: float | None = None
    empty_rate: float | None = None
    truncated_rate: float | None = None
    latency_s: dict[str, Any] = field(default_factory=dict)
    output_tokens: dict[str, Any] = field(default_factory=dict)
    memory_gib: dict[str, float | None] = field(default_factory=dict)
    train: dict[str, Any] | None = None
    eval_dtype: str | None = None
    items: list[dict[str, Any]] = field(default_factory=list)
    curve: list[dict[str, Any]] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        # it stands in the messages of failing assertions, where a record of 200 items would hide what matters
        return f"CellRecord({self.id}, {self.status})"

    @classmethod
    def of(cls, cell: Cell, **measured: Any) -> "CellRecord":
        """A record of this cell."""
        return cls(
            id=cell.id,
            model=cell.model,
            method=cell.method,
            rank=cell.rank,
            quantization=cell.quantization,
            train_task=cell.train_task,
            eval_task=cell.eval_task,
            seed=cell.seed,
            **measured,
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any], place: object = "record") -> "CellRecord":
        """The record in a JSON object; keys it doesn't know go to ``extra``.

        Raises :class:`UserError` where a needed key is missing or of the wrong type.
        """
        known = {f.name for f in fields(cls)} - {"extra"}
        for key in ("id", "model", "method", "eval_task"):
            if not isinstance(value.get(key), str):
                raise UserError(place, f"a cell has no text under the key {key!r}", "write it as schema 1 says")
        for key, wanted in _NAMING.items():
            if not isinstance(value.get(key), wanted | None):
                raise UserError(place, f"{value['id']}: {key!r} is {value[key]!r:.40}", "write it as schema 1 says")
        given = {key: value[key] for key in known & value.keys()}
        for key in ("rank", "quantization", "train_task", "seed", "status"):
            if isinstance(given.get(key), list | dict):
                raise UserError(place, f"{value['id']}: {key!r} is no plain value", "write it as schema 1 says")
        for key in ("scores", "latency_s", "output_tokens", "memory_gib"):
            given[key] = _of_type(given.get(key), dict, place, f"{value['id']}: {key!r}")
        if given.get("train") is not None:
            given["train"] = _of_type(given["train"], dict, place, f"{value['id']}: 'train'")
        for key in ("items", "flags", "curve"):
            given[key] = _of_type(given.get(key), list, place, f"{value['id']}: {key!r}")
        given["curve"] = [_point(point, place, f"{value['id']}: 'curve'") for point in given["curve"]]
        return cls(**given, extra={key: value[key] for key in value.keys() - known})

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values: unknown or non-finite numbers are null, all keys of schema 1 are there."""
        value: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extra"}
        for key, names in _KEYS.items():
            if value[key] is not None:
                value[key] = {name: [] if name in _LISTS else None for name in names} | value[key]
        value["curve"] = [dict.fromkeys(_POINT) | {"scores": {}} | point for point in self.curve]
        return {key: plain(inner) for key, inner in (value | self.extra).items()}

    @property
    def ok(self) -> bool:
        """Whether it was measured."""
        return self.status == "ok"

    @property
    def complete(self) -> bool:
        """Whether every test item was answered and scored."""
        return self.ok and self.n is not None and self.n == len(self.items)

    def provenance(self, key: str) -> str | None:
        """What the record says of where it came from: ``reasoning`` (on, off, unlocked), ``data`` (whose rows).

        ``adapter`` is how an adapter was evaluated: ``merged``, ``unmerged``, ``requantized``.
        """
        provenance = self.extra.get("provenance")
        said = provenance.get(key) if isinstance(provenance, dict) else None
        return said if isinstance(said, str) else None


@dataclass
class Results:
    """The content of one ``results.json``."""

    suite: str
    cells: list[CellRecord]
    provenance: dict[str, Any] = field(default_factory=dict)
    trivial: dict[str, dict[str, dict[str, float | None]]] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The whole file as plain JSON values."""
        return {
            "schema": SCHEMA,
            "suite": self.suite,
            "provenance": plain(self.provenance),
            "trivial": plain(self.trivial),
            "cells": [cell.to_json() for cell in self.cells],
            **plain(self.extra),
        }

    @classmethod
    def from_json(cls, value: Any, place: object = "results") -> "Results":
        """The results in a parsed JSON file.

        Raises :class:`UserError` for another schema or shape.
        """
        if not isinstance(value, dict) or not isinstance(value.get("cells"), list):
            raise UserError(place, "holds no object with a list under 'cells'", "name a file that --ftbench-json wrote")
        if value.get("schema") != SCHEMA:
            raise UserError(place, f"has schema {value.get('schema')!r}", f"this version reads schema {SCHEMA}")
        if not all(isinstance(cell, dict) for cell in value["cells"]):
            raise UserError(place, "a cell is no object", "write it as schema 1 says")
        known = {"schema", "suite", "provenance", "trivial", "cells"}
        return cls(
            suite=str(value.get("suite") or ""),
            cells=[CellRecord.from_json(cell, place) for cell in value["cells"]],
            provenance=_of_type(value.get("provenance"), dict, place, "'provenance'"),
            trivial=_trivial(value.get("trivial"), place),
            extra={key: value[key] for key in value.keys() - known},
        )


def _point(value: Any, place: object, what: str) -> dict[str, Any]:
    """A point of a learning curve."""
    if not isinstance(value, dict):
        raise UserError(place, f"{what} has a point that is no object", "write it as schema 1 says")
    return value | {"scores": _of_type(value.get("scores"), dict, place, f"{what}, 'scores' of a point")}


def _trivial(value: Any, place: object) -> dict[str, dict[str, dict[str, float | None]]]:
    """The scores of trivial answerers by task and answerer."""
    tasks = _of_type(value, dict, place, "'trivial'")
    for task, answerers in tasks.items():
        for name, scores in _of_type(answerers, dict, place, f"'trivial' of {task!r}").items():
            _of_type(scores, dict, place, f"'trivial' of {task!r}, {name!r}")
    return tasks


def read_results(path: Path) -> Results:
    """The results stored in a file.

    Raises :class:`UserError` where it is missing, no JSON, or not of schema 1.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(path, f"can't be read ({error.strerror})", "name a file that --ftbench-json wrote") from None
    except (ValueError, RecursionError) as error:
        raise UserError(path, f"is no JSON ({error})", "name a file that --ftbench-json wrote") from None
    return Results.from_json(value, path)


def _of_type(value: Any, wanted: type[_T], place: object, what: str) -> _T:
    """A copy of a JSON object or array; of null, an empty one."""
    if value is not None and not isinstance(value, wanted):
        raise UserError(place, f"{what} is no {'object' if wanted is dict else 'list'}", "write it as schema 1 says")
    return wanted(value or ())


def plain(value: Any) -> Any:
    """The same value in JSON's own types; a number that is not finite becomes null."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [plain(inner) for inner in value]
    return value

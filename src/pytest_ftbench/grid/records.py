"""What a cell leaves behind: one record; and ``results.json``, schema 1, which holds them all.

Records are made of plain JSON values from the start, so that they can be stored, sent between processes and rendered
years later without the libraries that measured them. Keys that this version doesn't know are kept.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from pytest_ftbench.grid.cell import Cell
from pytest_ftbench.grid.errors import UserError
from pytest_ftbench.grid.schema import DEEPEST, RECORD, RESULTS, SCHEMA, is_deep
from pytest_ftbench.grid.shown import shown

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
_OBJECTS = ("scores", "latency_s", "output_tokens", "memory_gib")
_ARRAYS = ("items", "flags", "curve")
_ROOM = 200  # characters of an id in a message
_FIX = "write it as schema 1 says"
_WRITTEN_BY = "name a file that --ftbench-json wrote"
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
        if not RECORD.fits(value):
            raise UserError(place, f"{_named(value)}: {RECORD.problem(value, '')}", _FIX)
        if value.get("status", "") is None:  # what nobody knows the outcome of is no measurement
            raise UserError(place, f"{_named(value)}: 'status' is null", _FIX)
        known = {f.name for f in fields(cls)} - {"extra"}
        given = {key: value[key] for key in known & value.keys()}
        given |= {key: dict(given.get(key) or {}) for key in _OBJECTS}
        given |= {key: list(given.get(key) or ()) for key in _ARRAYS}
        given["train"] = None if given.get("train") is None else dict(given["train"])
        given["curve"] = [point | {"scores": dict(point.get("scores") or {})} for point in given["curve"]]
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
            raise UserError(place, "holds no object with a list under 'cells'", _WRITTEN_BY)
        _check_schema(value.get("schema"), place)
        if is_deep(value):
            raise UserError(place, f"holds values more than {DEEPEST} deep in each other", _FIX)
        if not RESULTS.fits(value):
            raise UserError(place, str(RESULTS.problem(value, "")), _FIX)
        known = {"schema", "suite", "provenance", "trivial", "cells"}
        return cls(
            suite=value.get("suite") or "",
            cells=[CellRecord.from_json(cell, place) for cell in value["cells"]],
            provenance=dict(value.get("provenance") or {}),
            trivial=_trivial(value.get("trivial") or {}),
            extra={key: value[key] for key in value.keys() - known},
        )


def _check_schema(found: object, place: object) -> None:
    """Check that a file is of the schema that this version reads; a migration from an older one would begin here."""
    if type(found) is int and found > SCHEMA:
        said = f"has schema {shown(found)}, so a newer version wrote it"
        raise UserError(place, said, f"update pytest-ftbench: this version reads schema {SCHEMA}")
    if isinstance(found, bool) or found != SCHEMA:
        said = "has no schema" if found is None else f"has schema {shown(found)}"
        raise UserError(place, said, f"this version reads schema {SCHEMA}: {_WRITTEN_BY}")


def _named(cell: Mapping[str, Any]) -> str:
    """What a message calls a cell: its id as far as it has one."""
    name = cell.get("id")
    return "a cell" if not isinstance(name, str) else name if len(name) <= _ROOM else f"{name[:_ROOM]}…"


def _trivial(tasks: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float | None]]]:
    """The scores of trivial answerers by task and answerer; null is none."""
    return {task: {name: dict(scores or {}) for name, scores in (by or {}).items()} for task, by in tasks.items()}


def read_results(path: Path) -> Results:
    """The results stored in a file.

    Raises :class:`UserError` where it is missing, no JSON, or not of schema 1.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(path, f"can't be read ({error.strerror})", _WRITTEN_BY) from None
    except RecursionError:
        raise UserError(path, f"holds values more than {DEEPEST} deep in each other", _WRITTEN_BY) from None
    except ValueError as error:
        raise UserError(path, f"is no JSON ({error})", _WRITTEN_BY) from None
    return Results.from_json(value, path)


def plain(value: Any) -> Any:
    """The same value in JSON's own types; a number that is not finite becomes null."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, Iterable):
        return [plain(inner) for inner in value]
    # a test may put numbers of other libraries into its result, and what not
    if isinstance(value, Real):
        return int(value) if isinstance(value, Integral) else plain(float(value))
    return str(value)

"""A baseline: what of a run's results later runs are held against, in a file that people review and git compares.

It is a results file of schema 1 like any other, without what no gate reads: texts of outputs, curves, losses. Every
fact has a line, and so have ten items, so that a diff shows what changed. Numbers that gates decide by are as they were
measured; times, which no clock knows better, have six digits. Why it was accepted stands in it, and why those were that
it replaces.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from pytest_ftbench.grid.errors import UserError
from pytest_ftbench.grid.records import CellRecord, Results, plain

_KEY = "baseline"
_DIGITS = 6
_LINE = 120  # characters of an object that still has a line to itself
_ITEMS_PER_LINE = 10
_EXACT = 2**53  # up to here a float that is whole is that very integer

# what only explains, or is computed anew from what is kept
_LEFT_OUT = {
    "run": {_KEY, "checks", "hygiene", "questions", "gate", "sweep"},
    "provenance": {"overlap", "prompts_differ", "merge", "sweep"},
    "latency_s": {"ttft", "stddev", "p95", "fixed"},
    "train": {"losses"},
}
_OF_AN_ITEM = ("item", "score", "parsed", "tokens", "cluster")
# macro F1 is no mean of items: it needs to know which class each is of
_OF_A_CLASS = {"arc": ("gold",)}


@dataclass(frozen=True)
class Acceptance:
    """Why and when results became a baseline, and which: ``accepted`` is a time in UTC, digests are SHA-256.

    ``replaces`` is the digest of the file in whose place it is, ``before`` what that said of itself (None: there was
    none). ``left_out`` are ids of cells that were not measured.
    """

    reason: str
    accepted: str
    file: str
    sha256: str
    replaces: str | None = None
    before: Mapping[str, Any] | None = None
    left_out: tuple[str, ...] = ()

    def as_dict(self, git_sha: object) -> dict[str, Any]:
        """What the baseline says of itself, with all earlier reasons, the oldest first."""
        value: dict[str, Any] = {
            "reason": self.reason,
            "accepted": self.accepted,
            "git_sha": git_sha,
            "from": {"file": self.file, "sha256": self.sha256},
            "replaces": self.replaces,
            "history": _history(self.before),
        }
        return value | ({"left_out": list(self.left_out)} if self.left_out else {})


def acceptance(results: Results) -> Mapping[str, Any] | None:
    """What a baseline says of itself; None where these are results that nobody accepted."""
    said = results.provenance.get(_KEY)
    return said if isinstance(said, Mapping) and isinstance(said.get("reason"), str) else None


def baseline_of(results: Results, accepted: Acceptance) -> Results:
    """The baseline that these results make; cells that were not measured are no part of it.

    Raises :class:`UserError` where none was measured.
    """
    cells = [_slim(record) for record in results.cells if record.ok]
    if not cells:
        raise UserError(accepted.file, "has no measured cell", "accept the results of a run that measured some")
    said = _without(results.provenance, _LEFT_OUT["run"])
    provenance = {_KEY: accepted.as_dict(said.get("git_sha")), **said}
    extra = {key: value for key, value in results.extra.items() if key != "gates"}
    return replace(results, cells=cells, provenance=provenance, extra=extra)


def baseline_text(baseline: Results) -> str:
    """The file's content: keys in a fixed order, unknown values left out, nothing that isn't printable."""
    head = {"schema": 1, "suite": baseline.suite, "provenance": baseline.provenance, "trivial": baseline.trivial}
    cells = [_known(record) for record in baseline.cells]
    text = _written(plain(head | {"cells": cells} | _sorted(baseline.extra)), "") + "\n"
    # names may hold marks that turn the line around or end it in some editors, and halves of characters
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def _history(before: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    if before is None:
        return []
    earlier = before.get("history")
    listed = [dict(each) for each in earlier if isinstance(each, Mapping)] if isinstance(earlier, list) else []
    return [*listed, {key: before.get(key) for key in ("accepted", "git_sha", "reason")}]


def _slim(record: CellRecord) -> CellRecord:
    """The record without what no gate reads."""
    provenance = record.extra.get("provenance")
    said = _without(provenance, _LEFT_OUT["provenance"]) if isinstance(provenance, Mapping) else provenance
    tokens = record.output_tokens
    keys = (*_OF_AN_ITEM, *_OF_A_CLASS.get(record.eval_task, ()))
    items = [_item(item, keys) for item in record.items]
    if all(isinstance(item, dict) and "tokens" in item for item in items):
        tokens = _without(tokens, {"samples"})  # the items have them
    return replace(
        record,
        latency_s=_rounded(_without(record.latency_s, _LEFT_OUT["latency_s"])),
        output_tokens=tokens,
        train=None if record.train is None else _without(record.train, _LEFT_OUT["train"]) | _times(record.train),
        items=items,
        curve=[],
        extra=record.extra | ({} if said is None else {"provenance": said}),
    )


def _item(item: Any, keys: tuple[str, ...]) -> Any:
    """What paired tests read of an item; one that can't be read stays as it is, for it makes a record's unreadable."""
    return {key: _short(item[key]) for key in keys if item.get(key) is not None} if isinstance(item, dict) else item


def _short(value: Any) -> Any:
    """The same number, without the digits that say nothing."""
    whole = isinstance(value, float) and value.is_integer() and abs(value) < _EXACT
    return int(value) if whole else value


def _times(train: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _rounded(train[key]) for key in ("seconds", "final_loss", "mean_loss") if key in train}


def _rounded(value: Any) -> Any:
    """The value with its numbers to so many digits as a clock can tell."""
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def _without(value: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: inner for key, inner in value.items() if key not in keys}


def _known(record: CellRecord) -> dict[str, Any]:
    """The record's keys that say anything, those of schema 1 first."""
    value = {field.name: plain(getattr(record, field.name)) for field in fields(record) if field.name != "extra"}
    # of a task that this version doesn't know, the first score is the headline, known or not
    known = {key: inner if key == "scores" else _said(inner) for key, inner in value.items()}
    known = {key: inner for key, inner in known.items() if inner is not None and inner != [] and inner != {}}
    return known | {key: _said(plain(inner)) for key, inner in _sorted(record.extra).items()}


def _said(value: Any) -> Any:
    """An object without the keys that are unknown."""
    return {key: inner for key, inner in value.items() if inner is not None} if isinstance(value, dict) else value


def _sorted(value: Mapping[str, Any]) -> dict[str, Any]:
    return dict(sorted(value.items()))


def _written(value: Any, indent: str, key: str = "") -> str:
    """The value as JSON: a line for each fact, and for each list of plain values or short object of them."""
    flat = json.dumps(value, ensure_ascii=False, allow_nan=False)
    parts = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    if not any(isinstance(part, dict | list) for part in parts) and (isinstance(value, list) or len(flat) <= _LINE):
        return flat
    inner = indent + " "
    lines = ",\n".join(inner + line for line in _lines(value, inner, key)) if parts else flat
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{lines}\n{indent}{closing}" if parts else flat


def _lines(value: Any, indent: str, key: str) -> Iterator[str]:
    """What stands between the brackets, by lines without their commas."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield f"{json.dumps(name, ensure_ascii=False)}: {_written(inner, indent, name)}"
    elif key == "items":
        texts = [json.dumps(inner, ensure_ascii=False, allow_nan=False, separators=(",", ":")) for inner in value]
        for start in range(0, len(texts), _ITEMS_PER_LINE):
            yield ", ".join(texts[start : start + _ITEMS_PER_LINE])
    else:
        yield from (_written(inner, indent) for inner in value)

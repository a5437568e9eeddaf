"""A record's items as arrays, in an order of their own, so that two cells on the same items can be compared.

Records may come from anywhere: items that can't be read whole are none, for a rest of them would be another test set.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_ftbench.analysis.metrics import number
from pytest_ftbench.grid import CellRecord

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

LETTERS = "ABCD"
_LARGEST = 1e12  # of a score: what is beyond is none, and its square must be a float
_CODES = {letter: code for code, letter in enumerate(LETTERS)}
_OTHER, _UNPARSED = len(LETTERS), len(LETTERS) + 1


@dataclass(frozen=True, eq=False)
class ItemTable:
    """The ``n`` test items of a cell, sorted by ``keys``; every array has shape (n,).

    ``scores`` are in the item's own unit (0..1; SQuAD 0..100). ``clusters`` number what items share, such as a passage
    (None: every item stands alone, or a record doesn't say). ``golds`` and ``parsed`` are classes of
    :data:`LETTERS`, 4 another label, 5 unparsed (None: not letters). ``differences`` are absolute differences of
    numbers, NaN where unparsed (None: not numbers).
    """

    keys: tuple[tuple[str, int], ...]
    scores: Floats
    clusters: Codes | None = None
    golds: Codes | None = None
    parsed: Codes | None = None
    differences: Floats | None = None

    @property
    def n(self) -> int:
        """The number of items."""
        return len(self.keys)

    @property
    def units(self) -> int:
        """The number of independent units: clusters where there are any, else items."""
        return self.n if self.clusters is None else int(self.clusters.max()) + 1


def item_table(record: CellRecord) -> ItemTable | None:
    """The items of a record; None where it has none, or one without a name or a score."""
    items: list[Any] = record.items if isinstance(record.items, list) else []
    if not items or not all(isinstance(item, dict) and isinstance(item.get("item"), str | int) for item in items):
        return None
    scores = [number(item.get("score")) for item in items]
    known = [score for score in scores if score is not None and abs(score) <= _LARGEST]
    if len(known) < len(items):
        return None
    keys, order = _keys(tuple(str(item["item"]) for item in items))
    ordered = [items[index] for index in order]
    golds, parsed = _letters(ordered) if record.eval_task == "arc" else (None, None)
    return ItemTable(
        keys=keys,
        scores=np.array([known[index] for index in order]),
        clusters=_clusters(ordered),
        golds=golds,
        parsed=parsed,
        differences=_differences(ordered) if record.eval_task == "openmath" else None,
    )


@lru_cache(maxsize=64)
def _keys(names: tuple[str, ...]) -> tuple[tuple[tuple[str, int], ...], tuple[int, ...]]:
    """The names sorted, those that occur again numbered, and where each was; mostly those of the record before."""
    seen: Counter[str] = Counter()
    keys = []
    for name in names:
        keys.append((name, seen[name]))
        seen[name] += 1
    order = tuple(sorted(range(len(keys)), key=keys.__getitem__))
    return tuple(keys[index] for index in order), order


def _clusters(items: Sequence[dict[str, Any]]) -> Codes | None:
    """The number of each item's cluster, from 0 on; None where one has none, or all have one of their own."""
    names = [item.get("cluster") for item in items]
    if not all(isinstance(name, str | int) for name in names):
        return None
    numbers = {name: index for index, name in enumerate(dict.fromkeys(map(str, names)))}
    return None if len(numbers) == len(items) else np.array([numbers[str(name)] for name in names])


def _letters(items: Sequence[dict[str, Any]]) -> tuple[Codes | None, Codes | None]:
    """Golds and parsed answers as classes; none where golds aren't mostly letters or the scores say otherwise."""
    golds = [_code(item.get("gold")) for item in items]
    parsed = [_UNPARSED if item.get("parsed") is None else _code(item["parsed"]) for item in items]
    letters = [code < _OTHER for code in golds]
    # a mean over several seeds is no longer the outcome of one answer
    right = [float(gold == answer) for gold, answer in zip(golds, parsed, strict=True)]
    agree = all(item["score"] == s for item, s, letter in zip(items, right, letters, strict=True) if letter)
    return (np.array(golds), np.array(parsed)) if sum(letters) > len(items) / 2 and agree else (None, None)


def _code(label: object) -> int:
    return _CODES.get(label, _OTHER) if isinstance(label, str) else _OTHER


def _differences(items: Sequence[dict[str, Any]]) -> Floats | None:
    """How far each parsed number is from its gold; None where no gold is a number."""
    golds = np.array([_value(item.get("gold")) for item in items])
    parsed = np.array([_value(item.get("parsed")) for item in items])
    if np.isnan(golds).all():
        return None
    with np.errstate(over="ignore"):
        off: Floats = np.minimum(np.abs(golds - parsed), np.finfo(np.float64).max)
    return off


def _value(text: object) -> float:
    try:
        known = number(float(text)) if isinstance(text, str | int | float) else None
    except (ValueError, OverflowError):
        known = None
    return float("nan") if known is None else known

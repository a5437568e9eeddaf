"""Several seeds of a cell as one: what tables show is the mean over trainings that differ in nothing but their seed."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pytest_ftbench.analysis.metrics import number
from pytest_ftbench.grid import CellRecord

# what tells two trainings of one name apart, beside the seed
_TRAINED_BY = ("alpha", "use_rslora", "learning_rate", "steps", "quantization")
_MADE_BY = ("recipe", "reasoning", "data", "adapter")
_RATES = ("format_rate", "empty_rate", "truncated_rate")


@dataclass(repr=False)
class PooledRecord(CellRecord):
    """A cell over its ``seeds``, the records that were measured; there to be shown, never to be stored."""

    seeds: tuple[CellRecord, ...] = ()


def pooled(records: Sequence[CellRecord]) -> list[CellRecord]:
    """The records with those of one cell that differ in their seed alone made one, where the first of them was.

    Scores, rates, times and tokens are means over the seeds that were measured, samples are all of theirs together, a
    peak of memory is the largest, flags are those of any. What else they don't agree on is unknown. ``error`` names the
    seeds that were not measured. Trainings of one name whose settings are known to differ are no seeds of each other:
    the second is shown under its method's name and ``+2``. Of a seed that is there twice the last record counts.

    Where every cell is there once, the records are returned as they are.
    """
    groups = seed_groups(records)
    if all(again == 1 and len(group) == 1 for again, group in groups):
        return list(records)
    return [pool(group, again) for again, group in groups]


def seed_groups(records: Sequence[CellRecord]) -> list[tuple[int, list[CellRecord]]]:
    """The records that differ in their seed alone together; the number tells groups of one name apart, from 1 on."""
    cells: dict[tuple[object, ...], list[list[CellRecord]]] = {}
    for record in records:
        alike = cells.setdefault(_but_for_seed(record), [])
        mine = next((group for group in alike if all(_may_be_seeds(record, other) for other in group)), None)
        if mine is None:
            alike.append([record])
        else:
            mine.append(record)
    return [each for groups in cells.values() for each in enumerate(groups, 1)]


def measured_seeds(group: Sequence[CellRecord]) -> list[CellRecord]:
    """The records of a group that were measured; of a seed that is there twice the last one."""
    return [record for record in {repr(record.seed): record for record in group}.values() if record.ok]


def way_id(group: Sequence[CellRecord], again: int = 1) -> str:
    """The id that the records of a group have in common, without a seed."""
    return group[0].id.removesuffix(f"-s{group[0].seed}") + ("" if again == 1 else f"+{again}")


def seeds_of(record: CellRecord) -> tuple[CellRecord, ...]:
    """The records of single seeds that a record was pooled from, else the record itself."""
    return record.seeds if isinstance(record, PooledRecord) else (record,)


def _but_for_seed(record: CellRecord) -> tuple[object, ...]:
    key = (record.model, record.method, record.rank, record.quantization, record.train_task, record.eval_task)
    # what a file holds under a name may be no name, and a list can't be looked up
    return tuple(repr(part) for part in key)


def _may_be_seeds(one: CellRecord, other: CellRecord) -> bool:
    """Whether nothing that is known of how the two were trained and asked says that they differ in more than a seed."""
    mine, its = _settings(one), _settings(other)
    return all(mine[name] == its[name] for name in mine.keys() & its.keys())


def _settings(record: CellRecord) -> dict[str, str]:
    """What is known of a training beside its seed, each value as a text that can be compared."""
    train, provenance = record.train or {}, record.extra.get("provenance")
    said = provenance if isinstance(provenance, dict) else {}
    known = {key: train.get(key) for key in _TRAINED_BY} | {key: said.get(key) for key in _MADE_BY}
    return {key: repr(value) for key, value in known.items() if value is not None}


def pool(group: Sequence[CellRecord], again: int = 1) -> PooledRecord:
    """A group of records that differ in their seed alone as one."""
    measured = measured_seeds(group)
    first = measured[0] if measured else group[0]
    shared = {part.name: getattr(first, part.name) for part in fields(CellRecord)}
    method = first.method + ("" if again == 1 else f"+{again}")
    named: dict[str, Any] = {"id": way_id(group, again), "method": method, "seed": 0}
    named |= {"error": _error(group), "seeds": tuple(measured)}
    if len(measured) < 2:
        return PooledRecord(**shared | named)
    train = [record.train for record in measured if record.train is not None]
    means: dict[str, Any] = {
        "scores": _by_key([record.scores for record in measured], _mean),
        **{key: _mean(getattr(record, key) for record in measured) for key in _RATES},
        "latency_s": _samples([record.latency_s for record in measured]),
        "output_tokens": _samples([record.output_tokens for record in measured]),
        "memory_gib": _by_key([record.memory_gib for record in measured], _largest),
        "train": _by_key(train, _mean_or_agreed) if train else None,
        "items": _items([record.items for record in measured]),
        "curve": _points([record.curve for record in measured]),
    }
    told: dict[str, Any] = {
        "n": _agreed([record.n for record in measured]),
        "eval_dtype": _agreed([record.eval_dtype for record in measured]),
        "flags": list(dict.fromkeys(flag for record in measured for flag in record.flags if isinstance(flag, str))),
        "extra": _by_key([record.extra for record in measured], _agreed_within),
    }
    return PooledRecord(**shared | means | told | named)


def _error(group: Sequence[CellRecord]) -> str | None:
    """What went wrong, and under which of several seeds."""
    if len(group) == 1:
        return group[0].error
    times = Counter(repr(record.seed) for record in group)
    twice = [f"seed {seed} is there {n} times, the last is shown" for seed, n in times.items() if n > 1]
    said = [f"seed {record.seed}: {record.error}" for record in group if record.error]
    lost = [f"seed {record.seed} {record.status}" for record in group if not record.ok and not record.error]
    return "; ".join([*twice, *said, *lost]) or None


def _by_key(values: Sequence[Mapping[str, Any]], merge: Callable[[list[Any]], Any]) -> dict[str, Any]:
    """Objects merged key by key; what one of them lacks is unknown there."""
    return {key: merge([value.get(key) for value in values]) for key in dict.fromkeys(k for v in values for k in v)}


def _samples(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Measurements of all seeds together; how many they are is their sum."""
    joined = _by_key(values, _joined)
    samples = joined.get("samples")
    return joined | ({"n": len(samples)} if isinstance(samples, list) and "n" in joined else {})


def _joined(values: list[Any]) -> Any:
    """Of measurements: all values of lists, objects key by key, and the mean of numbers."""
    if all(isinstance(value, list) for value in values):
        return [each for value in values for each in value]
    return _samples(values) if all(isinstance(value, Mapping) for value in values) else _mean_or_agreed(values)


def _mean_or_agreed(values: list[Any]) -> Any:
    """The mean of numbers; of anything else, what all say."""
    return _mean(values) if any(number(value) is not None for value in values) else _agreed(values)


def _mean(values: Iterable[Any]) -> float | None:
    """The mean of the numbers; None where one isn't known: the mean of the others would be of other seeds."""
    known = [number(value) for value in values]
    some = [value for value in known if value is not None]
    if not some or len(some) < len(known):
        return None
    # equal numbers are their own mean, to the last bit; divided first, the sum of huge ones is no overflow
    return some[0] if min(some) == max(some) else number(sum(value / len(some) for value in some))


def _largest(values: list[Any]) -> float | None:
    return max((known for value in values if (known := number(value)) is not None), default=None)


def _agreed(values: list[Any]) -> Any:
    """What all say; None where they don't."""
    return values[0] if all(value == values[0] for value in values) else None


def _agreed_within(values: list[Any]) -> Any:
    """What all say, of objects key by key."""
    return _by_key(values, _agreed) if all(isinstance(value, Mapping) for value in values) else _agreed(values)


def _mean_or_agreed_within(values: list[Any]) -> Any:
    """The same, of objects key by key."""
    if all(isinstance(value, Mapping) for value in values):
        return _by_key(values, _mean_or_agreed)
    return _mean_or_agreed(values)


def _items(lists: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The items with the mean of their scores, in the first seed's order; none where the seeds had other items."""
    by_id = [{item.get("item"): item for item in items if isinstance(item, dict)} for items in map(_hashable, lists)]
    names = by_id[0].keys()
    if any(items.keys() != names for items in by_id) or len(names) != len(lists[0]):
        return []
    return [
        _by_key([items[name] for items in by_id], _agreed)
        | {"score": _mean([items[name].get("score") for items in by_id])}
        for name in names
    ]


def _hashable(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items that are objects with a name."""
    return [item for item in items if isinstance(item, dict) and isinstance(item.get("item"), str)]


def _points(curves: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The learning curve of means; none where the seeds were tested at other epochs."""
    epochs = [[point.get("epoch") for point in curve] for curve in curves]
    if any(each != epochs[0] for each in epochs):
        return []
    return [_by_key(points, _mean_or_agreed_within) for points in zip(*curves, strict=True)]

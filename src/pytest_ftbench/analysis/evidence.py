"""What an analysis draws its intervals from: items and resamples of records, each read and drawn once."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_ftbench.analysis.items import ItemTable, item_table
from pytest_ftbench.analysis.metrics import EvalTask
from pytest_ftbench.analysis.pooling import PooledRecord, seeds_of
from pytest_ftbench.analysis.resampling import (
    RESAMPLES,
    Distribution,
    Sample,
    macro_f1_sample,
    mean_of_all,
    mean_sample,
    resampled,
)
from pytest_ftbench.analysis.seeds import Parts, Spread, block_spread, seed_scores
from pytest_ftbench.analysis.validity import hardly_answers
from pytest_ftbench.grid import CellRecord

ROUNDING = 0.006  # records made elsewhere may have their scores to two digits
_MANY_CELLS = 1_000
_FEWER_RESAMPLES = 1_999
_BATCH = 31


@dataclass(eq=False)
class Evidence:
    """The items of records and the distributions of their scores, each computed once in an analysis.

    Those of several of its ``records`` are computed at a time, which is several times faster than one by one.
    """

    records: Sequence[CellRecord]
    differences: dict[tuple[int, int, str, float], Any] = field(default_factory=dict)
    """What was found of pairs of records, by their ids, metric and level: intervals of their differences."""
    tests: dict[tuple[int, int, str], tuple[float, str] | None] = field(default_factory=dict)
    """The p-values of pairs of records, by their ids and metric, and the tests they are of."""
    parts: dict[tuple[int, int, str], Parts | None] = field(default_factory=dict)
    """The parts of the variances of their differences."""
    resamples: int = RESAMPLES
    _tables: dict[int, tuple[CellRecord, ItemTable | None]] = field(default_factory=dict)
    _distributions: dict[tuple[int, str], Distribution | None] = field(default_factory=dict)
    _waiting: dict[str, list[CellRecord]] = field(default_factory=dict)
    _spreads: dict[str, dict[tuple[str, ...], Spread | None]] = field(default_factory=dict)
    _seeds: dict[tuple[int, str], tuple[CellRecord, list[float], Spread | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, records: Sequence[CellRecord]) -> "Evidence":
        """The evidence of these records: of more than a thousand, fewer resamples are drawn."""
        waiting: dict[str, list[CellRecord]] = {}
        for record in reversed(records):
            waiting.setdefault(record.eval_task, []).extend(seeds_of(record))
        resamples = RESAMPLES if len(records) <= _MANY_CELLS else _FEWER_RESAMPLES
        return cls(records, resamples=resamples, _waiting=waiting)

    def table(self, record: CellRecord) -> ItemTable | None:
        """The record's items."""
        if id(record) not in self._tables:
            # kept with the record, so that no other one takes its id
            self._tables[id(record)] = (record, _table(record))
        return self._tables[id(record)][1]

    def seeds(self, record: CellRecord, task: EvalTask) -> tuple[list[float], Spread | None]:
        """The scores of a record's seeds, one where it has no more, and the variance between seeds in its block.

        None: the block has no way of several seeds, or the record isn't tuned.
        """
        name = id(record), task.headline.key
        if name not in self._seeds:
            # kept with the record, so that no other one takes its id
            self._seeds[name] = (record, *self._of_block(record, task))
        return self._seeds[name][1:]

    def _of_block(self, record: CellRecord, task: EvalTask) -> tuple[list[float], Spread | None]:
        score = task.score(record)
        scores = seed_scores(record, task.headline.key) or ([score] if score is not None else [])
        if record.train_task is None or not record.ok:
            return scores, None
        key = task.headline.key
        if key not in self._spreads:
            blocks: dict[tuple[str, ...], list[list[float]]] = {}
            for each in self.records:
                # a training that came out unreadable says how it went wrong, not how far good ones lie apart
                if each.train_task is not None and each.ok and not any(map(hardly_answers, seeds_of(each))):
                    blocks.setdefault(_block(each), []).append(seed_scores(each, key))
            self._spreads[key] = {name: block_spread(ways) for name, ways in blocks.items()}
        return scores, self._spreads[key].get(_block(record))

    def distribution(self, record: CellRecord, task: EvalTask) -> Distribution | None:
        """How the headline score varies over its items; None where these don't yield that very score."""
        key = (id(record), task.headline.key)
        if key not in self._distributions and isinstance(record, PooledRecord):
            self._distributions[key] = self._of_seeds(seeds_of(record), task)
        elif key not in self._distributions:
            waiting = self._waiting.get(record.eval_task, [])
            batch = {id(each): each for each in (record, *(waiting.pop() for _ in range(min(_BATCH, len(waiting)))))}
            todo = [each for each in batch.values() if (id(each), task.headline.key) not in self._distributions]
            self._draw(todo, task)
        return self._distributions[key]

    def _of_seeds(self, seeds: Sequence[CellRecord], task: EvalTask) -> Distribution | None:
        """How a mean over seeds varies over the items, which all of them share; None where they don't."""
        tables = [self.table(record) for record in seeds]
        each = [self.distribution(record, task) for record in seeds]
        known = [found for found in each if found is not None]
        same = all(table is not None and tables[0] is not None and table.keys == tables[0].keys for table in tables)
        if not known or not same or len(known) < len(each) or any(found.units != known[0].units for found in known):
            return None
        return mean_of_all(known)

    def _draw(self, records: Sequence[CellRecord], task: EvalTask) -> None:
        """Compute the distributions of these records, those of as many units together."""
        by_units: dict[int, list[tuple[CellRecord, Sample]]] = {}
        for record in records:
            self._distributions[id(record), task.headline.key] = None
            sample = self._sample(record, task)
            if sample is not None:
                by_units.setdefault(len(sample.features), []).append((record, sample))
        for group in by_units.values():
            for (record, _), found in zip(group, resampled([each for _, each in group], self.resamples), strict=True):
                score = task.score(record)
                # items of another score say nothing of this one
                if score is not None and abs(found.value - score) <= ROUNDING:
                    self._distributions[id(record), task.headline.key] = found

    def _sample(self, record: CellRecord, task: EvalTask) -> Sample | None:
        table = self.table(record)
        if table is None or table.units < 2 or task.score(record) is None:
            return None
        if task.headline.key == "macro_f1":
            return None if table.golds is None else macro_f1_sample(table)
        return mean_sample(table)


def _block(record: CellRecord) -> tuple[str, ...]:
    """What ways of tuning have in common whose seeds are taken to vary alike."""
    return repr(record.model), repr(record.train_task), repr(record.eval_task)


def _table(record: CellRecord) -> ItemTable | None:
    """The items; of several seeds without differences of numbers: what seeds agree on is mostly what is right."""
    table = item_table(record) if record.ok else None
    return table if table is None or len(seeds_of(record)) == 1 else replace(table, differences=None)

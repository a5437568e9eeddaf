"""What an analysis draws its intervals from: items and resamples of records, each read and drawn once."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_ftbench.analysis.items import ItemTable, item_table
from pytest_ftbench.analysis.metrics import EvalTask
from pytest_ftbench.analysis.pooling import seeds_of
from pytest_ftbench.analysis.resampling import RESAMPLES, Distribution, macro_f1_of, mean_of, mean_of_all
from pytest_ftbench.grid import CellRecord

ROUNDING = 0.006  # records made elsewhere may have their scores to two digits
_MANY_CELLS = 1_000
_FEWER_RESAMPLES = 1_999


@dataclass(eq=False)
class Evidence:
    """The items of records and the distributions of their scores, each computed once in an analysis."""

    resamples: int = RESAMPLES
    _tables: dict[int, tuple[CellRecord, ItemTable | None]] = field(default_factory=dict)
    _distributions: dict[tuple[int, str], Distribution | None] = field(default_factory=dict)

    @classmethod
    def of(cls, records: Sequence[CellRecord]) -> "Evidence":
        """The evidence of so many records: of more than a thousand, fewer resamples are drawn."""
        return cls(RESAMPLES if len(records) <= _MANY_CELLS else _FEWER_RESAMPLES)

    def table(self, record: CellRecord) -> ItemTable | None:
        """The record's items."""
        if id(record) not in self._tables:
            # kept with the record, so that no other one takes its id
            self._tables[id(record)] = (record, item_table(record) if record.ok else None)
        return self._tables[id(record)][1]

    def distribution(self, record: CellRecord, task: EvalTask) -> Distribution | None:
        """How the headline score varies over its items; None where these don't yield that very score."""
        key = (id(record), task.headline.key)
        if key not in self._distributions:
            self._distributions[key] = self._of_headline(record, task)
        return self._distributions[key]

    def _of_headline(self, record: CellRecord, task: EvalTask) -> Distribution | None:
        seeds = seeds_of(record)
        if len(seeds) > 1:
            return self._of_seeds(seeds, task)
        table, score = self.table(record), task.score(record)
        if table is None or table.units < 2 or score is None:
            return None
        if task.headline.key == "macro_f1":
            found = None if table.golds is None else macro_f1_of(table, self.resamples)
        else:
            found = mean_of(table, self.resamples)
        # items of another score say nothing of this one
        return None if found is None or abs(found.value - score) > ROUNDING else found

    def _of_seeds(self, seeds: Sequence[CellRecord], task: EvalTask) -> Distribution | None:
        """How a mean over seeds varies over the items, which all of them share; None where they don't."""
        tables = [self.table(record) for record in seeds]
        each = [self.distribution(record, task) for record in seeds]
        known = [found for found in each if found is not None]
        same = all(table is not None and tables[0] is not None and table.keys == tables[0].keys for table in tables)
        if not same or len(known) < len(each) or any(found.units != known[0].units for found in known):
            return None
        return mean_of_all(known)

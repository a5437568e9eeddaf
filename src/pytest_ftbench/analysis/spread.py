"""The seeds behind pooled scores: what each scored, and how far they lie apart."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_ftbench.analysis.metrics import EvalTask, Trivial, number
from pytest_ftbench.analysis.pooling import PooledRecord
from pytest_ftbench.analysis.table import checkpoint_key, eval_tasks, in_reading_order
from pytest_ftbench.analysis.validity import Standing, standing
from pytest_ftbench.grid import CellRecord, CheckpointKey


@dataclass(frozen=True)
class SeedScore:
    """The headline score of a cell under one seed (None: unknown), and its standing."""

    score: float | None
    standing: Standing


@dataclass(frozen=True)
class SeedSpread:
    """One cell over its seeds: what each scored, by seed, and their standard deviation (of a sample; None: unknown)."""

    scores: Mapping[int, SeedScore]
    stddev: float | None


@dataclass(frozen=True)
class SeedBlock:
    """The checkpoints trained on one task; ``rows`` by key, and in each its cells by eval task."""

    train_task: str | None
    rows: Mapping[CheckpointKey, Mapping[str, SeedSpread]]


@dataclass(frozen=True)
class SeedTable:
    """All cells that were pooled over seeds; ``seeds`` are those that any of them has, ascending."""

    tasks: tuple[EvalTask, ...]
    seeds: tuple[int, ...]
    blocks: tuple[SeedBlock, ...]


def seed_table(records: Sequence[CellRecord], trivial: Trivial) -> SeedTable | None:
    """The spread of every pooled cell; None where nothing was pooled."""
    tasks = eval_tasks(records)
    rows: dict[CheckpointKey, dict[str, SeedSpread]] = {}
    seeds: set[int] = set()
    for record in records:
        if isinstance(record, PooledRecord) and len(record.seeds) > 1:
            spread = _spread(record, trivial, tasks[record.eval_task])
            rows.setdefault(checkpoint_key(record), {})[record.eval_task] = spread
            seeds |= spread.scores.keys()
    if not rows:
        return None
    blocks = [
        SeedBlock(train, {key: rows[key] for key in in_reading_order(rows) if key.train_task == train})
        for train in dict.fromkeys(key.train_task for key in rows)
    ]
    tested = {name for cells in rows.values() for name in cells}
    return SeedTable(tuple(task for name, task in tasks.items() if name in tested), tuple(sorted(seeds)), tuple(blocks))


def _spread(record: PooledRecord, trivial: Trivial, task: EvalTask) -> SeedSpread:
    scores = {
        int(number(each.seed) or 0): SeedScore(task.score(each), standing(each, trivial, task)) for each in record.seeds
    }
    known = [each.score for each in scores.values() if each.score is not None]
    return SeedSpread(scores, number(statistics.stdev(known)) if 1 < len(known) == len(scores) else None)

"""The full table: a block per train task, a row per checkpoint, a cell per eval task, and which cells are best."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_ftbench.analysis.metrics import EvalTask, Trivial, above_zero, eval_task, number, task_label
from pytest_ftbench.analysis.validity import Standing, standing
from pytest_ftbench.grid import CellRecord, CheckpointKey

BASE_HEADING = "Base models (no fine-tuning)"


@dataclass(frozen=True)
class TableCell:
    """One checkpoint on one eval task.

    ``score`` and ``study_score`` are in their metrics' units, ``study_median`` is the median where that is a mean;
    ``latency_s`` is the mean in seconds per answer, ``output_tokens`` the mean of the same answers, ``format_rate`` in
    0..1; None is unknown. ``is_variant`` says that ``score`` is the studies' variant because the headline is unknown;
    ``test_failed`` that it was measured, then failed its test.
    """

    standing: Standing
    score: float | None = None
    is_variant: bool = False
    study_score: float | None = None
    study_median: float | None = None
    latency_s: float | None = None
    output_tokens: float | None = None
    tpot_s: float | None = None
    format_rate: float | None = None
    test_failed: bool = False
    best_score: bool = False
    best_speed: bool = False

    @property
    def s_per_token(self) -> float | None:
        """Seconds per output token after the first where that was recorded, else mean latency over mean tokens."""
        if self.tpot_s is not None:
            return self.tpot_s
        if self.latency_s is None or not self.output_tokens:
            return None
        # tokens this side of zero would make a latency overflow: then it is as unknown as without tokens
        return number(self.latency_s / self.output_tokens)

    @property
    def ms_per_token(self) -> float | None:
        """The same in milliseconds."""
        return None if self.s_per_token is None else number(1000 * self.s_per_token)

    @property
    def ranked_score(self) -> float | None:
        """The headline score; None where only the variant is known."""
        return None if self.is_variant else self.score


@dataclass(frozen=True)
class TableRow:
    """One checkpoint; ``cells`` by eval task, without those that were not run."""

    key: CheckpointKey
    cells: Mapping[str, TableCell]


@dataclass(frozen=True)
class TableBlock:
    """The checkpoints trained on one task (None: the base models)."""

    train_task: str | None
    heading: str
    rows: tuple[TableRow, ...]


@dataclass(frozen=True)
class FullTable:
    """The whole study: eval tasks as columns, blocks in order of first appearance, base models last."""

    tasks: tuple[EvalTask, ...]
    blocks: tuple[TableBlock, ...]

    @property
    def rows(self) -> list[TableRow]:
        """The rows of all blocks."""
        return [row for block in self.blocks for row in block.rows]


def full_table(records: Sequence[CellRecord], trivial: Trivial) -> FullTable:
    """The full table of these records."""
    tasks = eval_tasks(records)
    rows: dict[CheckpointKey, dict[str, TableCell]] = {}
    for record in records:
        cell = table_cell(record, trivial, tasks[record.eval_task])
        rows.setdefault(checkpoint_key(record), {})[record.eval_task] = cell
    trained = dict.fromkeys(key.train_task for key in rows if key.train_task is not None)
    blocks = [_block(task, rows, tasks) for task in (*trained, None)]
    return FullTable(tuple(tasks.values()), tuple(block for block in blocks if block.rows))


def eval_tasks(records: Sequence[CellRecord]) -> dict[str, EvalTask]:
    """The eval tasks of these records by name, in order of first appearance."""
    by_task: dict[str, list[CellRecord]] = {}
    for record in records:
        by_task.setdefault(record.eval_task, []).append(record)
    return {name: eval_task(name, of_task) for name, of_task in by_task.items()}


def checkpoint_key(record: CellRecord) -> CheckpointKey:
    """The checkpoint a record was measured on."""
    return CheckpointKey(record.model, record.method, record.rank, record.quantization, record.train_task, record.seed)


def in_reading_order(keys: Iterable[CheckpointKey]) -> list[CheckpointKey]:
    """Models and methods in order of first appearance, ranks and seeds ascending."""
    keys = list(keys)
    models = {model: index for index, model in enumerate(dict.fromkeys(key.model for key in keys))}
    methods = {method: index for index, method in enumerate(dict.fromkeys(key.method for key in keys))}
    return sorted(
        keys,
        key=lambda key: (
            models[key.model],
            methods[key.method],
            number(key.rank) or 0,
            key.quantization or "",
            number(key.seed) or 0,
        ),
    )


def table_cell(record: CellRecord, trivial: Trivial, task: EvalTask) -> TableCell:
    """The cell of this record, ``task`` being its eval task; what is best is not known yet."""
    stands = standing(record, trivial, task)
    if not record.ok:
        return TableCell(stands)
    score, variant = task.score(record), task.variant(record)
    latency_s, output_tokens, tpot_s = _times(record)
    return TableCell(
        standing=stands,
        score=variant if score is None else score,
        is_variant=score is None and variant is not None,
        study_score=task.study_score(record),
        study_median=task.study_median(record),
        format_rate=number(record.format_rate),
        test_failed=bool(record.error),
        latency_s=latency_s,
        output_tokens=output_tokens,
        tpot_s=tpot_s,
    )


def ms_per_token(record: CellRecord) -> float | None:
    """Milliseconds per output token, as its cell has them; None: unknown."""
    latency_s, output_tokens, tpot_s = _times(record)
    return TableCell(Standing.OK, latency_s=latency_s, output_tokens=output_tokens, tpot_s=tpot_s).ms_per_token


def _times(record: CellRecord) -> tuple[float | None, float | None, float | None]:
    """What a time per token is computed from: mean seconds per answer, mean tokens, seconds per token of its own."""
    timed = timed_tokens(record)
    return (
        above_zero(record.latency_s.get("mean")),
        number(record.output_tokens.get("mean")) if timed is None else timed,
        above_zero(record.latency_s.get("tpot_median")),
    )


def timed_tokens(record: CellRecord) -> float | None:
    """Mean tokens of the answers that were timed; None where the record doesn't say which these were."""
    counts = record.latency_s.get("tokens")
    timed = [number(count) for count in counts] if isinstance(counts, list) else []
    known = [count for count in timed if count is not None]
    # divided first: the sum of what a file holds may be beyond every float
    return sum(count / len(known) for count in known) if known else None


def _block(
    train_task: str | None, rows: Mapping[CheckpointKey, dict[str, TableCell]], tasks: Mapping[str, EvalTask]
) -> TableBlock:
    keys = in_reading_order(key for key in rows if key.train_task == train_task)
    cells = {key: dict(rows[key]) for key in keys}
    for name, task in tasks.items():
        column = {key: cells[key][name] for key in keys if name in cells[key]}
        fastest = _best(column, lambda cell: None if cell.s_per_token is None else -cell.s_per_token)
        if not of_like_length(column.values()):
            fastest = set()
        highest = _best(column, lambda cell, t=task: _goodness(cell, t))  # type: ignore[misc]
        for key, cell in column.items():
            cells[key][name] = replace(cell, best_score=key in highest, best_speed=key in fastest)
    heading = BASE_HEADING if train_task is None else f"Trained on {task_label(train_task)}"
    return TableBlock(train_task, heading, tuple(TableRow(key, cells[key]) for key in keys))


def _goodness(cell: TableCell, task: EvalTask) -> float | None:
    return None if cell.ranked_score is None or not task.comparable else task.goodness(cell.ranked_score)


def _best(
    column: Mapping[CheckpointKey, TableCell], goodness: Callable[[TableCell], float | None]
) -> set[CheckpointKey]:
    """The rows that are best in a column of a block; none where no valid row is worse: nothing to be better than."""
    values = {key: value for key, cell in column.items() if (value := goodness(cell)) is not None}
    valid = {key: value for key, value in values.items() if column[key].standing is Standing.OK}
    top = max(valid.values(), default=None)
    best = {key for key, value in valid.items() if value == top}
    return best if len(best) < len(valid) else set()


def of_like_length(cells: Iterable[TableCell]) -> bool:
    """Whether speeds per token can be compared: the first token timed apart, or answers within 20 % of a length.

    Else a longer answer looks faster, for it spreads the time of reading the prompt over more tokens.
    """
    valid = [cell for cell in cells if cell.standing is Standing.OK and cell.s_per_token is not None]
    if all(cell.tpot_s is not None for cell in valid):
        return True
    tokens = [cell.output_tokens or 0.0 for cell in valid]
    return all(cell.tpot_s is None for cell in valid) and max(tokens) <= 1.2 * min(tokens)

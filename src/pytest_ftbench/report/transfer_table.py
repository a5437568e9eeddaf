"""The transfer matrices on a page: under each model its base scores, then a small matrix per way of tuning it."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from pytest_ftbench.analysis import AT_MOST, UNMEASURED, EvalTask, Standing, TransferEntry, TransferMatrix, task_label
from pytest_ftbench.grid import CheckpointKey
from pytest_ftbench.report.full_table import WORDS, standing_style
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.layout import Column, Group, Section, Sheet, Style, Text
from pytest_ftbench.report.words import ABSENT, clean, elided, percent, score

NOISE, UNSURE = "~", "?"
_AT_MOST = (
    "Scores of which the items are not known are taken to vary as much as scores of that height can: a ~ on these says "
    "that the widest interval includes zero."
)
_TASK_ROOM = 12
_HEADING_ROOM = 20
_Row = tuple[CheckpointKey | None, TransferMatrix, str | None]
"""The key that names the row (None: the same as above), its matrix, its train task (None: the base row)."""


def transfer_sheet(matrices: Sequence[TransferMatrix], names: Names) -> Sheet:
    """All matrices in one table, a section per base: a model's, or that in a quantization."""
    rows: list[_Row] = []
    sections = []
    models = list(dict.fromkeys(matrix.way.model for matrix in matrices))
    in_order = sorted(matrices, key=lambda matrix: (models.index(matrix.way.model), matrix.way.quantization or ""))
    for (model, quantization), of_base in groupby(in_order, lambda matrix: (matrix.way.model, matrix.way.quantization)):
        mine = _rows(list(of_base))
        of_what = f" in {elided(clean(quantization), _TASK_ROOM)}" if quantization else ""
        sections.append(Section(f"{names.models[model]}{of_what} against its base", len(mine)))
        rows += mine
    trained = [ABSENT if train is None else elided(clean(task_label(train)), _TASK_ROOM) for _, _, train in rows]
    labels = [
        *names.way([key for key, _, _ in rows]),
        Column("Trained on", [Text(text) for text in trained], words=True),
    ]
    tasks = matrices[0].tasks if matrices else ()
    return Sheet(Group("", labels), [_group(task, rows) for task in tasks], sections)


def transfer_notes(matrices: Sequence[TransferMatrix]) -> Iterator[str]:
    """What the marks don't say by themselves: where intervals are the widest that there can be."""
    entries = [entry for matrix in matrices for entry in matrix.entries.values()]
    if any(entry.is_noise and entry.interval is not None and entry.interval.method == AT_MOST for entry in entries):
        yield _AT_MOST


def _rows(matrices: Sequence[TransferMatrix]) -> list[_Row]:
    way = matrices[0].way
    base = CheckpointKey(way.model, "base", None, way.quantization, None, seed=0)
    rows: list[_Row] = [(base, matrices[0], None)]
    for matrix in matrices:
        rows += [(None if index else matrix.way, matrix, train) for index, train in enumerate(matrix.train_tasks)]
    return rows


def _group(task: EvalTask, rows: Sequence[_Row]) -> Group:
    cells = [
        _base_text(matrix, task) if train is None else _entry_text(matrix.entries.get((train, task.name)))
        for _, matrix, train in rows
    ]
    heading = elided(clean(f"{task.label} {task.headline.label}"), _HEADING_ROOM)
    return Group("", [Column(heading, cells)])


def _base_text(matrix: TransferMatrix, task: EvalTask) -> Text:
    base = matrix.base.get(task.name)
    if base is None:
        return Text(ABSENT)
    if base.standing in UNMEASURED:
        return Text(str(base.standing), style=standing_style(base.standing))
    return Text(score(base.score, task.headline.format), _tail(" ", base.standing), standing_style(base.standing))


def _entry_text(entry: TransferEntry | None) -> Text:
    if entry is None:
        return Text(ABSENT)
    style = Style.STRONG if entry.improves else standing_style(entry.standing)
    shown = entry.reason or percent(entry.change_percent)
    noise = NOISE * entry.is_noise + UNSURE * entry.is_unsure
    if entry.in_domain:
        return Text(f"[{shown}", _tail("]" + noise, entry.standing), style)
    return Text(shown, _tail(noise or " ", entry.standing), style)


def _tail(close: str, standing: Standing) -> str:
    return (close + WORDS.get(standing, "")).rstrip()

"""A measured cell in a few words: its headline score, and the mark without which that may not be shown."""

from pytest_ftbench.analysis import Standing, Trivial, eval_task, standing
from pytest_ftbench.grid import CellRecord
from pytest_ftbench.report.full_table import WORDS
from pytest_ftbench.report.words import clean, elided, score

_LABEL_ROOM = 12


def headline(record: CellRecord, trivial: Trivial) -> tuple[str, bool]:
    """Such as ``F1 0.494 INVALID``, and whether the cell can be ranked; ``PASSED`` where the score is unknown."""
    task = eval_task(record.eval_task, [record])
    stands = standing(record, trivial, task)
    value = task.score(record)
    if value is None:
        return f"PASSED{WORDS.get(stands, '')}", stands is Standing.OK
    label = elided(clean(task.headline.label), _LABEL_ROOM)
    return f"{label} {score(value, task.headline.format)}{WORDS.get(stands, '')}", stands is Standing.OK

"""On which side of a fixed split a row is: its group decides, by hash, in every version and whatever else is there."""

import hashlib
from collections.abc import Iterable

from pytest_ftbench.tasks import Row, Task
from pytest_ftbench.tasks.overlap import words

_TEST_SHARE = 5  # one group in five is tested on
_VALIDATION_SHARE = 10  # and one in ten of the others judges learning rates


def in_test_share(task: Task, row: Row) -> bool:
    """Whether a row of a training file is one of its test rows."""
    return hashed(task.group(row)) % _TEST_SHARE == 0


def in_validation_share(task: Task, row: Row) -> bool:
    """Whether a row of a training file judges learning rates, where such rows are kept from training."""
    # by another hash than the test rows': what is left of those has no remainder of 0
    return hashed(f"validation {task.group(row)}") % _VALIDATION_SHARE == 0


def in_words(task: Task, rows: Iterable[Row]) -> set[tuple[str, ...]]:
    """The groups of rows, each in its words; one without any as it is."""
    return {words(group) or (group,) for group in {task.group(row) for row in rows}}


def hashed(text: str) -> int:
    """A number that a text alone decides."""
    return int(hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest(), 16)

"""What every part of the world yields: a row, and what the corpus and the split need to know of it."""

from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """One row of the world.

    ``key`` is what makes it the question it is, whatever the order of options or the numbers in it: samples that share
    a key are near duplicates, and stay on one side of a split. ``topic`` is what it is about, ``thought`` the steps to
    its answer, ``words`` the answer in plain words.
    """

    row: Row
    key: str
    topic: str
    thought: str
    words: str

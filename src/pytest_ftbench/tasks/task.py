"""What a task is: rows become prompts and targets, outputs become scores. Pure: no model, no file, no torch.

A new task is one file beside this one that defines ``TASK``; nothing else has to know its name.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypedDict

Row = Mapping[str, Any]
"""One example of a data set, its columns by name."""


class Message(TypedDict):
    """One turn of a chat."""

    role: str
    content: str


class Item(TypedDict):
    """The outcome of one example: ``parsed`` is what the scorer read (None: a format failure)."""

    item: str
    output: str
    gold: str
    score: float
    parsed: str | None


class Scored(TypedDict):
    """The outcome of all examples: ``scores`` by metric (None: undefined), ``format_rate`` in 0..1."""

    scores: dict[str, float | None]
    format_rate: float
    items: list[Item]


@dataclass(frozen=True)
class Metric:
    """How a score is read: its key in ``scores``, its column heading, its direction and its number format."""

    key: str
    label: str
    higher_is_better: bool = True
    format: str = ".3f"


@dataclass(frozen=True)
class HubDataset:
    """Where the rows of a task are on the Hub, and which of its splits serve which of ours (no entry: none does)."""

    id: str
    config: str | None = None
    splits: Mapping[str, str] = field(default_factory=dict)


class Task(ABC):
    """One kind of question with one way to score its answers."""

    name: ClassVar[str]
    label: ClassVar[str]
    stem: ClassVar[str]
    """The STEM of its files in a data folder, ``train-STEM.parquet``."""
    hub: ClassVar[HubDataset]
    columns: ClassVar[Mapping[str, type]]
    """The columns it needs and their types."""
    system_prompt: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    """Its metrics; the first is the headline."""

    @abstractmethod
    def question(self, row: Row) -> str:
        """The user's turn."""

    @abstractmethod
    def target(self, row: Row) -> str:
        r"""The assistant's turn to train on: ``\boxed{…}``, never empty."""

    @abstractmethod
    def score(self, outputs: Sequence[str], examples: Sequence[Row]) -> Scored:
        """Score raw model outputs against the examples, pairwise."""

    @abstractmethod
    def trivial(self, examples: Sequence[Row]) -> dict[str, list[str]]:
        """The outputs of answerers that read nothing, by their name."""

    @abstractmethod
    def from_hub(self, row: Row) -> Row | None:
        """A row of the Hub's own schema in ours; None where this task can't use it."""

    @abstractmethod
    def problem(self, row: Row) -> tuple[str, str, str] | None:
        """What makes a row unusable beyond missing columns and types: column, problem, fix."""

    def messages(self, row: Row) -> list[Message]:
        """The prompt, for training and evaluation alike: the system's turn, then the user's."""
        return [
            {"role": "system", "content": self.system_prompt},
            {"role": "user", "content": self.question(row)},
        ]

    def group(self, row: Row) -> str:
        """What must not straddle train and test: rows of one group stay on one side."""
        return str(row["question"])

    @property
    def headline(self) -> Metric:
        """The metric that tables rank by."""
        return self.metrics[0]

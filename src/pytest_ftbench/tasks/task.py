"""What a task is: rows become prompts and targets, outputs become scores. Pure: no model, no file, no torch.

A new task is one file beside this one that defines ``TASK``; nothing else has to know its name.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypedDict

Row = Mapping[str, Any]
"""One example of a data set, its columns by name."""

Kind = type | Sequence["Kind"] | Mapping[str, "Kind"]
"""What a value has to be: of a type, a list of things of one kind (``[str]``), or an object with such columns."""

Similarity = Callable[[Sequence[tuple[str, str]]], list[float]]
"""How alike the two texts of each pair are, -1 to 1."""


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
    """Where the rows of a task are on the Hub, and which of its splits serve which of ours (no entry: none does).

    Without an ``id`` the task has no data set of its own there; a suite may name one.
    """

    id: str | None
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
    hub_columns: ClassVar[Mapping[str, Kind]]
    """The columns that ``from_hub`` reads."""
    system_prompt: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    """Its metrics; the first is the headline."""
    recalls: ClassVar[bool] = False
    """Whether it asks for what was trained on, so that the training rows themselves are the test rows."""
    trivial_learns: ClassVar[bool] = False
    """Whether one of its trivial answerers learns from training rows, which are not read for it otherwise."""
    compares_texts: ClassVar[bool] = False
    """Whether its headline is a similarity of texts, which a suite's embedder may compute."""

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
    def trivial(self, examples: Sequence[Row], train_rows: Sequence[Row] = ()) -> dict[str, list[str]]:
        """The outputs of answerers that read no question, by their name; what they know is said by each.

        ``train_rows`` are the task's own training rows (none: whoever learns from them isn't there). ``empty_output``
        is in every task: it says nothing at all, which is a format failure and no abstention.
        """

    @abstractmethod
    def from_hub(self, row: Row) -> Row | None:
        """A row of the Hub's own schema, ``hub_columns``, in ours; None where this task can't use it."""

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

    def parts(self, row: Row) -> tuple[str, ...]:
        """The texts that all have to be alike in two rows that are the same; what is asked about comes first."""
        return (self.question(row),)

    def gold(self, row: Row) -> str:
        """The answer in the form in which those of two rows that are the same are equal."""
        return self.target(row)

    def further_golds(self, row: Row) -> object:  # noqa: ARG002 (for tasks with several)
        """Whatever counts as right beside the target, as the row has it; None where nothing can."""
        return None

    def sample_key(self, row: Row) -> str:
        """What decides by hash which rows are taken where only some are: rows of one key are taken alike."""
        return json.dumps(self.messages(row))

    def with_similarity(self, similarity: Similarity) -> "Task":  # noqa: ARG002 (for those that compare texts)
        """The task with another way to compare texts; itself where it compares none."""
        return self

    @property
    def headline(self) -> Metric:
        """The metric that tables rank by."""
        return self.metrics[0]

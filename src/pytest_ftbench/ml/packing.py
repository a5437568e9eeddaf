"""Rows one after the other in one long sequence, without padding: what a planned step computes on.

Each row attends to itself alone and counts its own positions, so that nothing of it depends on its neighbours. Only the
tokens that are trained on go through the output embedding:

    rows        [5 6 7 8] [9 4 3]          targets are the second half of each
    ids          5 6 7 8   9 4 3
    positions    0 1 2 3   0 1 2
    lengths      4, 3
    at           1 2       5               where a target is predicted: at the token before it
    labels       7 8       3
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

IGNORED = -100
"""The label of a token that is not trained on, in torch and in TRL."""


@dataclass(frozen=True)
class TokenRow:
    """A tokenised training row: its tokens, where its targets are predicted, and the targets."""

    ids: list[int]
    at: list[int]
    labels: list[int]

    @classmethod
    def of(cls, ids: Sequence[int], labels: Sequence[int]) -> "TokenRow":
        """The row of tokens and their labels, as TRL has them; what comes first is predicted by nothing."""
        at = [index - 1 for index, label in enumerate(labels) if label != IGNORED and index]
        return cls(list(ids), at, [labels[index + 1] for index in at])

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Packed:
    """Rows in one sequence: ``ids``, ``positions`` of shape (1, tokens), ``at``, ``labels`` of shape (targets,)."""

    ids: "torch.Tensor"
    positions: "torch.Tensor"
    lengths: list[int]
    at: "torch.Tensor"
    labels: "torch.Tensor"


def token_rows(dataset: Any) -> list[TokenRow]:
    """The rows of TRL's dataset, in its order."""
    return [TokenRow.of(*row) for row in zip(dataset["input_ids"], dataset["labels"], strict=True)]


def pack(rows: Sequence[TokenRow], device: str) -> Packed:
    """Rows in one sequence on a device."""
    import torch

    lengths = [len(row) for row in rows]
    starts = [sum(lengths[:index]) for index in range(len(rows))]
    at = [start + at for start, row in zip(starts, rows, strict=True) for at in row.at]
    return Packed(
        torch.tensor([[token for row in rows for token in row.ids]], device=device),
        torch.cat([torch.arange(length) for length in lengths])[None].to(device),
        lengths,
        torch.tensor(at, device=device, dtype=torch.long),
        torch.tensor([label for row in rows for label in row.labels], device=device, dtype=torch.long),
    )

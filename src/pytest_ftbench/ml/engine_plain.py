"""The plain engine: ``generate()`` of Transformers in batches padded on the left. What all others are compared with.

It answers for whatever Transformers can: adapters beside their weights, tuned prompts, quantized weights, any
architecture.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from pytest_ftbench.ml.finite import check_logits, name_of


class Plain:
    """``generate()`` of up to ``batch_size`` prompts at once; ``why`` says what kept a faster one from answering."""

    name = "plain"

    def __init__(self, batch_size: int, pad: int, why: str | None = None) -> None:
        self.batch_size = batch_size
        self.pad = pad
        self.why = why
        self._model: Any = None

    def load(self, model: Any) -> str | None:
        """Answer for this model from now on; nothing speaks against any."""
        self._model = model
        return None

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        budget: int,
        ends: Collection[int],
        reached: Callable[[int], None] = lambda _: None,
    ) -> list[list[int]]:
        """The new tokens of each prompt, the end token included. Those of like length share a batch."""
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]), reverse=True)
        answers: list[list[int]] = [[] for _ in prompts]
        for first in range(0, len(order), self.batch_size):
            some = order[first : first + self.batch_size]
            for index, row in zip(some, self._batch([prompts[index] for index in some], budget, ends), strict=True):
                end = next((number for number, token in enumerate(row) if token in ends), len(row))
                answers[index] = row[: end + 1]
            reached(min(first + self.batch_size, len(order)))
        return answers

    def release(self) -> None:
        """Let go of the model."""
        self._model = None

    def told(self) -> dict[str, Any]:
        """What a record says of how it answered."""
        return {"name": self.name, "rows": self.batch_size, **({} if self.why is None else {"why": self.why})}

    def _batch(self, prompts: Sequence[Sequence[int]], budget: int, ends: Collection[int]) -> list[list[int]]:
        import torch

        longest = max(map(len, prompts))
        padding = [longest - len(prompt) for prompt in prompts]
        ids = [[self.pad] * count + list(prompt) for count, prompt in zip(padding, prompts, strict=True)]
        mask = [[0] * count + [1] * (longest - count) for count in padding]
        device = self._model.device
        with torch.inference_mode():
            whole = self._model.generate(
                input_ids=torch.tensor(ids, device=device),
                attention_mask=torch.tensor(mask, device=device),
                max_new_tokens=budget,
                # without an end token it neither stops early nor looks for one
                eos_token_id=sorted(ends) or None,
                logits_processor=[_Numbers(name_of(self._model))],
            )
        rows: list[list[int]] = whole[:, longest:].tolist()
        return rows


class _Numbers:
    """Looks at the logits of each step, and leaves them as they are."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, _ids: Any, logits: Any) -> Any:
        check_logits(logits, self._name)
        return logits

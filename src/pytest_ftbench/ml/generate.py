"""Answers to many prompts: greedy decoding by an engine, the same tokens as one at a time in float32."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pytest_ftbench.ml.base import end_tokens
from pytest_ftbench.ml.countdown import Countdown
from pytest_ftbench.ml.engine import Engines

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Answer:
    """One generated answer: its text, how many tokens it took (the end token counted), whether it was cut off."""

    text: str
    tokens: int
    truncated: bool

    def as_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        return asdict(self)


class Decoder:
    """A model made ready for greedy decoding of up to ``max_new_tokens``.

    ``merge`` says, where an adapter was merged into it, by how much that moved its logits (see ``MergeProbe``);
    ``engines`` are those that answer (None: its own). After ``answers``, ``told`` says what a record tells of the one
    that did.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        max_new_tokens: int,
        merge: dict[str, float | None] | None = None,
        engines: Engines | None = None,
    ) -> None:
        from transformers import GenerationConfig

        self.model = model.eval()
        self.tokenizer = tokenizer
        self.merge = merge
        self.engines = engines or Engines()
        self.told: dict[str, Any] = {}
        self.max_new_tokens = max_new_tokens
        self.ends = frozenset(end_tokens(model, tokenizer))
        # a fresh configuration: the model's own may sample, or punish repetition
        configuration = GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=max_new_tokens,
            eos_token_id=sorted(self.ends),
            pad_token_id=tokenizer.pad_token_id,
        )
        model.generation_config = configuration
        # a prompt's wrapper hands it on to the wrong one of the models it wraps
        if hasattr(model, "get_base_model"):
            model.get_base_model().generation_config = configuration

    def encode(self, prompts: Sequence[str]) -> dict[str, "torch.Tensor"]:
        """Rendered prompts as one left-padded batch on the model's device."""
        batch = self.tokenizer(list(prompts), add_special_tokens=False, padding=True, return_tensors="pt")
        return {key: batch[key].to(self.model.device) for key in ("input_ids", "attention_mask")}

    def generate(self, batch: dict[str, "torch.Tensor"], **arguments: Any) -> "torch.Tensor":
        """The new tokens of each prompt of a batch, on the device."""
        import torch

        with torch.inference_mode():
            whole = self.model.generate(**batch, **arguments)
        new: torch.Tensor = whole[:, batch["input_ids"].shape[1] :]
        return new

    def answer(self, tokens: list[int]) -> Answer:
        """The answer that generated tokens spell, whatever follows its end token left out."""
        end = next((index for index, token in enumerate(tokens) if token in self.ends), None)
        kept = tokens if end is None else tokens[: end + 1]
        text = self.tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Answer(str(text), len(kept), truncated=end is None)

    def answers(
        self,
        prompts: Sequence[str],
        batch_size: int,
        say: Callable[[str], None],
        give_way: Callable[[], None] = lambda: None,
    ) -> list[Answer]:
        """The answers to prompts, in their order.

        ``batch_size`` is how many the plain engine answers at once. ``give_way`` is called now and then.
        """
        ids = self.tokenizer(list(prompts), add_special_tokens=False)["input_ids"] if prompts else []
        countdown = Countdown(say)

        def reached(count: int) -> None:
            if count:  # from none no speed follows
                countdown.reached(count, len(prompts), f"{count} of {len(prompts)} answered")
            give_way()

        given = self.model, self.tokenizer, batch_size, ids, self.max_new_tokens, self.ends
        found, self.told = self.engines.answers(*given, reached)
        return [self.answer(tokens) for tokens in found]

"""Models from scratch: a byte-level BPE tokenizer trained on texts, and a Qwen3 of some shape with random weights."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ftbench import lab

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def make_tokenizer(texts: Iterable[str], vocabulary: int, folder: Path) -> Any:
    """A byte-level BPE tokenizer, digits one by one, with the lab's chat template, trained on texts and saved."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(lab.THINK_TOKENS),
        special_tokens=list(lab.SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(list(lab.THINK_TOKENS))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=lab.END, pad_token=lab.PAD)
    fast.chat_template = lab.CHAT_TEMPLATE
    fast.save_pretrained(folder)
    return fast


def make_model(shape: dict[str, Any], tokenizer: Any, seed: int) -> "PreTrainedModel":
    """A Qwen3 of a shape with random weights in float32, the same ones for a seed."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        **{"vocab_size": len(tokenizer), **shape},
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = Qwen3ForCausalLM(config)
    return model


def make_weights(shape: dict[str, Any], tokenizer: Any, seed: int, folder: Path, dtype: str = "float32") -> None:
    """A Qwen3 of a shape with random weights, saved as safetensors."""
    import torch

    make_model(shape, tokenizer, seed).to(getattr(torch, dtype)).save_pretrained(folder)

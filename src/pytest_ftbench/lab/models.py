"""The embedded models: their shapes, the chat template they share, and where their files are."""

from pathlib import Path
from typing import Any

SEED = 0
VOCABULARY = 2048
END = "<|im_end|>"
PAD = "<|endoftext|>"
SPECIAL_TOKENS = (PAD, "<|im_start|>", END)
THINK_TOKENS = ("<think>", "</think>")
"""Tokens of their own, as in Qwen3, but part of what a model says: they aren't special."""

_SHARED = {
    "num_key_value_heads": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 2048,
    "rope_theta": 10_000.0,
    "tie_word_embeddings": True,
}
_NANO = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "head_dim": 32}
_MICRO = {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 5, "head_dim": 64}
SHAPES: dict[str, dict[str, Any]] = {
    # the customary 0.02 is for models ten times as wide; at this width it delays learning by thousands of steps
    "nano": _SHARED | _NANO | {"initializer_range": 128**-0.5},
    "micro": _SHARED | _MICRO | {"initializer_range": 256**-0.5},
}
"""Fields of Qwen3's configuration, by model name."""


def model_folder(name: str) -> Path:
    """Where the files of an embedded model are, in Hugging Face format.

    Raises KeyError for a model there isn't.
    """
    if name not in SHAPES:
        raise KeyError(name)
    return Path(__file__).parent / "weights" / name


# ChatML as Qwen3 has it: a generation prompt with thinking switched off brings its own empty think block.
CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.role == 'assistant' and loop.last %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{{- message.content + '<|im_end|>\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{%- endif %}"
)

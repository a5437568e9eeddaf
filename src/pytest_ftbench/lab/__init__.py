"""The lab: the embedded world and the shapes of its models, for runs without network or data."""

from pytest_ftbench.lab.models import CHAT_TEMPLATE, END, PAD, SEED, SHAPES, SPECIAL_TOKENS, THINK_TOKENS, VOCABULARY
from pytest_ftbench.lab.world import SPLITS, TASKS, rows

__all__ = [
    "CHAT_TEMPLATE",
    "END",
    "PAD",
    "SEED",
    "SHAPES",
    "SPECIAL_TOKENS",
    "SPLITS",
    "TASKS",
    "THINK_TOKENS",
    "VOCABULARY",
    "rows",
]

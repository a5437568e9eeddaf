"""Makes a model folder with random weights in a Qwen3 shape, and a tokenizer trained on the rows of a data folder.

Where no weights can be downloaded it stands in for a real model: memory and speed are true, answers are noise.

    python benchmarks/shaped_model.py FOLDER --shape qwen3-0.6b --data DATA_FOLDER --dtype bfloat16
"""

import argparse
from pathlib import Path
from typing import Any

from pytest_ftbench.grid import DataSpec
from pytest_ftbench.ml.rows import RowSource
from pytest_ftbench.ml.scratch import make_tokenizer, make_weights
from pytest_ftbench.tasks import TASK_NAMES, get_task

SHAPES: dict[str, dict[str, Any]] = {
    # https://huggingface.co/Qwen/Qwen3-0.6B/blob/main/config.json
    "qwen3-0.6b": {
        "vocab_size": 151_936,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 40_960,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
    },
    "small": {
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
    },
}
TOKENIZER_SIZE = 4096


def texts(data: Path) -> list[str]:
    """Prompts and targets of all training rows in the folder."""
    source = RowSource(DataSpec(source=str(data)))
    found = []
    for task in (task for task in map(get_task, TASK_NAMES) if not task.recalls):  # of those nobody publishes rows
        for row in source.train(task):
            found += [message["content"] for message in task.messages(row)] + [task.target(row)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(texts(arguments.data), TOKENIZER_SIZE, arguments.folder)
    make_weights(SHAPES[arguments.shape], tokenizer, arguments.seed, arguments.folder, arguments.dtype)
    print(f"{arguments.folder}: {arguments.shape}, {arguments.dtype}, {len(tokenizer)} tokens")


if __name__ == "__main__":
    main()

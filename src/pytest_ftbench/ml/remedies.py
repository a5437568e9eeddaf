"""What to do where memory runs out; and what plainly has no room, said before the kernel ends the process for it."""

import json
from math import prod
from pathlib import Path
from typing import Any

from pytest_ftbench.grid import EvaluationSpec, MethodSpec, Recipe, ShortageError
from pytest_ftbench.ml.base import BaseModel
from pytest_ftbench.ml.outlay import Outlay, gib, states_per_weight
from pytest_ftbench.ml.runtime import Runtime
from pytest_ftbench.store import available_bytes, read_json

_HEADER = 8  # bytes that say how long a safetensors file's header is
_LARGEST_HEADER = 100 * 2**20
# of a weight in float32, what one takes under a quantization, without its scales
_BYTES = {"nf4": 0.5, "int8": 1.0}


def for_training(method: MethodSpec, recipe: Recipe, runtime: Runtime, outlay: Outlay) -> str:
    """The remedies for a training; fewer rows a pass are none where the weights and their moments have no room."""
    rows = recipe.per_device_train_batch_size
    fits = outlay.weights + outlay.states <= outlay.free
    ways = []
    if rows > 1 and fits:
        ways.append(f"lower recipe.per_device_train_batch_size ({rows})")
    if not recipe.gradient_checkpointing and fits:
        ways.append("set recipe.gradient_checkpointing")
    if method.method.peft_type is None:
        ways.append("use lora or qlora")
    elif method.trained_on is None:
        ways.append("use qlora")
    if rows == 1 and fits:
        ways.append(f"lower recipe.max_length ({recipe.max_length})")
    return _listed([*ways, *_fewer(runtime), "take a smaller model"])


def for_answering(evaluation: EvaluationSpec, runtime: Runtime, outlay: Outlay) -> str:
    """The remedies for answering."""
    ways = []
    if outlay.weights <= outlay.free:
        ways.append(f"lower evaluation.batch_size ({evaluation.batch_size})")
        ways.append(f"lower evaluation.max_new_tokens ({evaluation.max_new_tokens})")
    return _listed([*ways, *_fewer(runtime), "take a smaller model"])


def _fewer(runtime: Runtime) -> list[str]:
    return ["start fewer workers (-n)"] if runtime.workers > runtime.gpus else []


def _listed(ways: list[str]) -> str:
    return ", ".join(ways[:-1]) + (" or " if len(ways) > 1 else "") + ways[-1]


def stored_bytes(base: BaseModel, runtime: Runtime, quantization: str | None = None) -> int:
    """What a model's weights take once they are loaded, by its files; 0 where these don't say."""
    return round(_stored_numbers(base.folder) * _BYTES.get(quantization or "", runtime.torch_dtype.itemsize))


def check_room(place: object, base: BaseModel, method: MethodSpec, recipe: Recipe, runtime: Runtime) -> None:
    """Refuse, on a CPU, full fine-tuning whose weights, gradients and moments alone have no room.

    What fits is never refused: what caches hold counts as free, and so does swap. Other methods' weights are read from
    files that the system can read again, and little else of them is known beforehand. Raises :class:`ShortageError`.
    """
    have = available_bytes(swap=True) if runtime.device == "cpu" else None
    if have is None or method.method.peft_type is not None:
        return
    each = runtime.torch_dtype.itemsize * (1 + states_per_weight(recipe))
    # files may hold more than is loaded, and to look at the model itself takes a moment
    if _stored_numbers(base.folder) * each <= have or (need := _loaded_numbers(base.folder) * each) <= have:
        return
    found = f"needs at least {gib(need)} for weights, gradients and optimizer, {gib(have)} free"
    weights = need // (1 + states_per_weight(recipe))
    raise ShortageError(place, found, for_training(method, recipe, runtime, Outlay(have, weights, need - weights)))


def _stored_numbers(folder: Path) -> int:
    """How many numbers there are in the files that Transformers loads of a folder; 0 where that can't be told."""
    try:
        names = ["model.safetensors"]
        if not (folder / names[0]).is_file():
            names = sorted(set(read_json(folder / "model.safetensors.index.json")["weight_map"].values()))
        return sum(_numbers(folder / name) for name in names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0


def _numbers(file: Path) -> int:
    """How many numbers a safetensors file has, by its header."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(_HEADER), "little")
        if length > _LARGEST_HEADER:
            raise ValueError("it has no such header")
        header: dict[str, Any] = json.loads(stream.read(length))
    return sum(prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")


def _loaded_numbers(folder: Path) -> int:
    """How many numbers of a model are trained in every step; 0 where that isn't known. It is made without its weights.

    Of experts, those that no row is sent to have neither gradients nor moments.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        if any("expert" in name for name in config.get_text_config().to_dict()):
            return 0
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except Exception:  # whatever is the matter with it, loading it says so
        return 0
    return sum(parameter.numel() for parameter in model.parameters())

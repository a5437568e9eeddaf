"""What the files of a model may say, looked at before any library opens them. Standard library only.

A folder given by name or downloaded is a stranger's. Nothing in it is run: weights are safetensors, never pickled ones,
and code of its own is not asked for. What is refused here would be obeyed by a library, or would keep it busy for ever:
weights in a file elsewhere, an adapter that stands for another base, code from the Hub, sizes that no weight has.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_ftbench.grid import UserError

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_ADAPTER = "adapter_model.safetensors"
_AGAIN = "save the model again"
_JSON_LIMIT = 64 * 2**20  # bytes: the tokens added to a large vocabulary take a few millions
_HEADER_LIMIT = 100 * 2**20  # the format's own
_SHOWN = 40  # characters of a value

_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2} | {
    name: int(name[1:]) // 8 for name in ("I32", "U32", "F32", "I64", "U64", "F64")
}
_LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers")
# what a model of that many, or of that width, has weights of; and labels, of which the library makes a list
_WIDTHS = (
    *("vocab_size", "hidden_size", "intermediate_size", "head_dim", "num_attention_heads", "num_key_value_heads"),
    *("n_embd", "n_head", "n_inner", "d_model", "d_ff", "ffn_dim", "rotary_dim", "num_labels"),
    *("moe_intermediate_size", "num_experts", "num_local_experts", "n_routed_experts"),
)
_FRACTIONS = ("partial_rotary_factor", "rotary_pct")
_POSITIONS = ("max_position_embeddings", "n_positions", "n_ctx")
_MOST_POSITIONS = 2**27  # tables of them are made
_TOKENS = ("eos_token_id", "bos_token_id", "pad_token_id")
_CODE = ("attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation")


def check_weights(folder: Path) -> None:
    """Check a model's configuration and the heads of its weights' files against each other.

    Raises :class:`UserError` for whatever a library should not be shown.
    """
    if (folder / "adapter_config.json").exists():
        raise UserError(
            folder / "adapter_config.json", "says that this is an adapter of another model", "merge it into its weights"
        )
    path = folder / "config.json"
    config = _object(path)
    if (weights := config.get("transformers_weights")) is not None:
        raise UserError(f"{path}: transformers_weights", f"names {_short(weights)}", f"take it out; it is {_WEIGHTS}")
    shapes = [shape for file in _weight_files(folder) for shape in _shapes(file)]
    _check_config(path, config, shapes)
    if (generation := folder / "generation_config.json").exists():
        _check_tokens(generation, _object(generation))


def check_tokenizer(folder: Path) -> None:
    """Check what a tokenizer's configuration says.

    Raises :class:`UserError` for one that is no JSON object, or whose chat template is no text.
    """
    if not (path := folder / "tokenizer_config.json").exists():
        return
    template = _object(path).get("chat_template")
    named = isinstance(template, list) and all(isinstance(each, dict) for each in template)
    if not (template is None or isinstance(template, str) or named):
        raise UserError(f"{path}: chat_template", f"is {_short(template)}", "give the template's text")


def check_adapter(folder: Path) -> None:
    """Check a trained adapter's configuration and the head of its weights' file.

    Raises :class:`UserError` where it isn't as this package saves it: PEFT would unpickle what it finds instead.
    """
    anew = "remove that folder, and it is trained anew"
    path = folder / "adapter_config.json"
    config = _object(path, anew)
    if config.get("auto_mapping") is not None:
        raise UserError(f"{path}: auto_mapping", "names a library's code", anew)
    if not (weights := folder / _ADAPTER).is_file():
        raise UserError(folder, f"has no {_ADAPTER}; pickled weights are not loaded", anew)
    list(_shapes(weights))


def check_modules(folder: Path) -> None:
    """Check that what a sentence-transformers folder is made of is that library's own.

    Raises :class:`UserError` where a module's class is anybody else's, or an adapter is to be put beside its weights.
    """
    path = folder / "modules.json"
    modules = _json(path, "name a folder that sentence-transformers saved")
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise UserError(path, "is no list of modules", "name a folder that sentence-transformers saved")
    for index, module in enumerate(modules):
        if not str(module.get("type")).startswith("sentence_transformers."):
            place = f"{path}: type of module {index}"
            raise UserError(place, f"is {_short(module.get('type'))}, whose code is not run", "name a model without")
        if ".." in Path(str(module.get("path"))).parts or Path(str(module.get("path"))).is_absolute():
            raise UserError(f"{path}: path of module {index}", "leads out of the folder", "name one in it")
    if adapters := sorted(folder.glob("**/adapter_config.json")):
        raise UserError(adapters[0], "puts an adapter beside the weights", "merge it into them")


def pickled(folder: Path) -> list[str]:
    """The names of a folder's files of pickled weights or states, which nobody opens."""
    return sorted(path.name for suffix in ("bin", "pt", "pth", "pkl", "ckpt") for path in folder.glob(f"*.{suffix}"))


def _object(path: Path, fix: str = _AGAIN) -> dict[str, Any]:
    """The JSON object in a file."""
    value = _json(path, fix)
    if not isinstance(value, dict):
        raise UserError(path, "holds no object", fix)
    return value


def _json(path: Path, fix: str) -> Any:
    """The JSON value in a file."""
    if not path.is_file():  # neither a pipe nor a device, which have no end
        raise UserError(path, "is no file", fix)
    if path.stat().st_size > _JSON_LIMIT:
        raise UserError(path, f"is longer than {_JSON_LIMIT // 2**20} MiB", fix)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # also text that isn't UTF-8, and numbers without end
        raise UserError(path, f"is no JSON ({str(error)[:100]})", fix) from None


def _weight_files(folder: Path) -> list[Path]:
    """The files that Transformers will read the weights from."""
    if (whole := folder / _WEIGHTS).is_file():
        return [whole]
    if not (path := folder / _INDEX).is_file():
        raise UserError(folder, f"has neither {_WEIGHTS} nor {_INDEX}", _AGAIN)
    files = _object(path).get("weight_map")
    if not isinstance(files, dict) or not files:
        raise UserError(f"{path}: weight_map", "is no table of files", _AGAIN)
    names = sorted({str(name) for name in files.values()})
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise UserError(f"{path}: weight_map", f"names {_short(name)}", "name *.safetensors beside it")
        if not _is_file(folder / name):
            raise UserError(f"{path}: weight_map", f"names {_short(name)}, which is no file", _AGAIN)
    return [folder / name for name in names]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long
        return False


def _shapes(path: Path) -> Iterator[list[int]]:
    """The shape of each tensor in a safetensors file, whose bytes must be all there, each of them one tensor's."""
    broken = UserError(path, "is no sound safetensors file", "save the weights again")
    with path.open("rb") as file:
        size, length = path.stat().st_size - 8, int.from_bytes(file.read(8), "little")
        if not 0 < length <= min(size, _HEADER_LIMIT):
            raise broken
        try:
            header = json.loads(file.read(length))
            tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
            spans = sorted(tuple(entry["data_offsets"]) for entry in tensors.values())
            sound = all(_is_sound(entry) for entry in tensors.values())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise broken from None
    ends = [0, *(end for _, end in spans)]
    if not sound or [begin for begin, _ in spans] != ends[:-1] or ends[-1] != size - length:
        raise broken
    yield from (entry["shape"] for entry in tensors.values())


def _is_sound(tensor: Mapping[str, Any]) -> bool:
    """Whether a tensor takes the bytes that its shape and dtype ask for."""
    begin, end = tensor["data_offsets"]
    shape = tensor["shape"]
    if not all(type(size) is int and size >= 0 for size in (begin, end, *shape)):
        return False
    size = _BYTES.get(tensor["dtype"])
    # of a dtype younger than this list the library itself knows
    return begin <= end and (size is None or math.prod(shape) * size == end - begin)


def _check_config(path: Path, config: Mapping[str, Any], shapes: Iterable[list[int]]) -> None:
    shapes = list(shapes)
    widest = max((size for shape in shapes for size in shape), default=0)
    most = dict.fromkeys(_LAYERS, len(shapes)) | dict.fromkeys(_WIDTHS, widest)
    most |= dict.fromkeys(_POSITIONS, _MOST_POSITIONS)
    for key, value in _fields(config):
        name = key.rpartition(".")[2]
        if name in most:
            _check_size(f"{path}: {key}", value, most[name])
        elif name in _FRACTIONS and not (isinstance(value, int | float) and 0 <= value <= 1):
            raise UserError(f"{path}: {key}", f"is {_short(value)}", "give a fraction of 1")
        elif name in _CODE and isinstance(value, str) and "/" in value:
            raise UserError(f"{path}: {key}", f"names code on the Hub ({_short(value)})", "take it out")
    _check_tokens(path, config)


def _fields(config: Mapping[str, Any], parent: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a configuration, and of the parts that say what its language model is and how it counts."""
    for key, value in config.items():
        if isinstance(value, dict) and key in ("text_config", "rope_parameters", "rope_scaling"):
            yield from _fields(value, f"{parent}{key}.")
        elif value is not None:
            yield f"{parent}{key}", value


def _check_size(place: str, value: Any, most: int) -> None:
    # some models have one for each layer
    for size in value if isinstance(value, list) else [value]:
        if type(size) is not int or size < 0:
            raise UserError(place, f"is {_short(size)}", "give a whole number")
        if size > most:
            raise UserError(place, f"is {_short(size)}, and its weights are of {most} at most", _AGAIN)


def _check_tokens(path: Path, config: Mapping[str, Any]) -> None:
    for key in _TOKENS:
        value = config.get(key)
        ids = value if isinstance(value, list) else [] if value is None else [value]
        if not all(type(token) is int and -1 <= token < 2**31 for token in ids):
            raise UserError(f"{path}: {key}", f"is {_short(value)}", "give a token's number")


def _short(value: Any) -> str:
    said = repr(value)
    return said if len(said) <= _SHOWN else f"{said[: _SHOWN - 1]}…"

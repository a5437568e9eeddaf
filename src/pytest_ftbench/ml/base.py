"""Base models: from a name, a folder or a Hub id to weights on the device. safetensors only, no remote code."""

import contextlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ftbench import lab
from pytest_ftbench.grid import ModelSpec, UserError, first_line
from pytest_ftbench.ml.hub import check_id
from pytest_ftbench.ml.model_files import check_tokenizer, check_weights
from pytest_ftbench.ml.runtime import Runtime
from pytest_ftbench.ml.template import checked_template
from pytest_ftbench.store import digest, folder_digest, read_json

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_EMBEDDED = "embedded:"
_WEIGHTS = ("*.safetensors",)
# everything that decides what the model computes and how text becomes tokens
TOKENIZER_FILES = ("*.json", "*.txt", "*.model", "*.jinja")
"""What decides how text becomes tokens, and a little more."""

_FILES = (*_WEIGHTS, *TOKENIZER_FILES)

# a base model that was never tuned to chat has no template; its words are those it has read dialogues in
PLAIN_TURNS = (
    "{{ bos_token }}{% for message in messages %}{{ message.role | capitalize }}: {{ message.content }}"
    "{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""How a model is asked whose tokenizer has no chat template of its own, such as Llama-3.2-1B."""


@dataclass(frozen=True)
class BaseModel:
    """The files of a model before tuning, and the digest of all that decide what it computes."""

    name: str
    folder: Path
    fingerprint: str


def check_source(spec: ModelSpec) -> None:
    """Check what can be known of a model without loading it.

    Raises :class:`UserError` for an embedded model there isn't, or a folder that holds none.
    """
    if spec.source.startswith(_EMBEDDED):
        name = spec.source.removeprefix(_EMBEDDED)
        if name not in lab.SHAPES:
            raise UserError(
                f"models.{spec.name}", f"there is no embedded model {name!r}", f"known are {', '.join(lab.SHAPES)}"
            )
    elif is_local(spec):
        _check_folder(Path(spec.source))
    elif (folder := Path(spec.source)).is_absolute():
        raise UserError(folder, "is no folder", "name a model folder or a Hub id")
    else:
        check_id(f"models.{spec.name}", spec.source, spec.revision)


def is_local(spec: ModelSpec) -> bool:
    """Whether a model's files are on this machine without any download."""
    try:
        return spec.source.startswith(_EMBEDDED) or Path(spec.source).is_dir()
    except (OSError, ValueError):  # longer than any name, or with a NUL in it
        return False


def find_base(spec: ModelSpec) -> BaseModel:
    """The files of a suite's model, downloaded first where need be.

    Raises :class:`UserError` for files that no library should be shown.
    """
    folder = base_folder(spec)
    check_weights(folder)
    files = folder_digest(folder, _FILES)
    return BaseModel(spec.name, folder, files if has_chat_template(folder) else digest([files, PLAIN_TURNS]))


def has_chat_template(folder: Path) -> bool:
    """Whether a model's tokenizer has a chat template of its own."""
    if any(folder.glob("*.jinja")) or any(folder.glob("additional_chat_templates/*.jinja")):
        return True
    try:
        return bool(read_json(folder / "tokenizer_config.json").get("chat_template"))
    except (OSError, ValueError, AttributeError):
        return False


def base_folder(spec: ModelSpec) -> Path:
    """The folder of a suite's model, downloaded first where need be.

    Raises :class:`UserError` for files that no library should be shown.
    """
    check_source(spec)
    if spec.source.startswith(_EMBEDDED):
        folder = lab.model_folder(spec.source.removeprefix(_EMBEDDED))
    elif is_local(spec):
        folder = Path(spec.source)
    else:
        from pytest_ftbench.ml.hub import hub_model

        folder = hub_model(spec.source, spec.revision)
        _check_folder(folder)
    check_tokenizer(folder)
    return folder


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a model folder, padding on the left as generation needs it.

    Where it has no chat template, its turns are plain ones: what was trained on and what is asked still agree.
    """
    from transformers import AutoTokenizer

    with one_sentence(folder, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, padding_side="left")
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TURNS
    else:
        place = f"{folder}: chat_template"
        tokenizer.chat_template = checked_template(tokenizer.chat_template, tokenizer.special_tokens_map, place)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_weights(folder: Path, runtime: Runtime, quantization: str | None = None) -> "PreTrainedModel":
    """The model of a folder on the device, every parameter in the runtime's dtype.

    Under a ``quantization``, the weights of linear layers are in it instead: ``nf4`` with double quantization, computed
    with in bfloat16, or ``int8``; embeddings, norms and the head stay as they are (bitsandbytes). Raises
    :class:`UserError` for files that can't be read, or lack some of the weights: a library would make them up.
    """
    from transformers import AutoModelForCausalLM

    check_weights(folder)
    given: dict[str, Any] = {}
    if quantization is not None:
        # it can't be moved afterwards
        given = {"quantization_config": quantization_config(quantization), "device_map": {"": runtime.device}}
    with one_sentence(folder, "weights"):
        loaded: tuple[PreTrainedModel, dict[str, Any]] = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=runtime.torch_dtype,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **given,
        )
    model, told = loaded
    if missing := sorted(told["missing_keys"]):
        raise UserError(folder, f"lacks {len(missing)} of its weights ({missing[0]!r:.60})", "save the model again")
    return model if given else model.to(runtime.device)


def quantization_config(quantization: str) -> Any:
    """What Transformers needs to know of ``nf4`` or ``int8``.

    Raises :class:`UserError` where bitsandbytes isn't installed.
    """
    if find_spec("bitsandbytes") is None:
        raise UserError(quantization, "needs bitsandbytes", 'pip install "pytest-ftbench[quantization]"')
    import torch
    from transformers import BitsAndBytesConfig

    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quantization,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


@contextlib.contextmanager
def one_sentence(folder: Path, part: str, fix: str = "save the model again") -> Iterator[None]:
    """Say in one sentence that a folder's files can't be read in the block, whatever a library makes of them."""
    try:
        yield
    except BaseException as error:
        said = str(error)
        # a library in Rust gives up with an exception that isn't one of Python's usual
        is_fault = isinstance(error, Exception) or type(error).__name__ == "PanicException"
        # that there is no room says nothing of the files
        if not is_fault or isinstance(error, MemoryError | UserError) or "memory" in said.lower():
            raise
        if "trust_remote_code" in said:
            raise UserError(folder, "asks for code of its own, which is never run", "name a model without") from error
        raise UserError(folder, f"its {part} can't be loaded ({first_line(error)})", fix) from error


def end_tokens(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """The ids of all tokens that end an answer: the tokenizer's own and those the model was configured with."""
    configured: Any = model.generation_config.eos_token_id if model.generation_config else None
    ids = configured if isinstance(configured, list) else [configured]
    return sorted({token for token in (*ids, tokenizer.eos_token_id) if token is not None})


def live_dtype(parameters: Iterable["torch.nn.Parameter"]) -> str:
    """The dtype of parameters as they are: ``float32``, or several joined by ``+``.

    Quantized ones are ``nf4`` or ``int8``; the embeddings and norms of such a model are in another: ``float32+nf4``.
    """
    return "+".join(sorted({_dtype(parameter) for parameter in parameters}))


def parameter_count(parameter: "torch.nn.Parameter") -> int:
    """How many numbers a parameter stands for; those of 4 bits are packed two to a byte."""
    packed: Any = getattr(parameter, "quant_state", None)
    return parameter.numel() if packed is None else math.prod(packed.shape)


def _dtype(parameter: "torch.nn.Parameter") -> str:
    packed: Any = getattr(parameter, "quant_state", None)
    return str(parameter.dtype).removeprefix("torch.") if packed is None else str(packed.quant_type)


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise UserError(folder, "has no config.json", "name a model folder in Hugging Face format")
    if not any(folder.glob(_WEIGHTS[0])):
        raise UserError(folder, "has no *.safetensors", "save the weights as safetensors; pickled ones are not loaded")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
        raise UserError(folder, "has no tokenizer files", "save the tokenizer beside the weights")

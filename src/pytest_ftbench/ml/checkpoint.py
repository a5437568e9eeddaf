"""A checkpoint: what was trained on top of which base, and how it becomes a model that answers."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ftbench.ml.base import BaseModel, load_tokenizer, load_weights
from pytest_ftbench.ml.engine import Engines
from pytest_ftbench.ml.finite import check_base, check_tuned
from pytest_ftbench.ml.probe import MergeProbe
from pytest_ftbench.ml.runtime import Runtime
from pytest_ftbench.ml.snapshots import snapshot_folder
from pytest_ftbench.store import digest, file_digests

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from pytest_ftbench.ml.generate import Decoder


@dataclass(frozen=True)
class Checkpoint:
    """A model ready to be tested: its base, the trained files on top and how they were trained (None: untuned)."""

    base: BaseModel
    key: str
    folder: Path | None = None
    train: dict[str, Any] | None = None

    @property
    def points(self) -> list[dict[str, Any]]:
        """Epoch, step, seconds and loss at each snapshot of its training and, last, at its end."""
        return [] if self.train is None else list(self.train["points"])

    @property
    def weights(self) -> str | None:
        """The digest of what was trained, the same for trainings that came out the same; None: nothing was."""
        if self.folder is None:
            return None
        files = file_digests(self.folder)
        return digest({name: files[name] for name in files if name.endswith(".safetensors") and "/" not in name})

    def snapshot(self, epoch: int) -> "Checkpoint":
        """The checkpoint as its training had it after an epoch of which a snapshot was kept; with a key of its own."""
        assert self.folder is not None
        key = digest({"checkpoint": self.key, "epoch": epoch})
        return replace(self, key=key, folder=snapshot_folder(self.folder, epoch))


def load_decoder(
    checkpoint: Checkpoint,
    runtime: Runtime,
    max_new_tokens: int,
    form: str | None,
    quantization: str | None,
    probes: Sequence[str] = (),
    engines: Engines | None = None,
) -> "Decoder":
    """A checkpoint's model, ready to answer, with its adapter in a ``form``: merged, unmerged or requantized.

    A form of None says that there is no adapter. Under a ``quantization`` its weights are quantized: those of the base
    where the adapter is unmerged, else its own. Where an adapter is merged, the decoder knows what that changed in the
    logits of the ``probes``, which are rendered prompts. Its ``engines`` are those that answer (None: its own).
    """
    from pytest_ftbench.ml.adapters import beside, merged
    from pytest_ftbench.ml.generate import Decoder

    base, folder = checkpoint.base.folder, checkpoint.folder
    tokenizer = load_tokenizer(base)
    probe = MergeProbe([tokenizer(text, add_special_tokens=False)["input_ids"] for text in probes])
    if folder is None or form is None:
        model = load_weights(folder or base, runtime, quantization)
    elif form == "unmerged":
        model = beside(load_weights(base, runtime, quantization), folder, runtime)
    else:
        model = merged(load_weights(base, runtime), folder, runtime, probe)
        if form == "requantized":
            model = _quantized(model, runtime, quantization)
            probe.requantized(model)
    (check_base if folder is None else check_tuned)(model, checkpoint.base)
    return Decoder(model, tokenizer, max_new_tokens, probe.found, engines)


def _quantized(model: "PreTrainedModel", runtime: Runtime, quantization: str | None) -> "PreTrainedModel":
    """A model with its weights quantized, by way of files: loading is where Transformers does it."""
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch)
        model.to("meta")  # it need not be on the device twice
        return load_weights(Path(scratch), runtime, quantization)

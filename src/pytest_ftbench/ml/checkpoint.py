"""A checkpoint: what was trained on top of which base, and how it becomes a model that answers."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ftbench.ml.base import BaseModel, load_tokenizer, load_weights
from pytest_ftbench.ml.runtime import Runtime
from pytest_ftbench.ml.snapshots import snapshot_folder
from pytest_ftbench.store import digest

if TYPE_CHECKING:
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

    def snapshot(self, epoch: int) -> "Checkpoint":
        """The checkpoint as its training had it after an epoch of which a snapshot was kept; with a key of its own."""
        assert self.folder is not None
        key = digest({"checkpoint": self.key, "epoch": epoch})
        return replace(self, key=key, folder=snapshot_folder(self.folder, epoch))


def load_decoder(checkpoint: Checkpoint, runtime: Runtime, max_new_tokens: int) -> "Decoder":
    """A checkpoint's model, ready to answer: its own weights, or the base with the adapter merged in."""
    from pytest_ftbench.ml.adapters import merged
    from pytest_ftbench.ml.generate import Decoder

    base, folder = checkpoint.base.folder, checkpoint.folder
    if folder is None or not (folder / "adapter_config.json").is_file():
        model = load_weights(folder or base, runtime)
    else:
        model = merged(load_weights(base, runtime), folder, runtime)
    return Decoder(model, load_tokenizer(base), max_new_tokens)

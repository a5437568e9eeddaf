"""Snapshots: what a training has reached at the end of some of its epochs, saved while it goes on.

They are for learning curves of *one* training under its whole schedule: saving must leave the training as it would have
been, to the last bit, and must not count as time of it.
"""

import contextlib
import statistics
import time
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ftbench.ml.runtime import Runtime

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def snapshot_folder(checkpoint: Path, epoch: int) -> Path:
    """Where the snapshot after an epoch is in the checkpoint's folder."""
    return checkpoint / f"epoch-{epoch}"


def save(model: "PreTrainedModel", folder: Path, use_cache: bool) -> None:
    """Save the adapter, or the weights where there is none.

    The Trainer switches the cache off for checkpointing, in the configuration that is saved as well: ``use_cache`` is
    what the model came with. The model itself is left as the Trainer has it, AdaLoRA's ranks too, whose names PEFT
    shortens for the file.
    """
    training, model.config.use_cache = model.config.use_cache, use_cache
    configs: Mapping[str, Any] = getattr(model, "peft_config", {})
    patterns = {name: config.rank_pattern for name, config in configs.items() if hasattr(config, "rank_pattern")}
    try:
        with warnings.catch_warnings():
            # PEFT takes a rank that AdaLoRA has brought down to 0 for a tensor that was lost
            warnings.filterwarnings("ignore", message=r"(?s).*LoRA tensor\(s\) have invalid shape")
            model.save_pretrained(folder, safe_serialization=True)
    finally:
        model.config.use_cache = training
        for name, pattern in patterns.items():
            configs[name].rank_pattern = pattern


class Stopwatch:
    """The seconds that the device has worked since this was made, but for those in :meth:`paused` blocks."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._left_out = 0.0
        self._start = self._now()

    def seconds(self) -> float:
        """The seconds until now."""
        return self._now() - self._start - self._left_out

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out what is done in the block."""
        start = self._now()
        try:
            yield
        finally:
            self._left_out += self._now() - start

    def _now(self) -> float:
        self._runtime.synchronize()
        return time.perf_counter()


class Snapshots:
    """Follows a training and saves the model at the end of the ``epochs`` asked for, in a folder of its own each.

    ``losses`` are those of the steps so far, which somebody else collects. ``points`` are the training's state at each
    snapshot: epoch, step, seconds, loss.
    """

    def __init__(
        self, epochs: Collection[int], folder: Path, losses: list[float], use_cache: bool, stopwatch: Stopwatch
    ) -> None:
        self.epochs = epochs
        self.folder = folder
        self.losses = losses
        self.use_cache = use_cache
        self.points: list[dict[str, Any]] = []
        self._before = 0
        self._stopwatch = stopwatch

    def callback(self) -> Any:
        """The snapshots as a callback of the Trainer; made here so that importing this module imports no library."""
        from transformers import TrainerCallback

        snapshots = self

        class Callback(TrainerCallback):  # type: ignore[misc] # transformers is Any to mypy
            def on_epoch_begin(self, *_: Any, **__: Any) -> None:
                snapshots._before = len(snapshots.losses)

            def on_epoch_end(self, _args: Any, state: Any, _control: Any, model: Any = None, **_: Any) -> None:
                # a training that ends amid an epoch ends at a fraction, which nobody can ask for
                if state.epoch in snapshots.epochs:
                    snapshots._take(state, model)

        return Callback()

    def point(self, state: Any) -> dict[str, Any]:
        """What the training has reached, at the end of an epoch or of the whole; ``loss`` is the last epoch's mean."""
        seconds = self._stopwatch.seconds()
        epoch = float(state.epoch)
        return {
            "epoch": int(epoch) if epoch.is_integer() else epoch,
            "step": state.global_step,
            "seconds": seconds,
            "loss": statistics.fmean(self.losses[self._before :]),
        }

    def _take(self, state: Any, model: Any) -> None:
        point = self.point(state)
        with self._stopwatch.paused():
            save(model, snapshot_folder(self.folder, point["epoch"]), self.use_cache)
        self.points.append(point)

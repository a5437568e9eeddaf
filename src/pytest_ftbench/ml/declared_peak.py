"""The memory that a recipe takes as it is declared, measured by doing a little of it before a planned training.

Two optimizer steps by TRL's own code, the longest rows last: as many as a pass has under the recipe, checkpointing as
the recipe says, so that gradients, optimizer and activations are there at once. What they
change is put back bit by bit; what is kept for that is where nothing is measured: in a file on a CPU, else in RAM.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ftbench.ml.memory import free
from pytest_ftbench.ml.packing import IGNORED, TokenRow
from pytest_ftbench.ml.runtime import Runtime, own_randomness
from pytest_ftbench.ml.snapshots import save

if TYPE_CHECKING:
    import torch

_STEPS = 2  # the optimizer's moments are there from the second on


class KeptWeights:
    """What of a model a training changes, kept to be put back."""

    def __init__(self, model: Any, runtime: Runtime, folder: Path) -> None:
        # AdaLoRA keeps the ranks of its layers beside its factors
        self._parameters = [p for name, p in model.named_parameters() if p.requires_grad or "ranknum" in name]
        self._file = folder / "weights"
        self._copies: list[torch.Tensor] | None = None
        if runtime.device == "cpu":
            with self._file.open("wb") as file:
                for parameter in self._parameters:
                    _bytes(parameter.data.contiguous()).numpy().tofile(file)
        else:
            self._copies = [parameter.detach().cpu() for parameter in self._parameters]

    def put_back(self) -> None:
        """Make the weights what they were, to the last bit."""
        import numpy as np
        import torch

        with torch.no_grad():
            if self._copies is not None:
                for parameter, copy in zip(self._parameters, self._copies, strict=True):
                    parameter.copy_(copy)
                return
            with self._file.open("rb") as file:
                for parameter in self._parameters:
                    found = torch.from_numpy(np.fromfile(file, np.uint8, parameter.nbytes))
                    parameter.copy_(found.view(parameter.dtype).view(parameter.shape))


def _bytes(tensor: "torch.Tensor") -> "torch.Tensor":
    import torch

    return tensor.detach().reshape(-1).view(torch.uint8)


@contextlib.contextmanager
def declared_steps(
    trainer: Any, rows: Sequence[TokenRow], kept: KeptWeights, runtime: Runtime, folder: Path
) -> Iterator[None]:
    """Train a little as declared; the peak is to be read in the block, after which all is as it was before."""
    with own_randomness(), _checkpointing(trainer):
        try:
            _steps(trainer, _batches(trainer, rows))
            if runtime.device == "cpu":
                # weights are copied once more where they are written
                save(trainer.model, folder / "probe", trainer.model.config.use_cache)
            yield
        finally:
            kept.put_back()
            trainer.begin_anew()
            if runtime.device == "cuda":
                free(runtime)


def _steps(trainer: Any, batches: list[dict[str, Any]]) -> None:
    trainer.create_optimizer()
    model, optimizer = trainer.accelerator.prepare(trainer.model, trainer.optimizer)
    targets = sum(batch["labels"][:, 1:].ne(IGNORED).sum() for batch in batches).to(trainer.args.device)
    for _ in range(_STEPS):
        for batch in batches:
            # it takes out of the batch what it has used
            trainer.training_step(model, dict(batch), targets)
        if trainer.args.max_grad_norm > 0:
            trainer.accelerator.clip_grad_norm_(model.parameters(), trainer.args.max_grad_norm)
        optimizer.step()
        if hasattr(trainer.model, "update_and_allocate"):
            # what AdaLoRA keeps of each gradient, as large as the adapter three times over
            trainer.model.base_model.rankallocator.update_ipt(trainer.model.base_model.model)
        model.zero_grad()
    if hasattr(trainer.model, "update_and_allocate"):
        trainer.model.base_model.rankallocator.reset_ipt()


def _batches(trainer: Any, rows: Sequence[TokenRow]) -> list[dict[str, Any]]:
    """Passes of the shortest rows, of those with the most targets and of the longest, as TRL's collator makes them.

    In a step that grows, as in any training, tensors don't find the place that a larger one has left.
    """
    size, indices = trainer.args.per_device_train_batch_size, range(len(rows))
    orders = [
        lambda index: -len(rows[index]),
        lambda index: len(rows[index].labels),
        lambda index: len(rows[index]),
    ]
    picked = [sorted(indices, key=order, reverse=True)[:size] for order in orders]
    columns = ("input_ids", "labels")
    features = [[{name: trainer.train_dataset[index][name] for name in columns} for index in some] for some in picked]
    return [trainer.data_collator(each) for each in features]


@contextlib.contextmanager
def _checkpointing(trainer: Any) -> Iterator[None]:
    """Checkpointing as the Trainer switches it on for a recipe that asks for it."""
    model, arguments = trainer.model, trainer.args
    if not arguments.gradient_checkpointing:
        yield
        return
    # the name that Transformers 5 had first is deprecated in later ones
    name = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    given = getattr(arguments, f"{name}_checkpointing_kwargs") or {}
    cached = model.config.use_cache
    getattr(model, f"{name}_checkpointing_enable")(dict(given) or None)
    try:
        yield
    finally:
        getattr(model, f"{name}_checkpointing_disable")()
        model.config.use_cache = cached

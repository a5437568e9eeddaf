"""The course of a training: measured as declared, planned, run, run again by a smaller plan where memory runs out."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pytest_ftbench.ml.declared_peak import KeptWeights, declared_steps
from pytest_ftbench.ml.dropout import SameMasks
from pytest_ftbench.ml.memory import Peak, free, is_shortage
from pytest_ftbench.ml.outlay import Outlay
from pytest_ftbench.ml.packing import token_rows
from pytest_ftbench.ml.plan_probe import probe
from pytest_ftbench.ml.planned_step import PackedLoss, PlannedStep
from pytest_ftbench.ml.planner import DECLARED, Plan, as_declared, choose, obstacle
from pytest_ftbench.ml.runtime import Runtime, own_randomness
from pytest_ftbench.ml.sft import Training

T = TypeVar("T")


def _own_stream(runtime: Runtime) -> Callable[[], AbstractContextManager[Any]]:
    """Blocks that run on one CUDA stream, which isn't the default one: a graph can be recorded there.

    Whatever remembers the stream that it was made on, as the nodes that add up gradients do, was made on that one.
    """
    if runtime.device == "cpu":
        return nullcontext
    import torch

    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call] # torch's constructor has no types

    @contextmanager
    def own() -> Iterator[None]:
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            yield
        torch.cuda.current_stream().wait_stream(stream)

    return own


class Course:
    """One training by a trainer. ``plan`` is how it is computed, ``peak`` what it takes as declared.

    ``read_peak`` reads the peaks of memory since the model was loaded; without it nothing is done to measure them. The
    peak is None until somebody knows it: where the recipe is done as declared, at the end of the training.
    """

    def __init__(
        self,
        trainer: Any,
        training: Training,
        runtime: Runtime,
        scratch: Path,
        read_peak: Callable[[], Peak] | None,
        outlay: Outlay | None = None,
    ) -> None:
        self.trainer = trainer
        self.training = training
        self.runtime = runtime
        self.peak: Peak | None = None
        self._read_peak = read_peak
        self._outlay = outlay
        self._scratch = scratch
        self._kept: KeptWeights | None = None
        self._step: PlannedStep | None = None
        self._stream = _own_stream(runtime)
        self.plan = self._planned()

    def run(self, training: Callable[[], T]) -> T:
        """Do the training; from its start again, by the next smaller plan, for as long as memory doesn't suffice."""
        while True:
            try:
                is_declared = self.plan.layout == DECLARED
                with own_randomness(), nullcontext() if is_declared else self._stream():
                    self._follow()
                    result = training()
                break
            except Exception as error:
                smaller = self.plan.smaller(self.training.recipe) if is_shortage(error) else None
                if smaller is None or self._kept is None:
                    raise
                self.plan = smaller
            # not before the error is gone, which holds on to what was being computed
            self._begin_anew(self._kept)
        if self._step is not None and self._step.graphs is not None and self._step.graphs.failed:
            why = f"{self.plan.why}; but no graph can be recorded ({self._step.graphs.failed})"
            self.plan = replace(self.plan, graphed=False, why=why)
        if self.peak is None and self._read_peak is not None:
            self.peak = self._read_peak()
        return result

    def _planned(self) -> Plan:
        recipe = self.training.recipe
        wanted = self.training.planning == "on"
        refused = obstacle(self.trainer, recipe, self.training.quantization) if wanted else "the suite wants no plan"
        if refused is not None:
            return as_declared(recipe, self.runtime.threads, refused)
        self._rows = token_rows(self.trainer.train_dataset)
        self._kept = KeptWeights(self.trainer.model, self.runtime, self._scratch)
        if self._read_peak is not None:
            with declared_steps(self.trainer, self._rows, self._kept, self.runtime, self._scratch):
                self.peak = self._read_peak()
        self._loss = PackedLoss(self.trainer.model, self.runtime)
        self._masks = SameMasks(self._loss.model, recipe.per_device_train_batch_size)
        needs = probe(self._loss, self._rows, self._masks)
        # the declared way is what is done last, and then nobody has looked at what checkpointing leaves of it
        if self._outlay is not None and needs.activations and not recipe.gradient_checkpointing:
            longest = max(len(row) for row in self._rows)
            self._outlay.activations = round(needs.activations * recipe.per_device_train_batch_size * longest)
        graphs = self._loss.flash and self.training.quantization is None and not self._shares_ranks
        return choose(self.runtime, recipe, [len(row) for row in self._rows], needs, graphs)

    @property
    def _shares_ranks(self) -> bool:
        """Whether it is AdaLoRA, which works on gradients between the passes."""
        return hasattr(self.trainer.model, "update_and_allocate")

    def _follow(self) -> None:
        """Let the trainer compute by the plan."""
        recipe, plan = self.training.recipe, self.plan
        self._step = None
        if plan.layout != DECLARED:
            whole = recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps
            masks = self._masks if plan.masks == "declared" else None
            self._step = PlannedStep(self._loss, self._rows, plan, whole, masks)
        self.trainer.follow(recipe, self._step, plan.checkpointing)

    def _begin_anew(self, kept: KeptWeights) -> None:
        if self._step is not None and self._step.graphs is not None:
            with self._stream():
                self._step.graphs.recover()
        self._step = None
        self.trainer.follow(self.training.recipe, None, checkpointing=False)
        kept.put_back()
        self.trainer.begin_anew()
        if self._shares_ranks:
            self.trainer.model.base_model.rankallocator.reset_ipt()
        free(self.runtime)

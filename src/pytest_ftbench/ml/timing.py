"""One cell's answers timed while nobody else computes: at their own length, at a fixed one, by recorded steps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_ftbench.grid import EvaluationSpec
from pytest_ftbench.ml.desk import Desk, Say
from pytest_ftbench.ml.latency import time_answers
from pytest_ftbench.ml.latency_fast import time_fast
from pytest_ftbench.ml.memory import peak_memory
from pytest_ftbench.ml.neighbours import neighbours
from pytest_ftbench.ml.runtime import at_work

if TYPE_CHECKING:
    from pytest_ftbench.ml.generate import Decoder


def timed_alone(
    desk: Desk, decoder: "Decoder", prompts: Sequence[str], evaluation: EvaluationSpec, level: int | None, say: Say
) -> dict[str, Any]:
    """Time the answers to rendered prompts, and measure their memory from the ``level`` before the model was loaded."""
    runtime, warmup = desk.runtime, evaluation.latency_warmup
    with (
        desk.machine.alone(),
        at_work(runtime.threads),
        # one answer at a time, for batches only show how large they are
        peak_memory(runtime, level) as peak,
        neighbours(runtime) as beside,
    ):
        timed = time_answers(decoder, prompts, warmup, runtime, say)
        timed |= beside()
        timed["peak_memory_gib"] = peak()
        # after the peak was read, which is that of the answers as they are
        if length := evaluation.latency_tokens:
            timed["fixed"] = time_answers(decoder, prompts, warmup, runtime, say, length)
        if evaluation.latency_fast:
            timed |= time_fast(decoder, prompts, warmup, length, say)
    return timed | {"workers": runtime.workers, "threads": runtime.threads, "exclusive": desk.machine.works}

"""What each stored entry is made of: the material of its key. Two entries are the same only if all of this is.

Code that decides a result is part of its key by the digest of its source, so that a change to this package never serves
what the code before it computed. Rows count by what is rendered from them, the messages and targets.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pytest_ftbench import tasks
from pytest_ftbench.grid import Cell, CheckpointKey, Recipe, Suite, latency, recipe, records, sweep
from pytest_ftbench.ml.adapters import adapter_fields
from pytest_ftbench.ml.base import BaseModel
from pytest_ftbench.ml.embedder import Embedder
from pytest_ftbench.ml.rows import RowSource
from pytest_ftbench.ml.runtime import Runtime
from pytest_ftbench.store import digest, package_versions, source_digest
from pytest_ftbench.tasks import Task, get_task

_HERE = Path(__file__).parent
_TASKS = tuple(Path(tasks.__file__).parent.glob("*.py"))
# what every number goes through; rows, hub and scratch count by what they yield, material by the keys it makes
_SHARED = ("adapters", "base", "checkpoint", "desk", "prompts", "runtime", "snapshots", "template", "workbench")


def _code(*names: str, also: Iterable[Path] = ()) -> str:
    return source_digest(*(_HERE / f"{name}.py" for name in names), *also)


_STEPS = ("declared_peak", "dropout", "graphs", "last_layer", "packing", "planned_step", "segments")
_PLANNING = ("course", "plan_probe", "planner", "sft", "train", "trainer")
_TRAINING_CODE = _code(*_SHARED, *_STEPS, *_PLANNING, "context", "memory", "targets", also=[Path(recipe.__file__)])
_ENGINES = (
    "engine",
    "engine_cache",
    "engine_fast",
    "engine_graphs",
    "engine_kernels",
    "engine_plain",
    "engine_stack",
    "engine_work",
)
_ANSWER_CODE = _code(*_SHARED, *_ENGINES, "generate", "probe")
_VLLM_CODE = _code("engine_vllm")
_TIMING_CODE = _code("latency", "latency_fast", "memory", "neighbours", "timing")
# of a trial: how it is judged; of all that trains and answers, its checkpoint's and answers' keys tell
_TRIAL_SOURCES = (
    *(_HERE / f"{name}.py" for name in ("embedder", "judge", "sweep")),
    Path(sweep.__file__),
    # what only looks for rows that are alike scores nothing: it counts by the rows that it leaves
    *(path for path in _TASKS if path.stem != "overlap"),
)
_TRIAL_CODE = source_digest(*_TRIAL_SOURCES)
_RECORD_CODE = _code(
    "embedder",
    "hygiene",
    "record",
    also=(*_TASKS, Path(records.__file__), Path(latency.__file__)),
)


def _quantized(quantization: str | None) -> dict[str, Any]:
    """What of a key is there only where weights are quantized, by whom too."""
    if quantization is None:
        return {}
    return {"quantization": quantization, "bitsandbytes": package_versions("bitsandbytes")}


def _engine(wish: str) -> dict[str, Any]:
    """What of a key says who answers; of vLLM, which and through what code."""
    return {"engine": wish} | ({"vllm": package_versions("vllm"), "through": _VLLM_CODE} if wish == "vllm" else {})


class Materials:
    """The keys' materials for one suite on one machine."""

    def __init__(self, suite: Suite, runtime: Runtime, rows: RowSource, embedder: Embedder) -> None:
        self.suite = suite
        self.runtime = runtime
        self.rows = rows
        self.embedder = embedder
        self._digests: dict[tuple[str, str], str] = {}

    def checkpoint(self, key: CheckpointKey, base: BaseModel, recipe: Recipe | None = None) -> dict[str, Any]:
        """Of a checkpoint: base weights, tokenizer, rendered rows, recipe, method, seed, precision, versions, code.

        The recipe is the one it is trained with (None: the suite's, which must not be tuned then).
        """
        if key.train_task is None:
            return {"base": base.fingerprint}
        method = self.suite.method(key.method)
        assert recipe is not None or not self.suite.tuned
        fields = (recipe or self.suite.recipe_for(key.method)).as_dict()
        snapshots = self.suite.snapshot_epochs(key.method)
        return {
            "base": base.fingerprint,
            "rows": self.train_rows(key.train_task),
            "reasoning": self.suite.evaluation.reasoning,
            # by any other name it trains the same
            "recipe": {name: value for name, value in fields.items() if name != "name"},
            "method": key.method,
            "peft": method.method.peft_type,
            "adapter": adapter_fields(method, key.rank),
            **_quantized(method.trained_on),
            "seed": key.seed,
            "planning": self.suite.planning,
            "code": _TRAINING_CODE,
            # only where there are any: they change no weight, and a checkpoint without a curve needs no other key
            **({"snapshots": list(snapshots)} if snapshots else {}),
            **self._machine(),
        }

    def trial(self, key: CheckpointKey, base: BaseModel, recipe: Recipe) -> dict[str, Any]:
        """Of a trial of a learning rate: its checkpoint, which has no snapshots, and how that is judged."""
        assert key.train_task is not None
        checkpoint = self.checkpoint(key, base, recipe)
        checkpoint.pop("snapshots", None)
        rows, task = self._rows_digest(key.train_task, "validation"), get_task(key.train_task)
        return {
            **self._answering(key.method, key.quantization, digest(checkpoint), rows),
            "rate": recipe.learning_rate,
            "embedder": self.embedder.material(task),
            "judging": _TRIAL_CODE,
        }

    def answers(self, cell: Cell, checkpoint: str) -> dict[str, Any]:
        """Of a cell's answers: the checkpoint, the rendered test rows, how they are decoded."""
        return self._answering(cell.method, cell.quantization, checkpoint, self.test_rows(cell.eval_task))

    def _answering(self, method: str, quantization: str | None, checkpoint: str, rows: str) -> dict[str, Any]:
        evaluation = self.suite.evaluation
        return {
            "checkpoint": checkpoint,
            "rows": rows,
            "reasoning": evaluation.reasoning,
            "max_new_tokens": evaluation.max_new_tokens,
            "batch_size": evaluation.batch_size,
            **_engine(evaluation.engine),
            "adapter": self.suite.adapter_form(method, quantization),
            **_quantized(quantization),
            "code": _ANSWER_CODE,
            **self._machine(),
        }

    def timings(self, cell: Cell, checkpoint: str) -> dict[str, Any]:
        """Of a cell's timings: the answers', which prompts are timed, at what fixed length, and the very chip."""
        return {
            "answers": digest(self.answers(cell, checkpoint)),
            "prompts": self.suite.evaluation.latency_prompts,
            "warmup": self.suite.evaluation.latency_warmup,
            # only where it is set: without a fixed length no timing needs another key
            **({"tokens": fixed} if (fixed := self.suite.evaluation.latency_tokens) else {}),
            **({"fast": True} if self.suite.evaluation.latency_fast else {}),
            "device_name": self.runtime.device_name,
            "threads": self.runtime.threads,
            "workers": self.runtime.workers,
            "code": _TIMING_CODE,
        }

    def record(self, cell: Cell, checkpoint: str, sweep: dict[str, Any] | None = None) -> dict[str, Any]:
        """Of a record: the timings', what names its cell and its items, its curve, the code and embedder that score.

        Where its learning rate was chosen, the record tells of that ``sweep``, and so does its key.
        """
        task = get_task(cell.eval_task)
        names = [row.get("id") for row in self.rows.test(task)]
        timings = digest(self.timings(cell, checkpoint))
        data = self.suite.data.source
        return {
            "id": cell.id,
            "data": data,
            "recipe": None if cell.is_base else self.suite.recipe_for(cell.method).name,
            "curve": [] if cell.is_base else list(self.suite.evaluation.epochs),
            "items": digest(names),
            "timings": timings,
            **({} if sweep is None else {"sweep": digest(sweep)}),
            "embedder": self.embedder.material(task),
            "code": _RECORD_CODE,
        }

    def trivial(self, task: Task) -> dict[str, Any]:
        """Of the trivial answerers' scores: the rendered rows, what scores them, and the machine."""
        taught = self.train_rows(task.name) if self.rows.trivially_taught(task) else None
        rows, embedder = self.test_rows(task.name), self.embedder.material(task)
        return {"rows": rows, "taught": taught, "embedder": embedder, "code": _RECORD_CODE, **self._machine()}

    def train_rows(self, task_name: str) -> str:
        """A digest of a task's training rows as they are rendered."""
        return self._rows_digest(task_name, "train")

    def test_rows(self, task_name: str) -> str:
        """A digest of a task's test rows as they are rendered, golds included."""
        return self._rows_digest(task_name, "test")

    def items(self, task_name: str) -> str:
        """A digest of a task's test items as they are scored: their ids and gold answers, in whatever words asked."""
        task = get_task(task_name)
        return digest([[row.get("id"), task.target(row), task.further_golds(row)] for row in self.rows.test(task)])

    def prompts(self, task_name: str) -> str:
        """A digest of a task's test prompts, before a chat template renders them."""
        task = get_task(task_name)
        return digest([task.messages(row) for row in self.rows.test(task)])

    def _rows_digest(self, task_name: str, split: str) -> str:
        if (task_name, split) not in self._digests:
            task = get_task(task_name)
            read = {"train": self.rows.train, "validation": self.rows.validation, "test": self.rows.test}[split]
            # every gold answer counts, not only the one trained on
            material = [[task.messages(row), task.target(row), task.further_golds(row)] for row in read(task)]
            self._digests[task_name, split] = digest(material)
        return self._digests[task_name, split]

    def _machine(self) -> dict[str, Any]:
        """What of the machine decides which numbers come out.

        The chip isn't in it, so that a cache serves a mixed fleet: a record names the one it was made on.
        """
        return {"device": self.runtime.device, "dtype": self.runtime.dtype, "versions": self.runtime.versions}

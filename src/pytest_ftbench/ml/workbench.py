"""Runs the cells of a suite: finds or trains the checkpoint, answers, times, scores, and leaves the record.

Everything made on the way is an entry of the store: ``trials`` of learning rates, ``checkpoints``, ``answers``,
``timings``, ``records``, what the ``hygiene`` of rows found, and an embedder's scores of ``trivial`` answerers. An
interrupted suite continues where it stopped, and one that is complete loads no model at all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ftbench.grid import (
    Cell,
    CellRecord,
    CheckpointKey,
    DivergedError,
    FailedBeforeError,
    Failure,
    Recipe,
    ShortageError,
    Suite,
    TimeUpError,
    schema,
)
from pytest_ftbench.ml.base import BaseModel, find_base, live_dtype
from pytest_ftbench.ml.checkpoint import Checkpoint, load_decoder
from pytest_ftbench.ml.desk import Desk, Say
from pytest_ftbench.ml.embedder import Embedder
from pytest_ftbench.ml.engine import Engines, check_engine
from pytest_ftbench.ml.hygiene import Hygiene
from pytest_ftbench.ml.latency import PROTOCOL, strided
from pytest_ftbench.ml.material import Materials
from pytest_ftbench.ml.memory import free
from pytest_ftbench.ml.model_files import pickled
from pytest_ftbench.ml.outlay import Outlay, told
from pytest_ftbench.ml.probe import probe_prompts
from pytest_ftbench.ml.prompts import Renderer
from pytest_ftbench.ml.record import assemble, learning_curve
from pytest_ftbench.ml.remedies import for_answering, stored_bytes
from pytest_ftbench.ml.rows import RowSource
from pytest_ftbench.ml.runtime import Runtime
from pytest_ftbench.ml.stored import read_entry
from pytest_ftbench.ml.sweep import Sweeps
from pytest_ftbench.ml.timing import timed_alone
from pytest_ftbench.ml.trainer import Trainer, checkpoint_name
from pytest_ftbench.store import MachineLock, Store, Trail, digest, write_json
from pytest_ftbench.tasks import Task, get_task

if TYPE_CHECKING:
    from pytest_ftbench.ml.generate import Decoder


class Workbench:
    """The suite's cells on this machine. With ``fresh_timings`` stored timings are not taken, but measured anew.

    Whatever it computes it does in turn with the ``machine``'s other processes, and times alone. ``say`` is given lines
    of progress, ``doing`` what takes a while and tells nothing itself. By its ``trail`` it knows which trainings ended
    another process of this run.
    """

    def __init__(
        self,
        suite: Suite,
        store: Store,
        runtime: Runtime,
        say: Say = print,
        fresh_timings: bool = False,
        machine: MachineLock | None = None,
        doing: Say = lambda _: None,
        trail: Trail | None = None,
        rows: RowSource | None = None,
    ) -> None:
        self.suite = suite
        self.store = store
        self.runtime = runtime
        self.say = say
        self.doing = doing
        self.fresh_timings = fresh_timings
        self.machine = machine or MachineLock(say)
        self.trail = trail or Trail()
        check_engine(suite.evaluation.engine)
        self.engines = Engines(suite.evaluation.engine)
        self.desk = Desk(runtime, self.machine, say, doing, suite.quantizes, self.engines)
        self.rows = rows or RowSource.of(suite)
        self.embedder = Embedder(suite.evaluation.embedder, runtime)
        self.materials = Materials(suite, runtime, self.rows, self.embedder)
        self.hygiene = Hygiene(suite, self.rows, store, self.machine)
        self.trainer = Trainer(suite, self.rows, self.embedder, self.desk)
        self.sweeps = Sweeps(suite, store, self.materials, say, self._attempt)
        self._bases: dict[str, BaseModel] = {}
        self._timed: dict[str, dict[str, Any]] = {}
        self._failed: dict[CheckpointKey, Failure] = {}
        self._trivial: dict[str, dict[str, dict[str, float | None]]] = {}
        self._answering_level: int | None = None
        self._ready: tuple[tuple[str, str | None, str | None], Decoder] | None = None

    def base(self, name: str) -> BaseModel:
        """The base model of that name in the suite."""
        if name not in self._bases:
            self._bases[name] = base = find_base(self.suite.model(name))
            if unread := pickled(base.folder):
                self.say(f"{base.folder}: {', '.join(unread)[:200]} may be pickled and is not opened")
        return self._bases[name]

    def checkpoint(self, key: CheckpointKey) -> Checkpoint:
        """The checkpoint of that key, trained now if the store hasn't got it; how it is quantized later is all one."""
        key = key._replace(quantization=None)
        base = self.base(key.model)
        if key.train_task is None:
            return Checkpoint(base, digest(self.materials.checkpoint(key, base)))
        if key in self._failed:
            raise FailedBeforeError(checkpoint_name(key), "training", self._failed[key])
        recipe = self.sweeps.recipe(key, base)
        material = self.materials.checkpoint(key, base, recipe)
        try:
            folder = self.store.get("checkpoints", material, lambda empty: self._train(key, base, recipe, empty))
        except (Exception, TimeUpError) as error:
            # the cells that share it need not train it to the same end; the error itself would hold on to the model
            self._failed[key] = Failure.of(error)
            raise
        return Checkpoint(base, digest(material), folder, read_entry(folder / "train.json", schema.TRAIN))

    def measure(self, cell: Cell) -> CellRecord:
        """The record of a cell, made of whatever the store already holds."""
        # what can't be scored, or tuned, need not be trained for
        self.sweeps.check()
        self.embedder.check(get_task(cell.eval_task))
        self.trivial(cell.eval_task)
        self.hygiene.fits(cell, self.base(cell.model))
        if self.fresh_timings:
            checkpoint = self.checkpoint(cell.checkpoint_key)
            if cell.id not in self._timed:
                self._timed[cell.id] = self._time(cell, checkpoint)
            return self._record(cell, checkpoint, self._timed[cell.id])

        def build(folder: Path) -> None:
            checkpoint = self.checkpoint(cell.checkpoint_key)
            record = self._record(cell, checkpoint, self._stored_timings(cell, checkpoint))
            write_json(folder / "record.json", record.to_json())

        # a stored record spares finding, and so verifying, a checkpoint of gigabytes
        base = self.base(cell.model)
        recipe = None if cell.is_base else self.sweeps.recipe(cell.checkpoint_key, base)
        key = digest(self.materials.checkpoint(cell.checkpoint_key, base, recipe))
        sweep = self.sweeps.told(cell.checkpoint_key, base)
        folder = self.store.get("records", self.materials.record(cell, key, sweep), build)
        return CellRecord.from_json(read_entry(folder / "record.json", schema.RECORD), folder)

    def time_again(self, cell: Cell) -> CellRecord:
        """The record of a cell with timings of its own, which nobody else is given."""
        checkpoint = self.checkpoint(cell.checkpoint_key)
        return self._record(cell, checkpoint, self._time(cell, checkpoint))

    def trivial(self, task_name: str) -> dict[str, dict[str, float | None]]:
        """What answerers that read nothing score on a task's test rows."""
        if task_name not in self._trivial:
            task = get_task(task_name)
            if self.embedder.fitted(task) is task:
                self._trivial[task_name] = self._trivial_scores(task)
            else:  # kept, so that a suite that is complete loads no embedder either
                folder = self.store.get(
                    "trivial",
                    self.materials.trivial(task),
                    lambda empty: write_json(empty / "scores.json", self._trivial_scores(self.embedder.fitted(task))),
                )
                self._trivial[task_name] = read_entry(folder / "scores.json", schema.Keys({}, schema.SCORES))
        return self._trivial[task_name]

    def _trivial_scores(self, task: Task) -> dict[str, dict[str, float | None]]:
        rows = self.rows.test(task)
        with self.machine.shared():
            outputs = task.trivial(rows, self.rows.trivially_taught(task))
            return {name: task.score(outputs[name], rows)["scores"] for name in outputs}

    def close(self) -> None:
        """Leave nothing of this suite on the device."""
        self._ready = None
        self.engines.release()
        free(self.runtime)

    def _train(self, key: CheckpointKey, base: BaseModel, recipe: Recipe, folder: Path) -> None:
        self.close()
        name = checkpoint_name(key)
        try:
            with self.trail.work(name, self.suite.place):
                self.trainer.train(key, base, recipe, folder, name)
        except DivergedError as error:
            raise self.sweeps.explained(key, recipe, error) from error

    def _attempt(self, key: CheckpointKey, recipe: Recipe, folder: Path, place: str) -> dict[str, Any]:
        self.close()
        with self.trail.work(place, self.suite.place):
            return self.trainer.attempt(key, self.base(key.model), recipe, folder, place)

    @contextmanager
    def _answering(self, cell: Cell, checkpoint: Checkpoint) -> Iterator[None]:
        """Compute answers in the block; where they have no room, the model is off the device for the next cell."""
        weights = stored_bytes(checkpoint.base, self.runtime, cell.quantization)
        outlay = Outlay.begun(self.runtime, weights, None if self._ready is None else self._ready[1].model)
        try:
            with told(cell.id, outlay, partial(for_answering, self.suite.evaluation, self.runtime)):
                yield
        except ShortageError:
            self.close()
            raise
        except DivergedError as error:
            if checkpoint.train is None:
                raise
            fix = "lower the learning rate or use a wider --ftbench-dtype"
            raise DivergedError(f"{cell.id}, tuned", error.problem, fix) from error

    def _record(self, cell: Cell, checkpoint: Checkpoint, timed: dict[str, Any]) -> CellRecord:
        task, base = get_task(cell.eval_task), checkpoint.base
        provenance = {
            "checkpoint": checkpoint.key,
            "weights": checkpoint.weights,
            "base": checkpoint.base.fingerprint,
            "data": self.suite.data.source,
            "train_rows": None if cell.train_task is None else self.materials.train_rows(cell.train_task),
            "test_rows": self.materials.test_rows(cell.eval_task),
            "items": self.materials.items(cell.eval_task),
            "prompts": self.materials.prompts(cell.eval_task),
            "reasoning": self.suite.evaluation.reasoning,
            "recipe": None if cell.is_base else self.sweeps.recipe(cell.checkpoint_key, base).as_dict(),
            "sweep": self.sweeps.told(cell.checkpoint_key, base),
            "adapter": self.suite.adapter_form(cell.method, cell.quantization),
            "device_name": self.runtime.device_name,
            "timed_as": PROTOCOL,
            "batch_size": self.suite.evaluation.batch_size,
            "max_new_tokens": self.suite.evaluation.max_new_tokens,
            **self.embedder.provenance(task),
            **self.hygiene.provenance(cell, checkpoint.base),
        }
        answered = self._answers(cell, checkpoint)
        is_curve = bool(self.suite.evaluation.epochs) and not cell.is_base
        on_the_way = list(self._answers_on_the_way(cell, checkpoint)) if is_curve else []
        self.doing(f"{cell.id}: scoring")
        with self.machine.shared():
            fitted, rows = self.embedder.fitted(task), self.rows.test(task)
            record = assemble(cell, fitted, rows, checkpoint.train, answered, timed, provenance)
            if is_curve:
                record.curve = learning_curve(record, fitted, rows, checkpoint.points, on_the_way)
        return record

    def _answers_on_the_way(self, cell: Cell, checkpoint: Checkpoint) -> Iterator[dict[str, Any]]:
        """What each snapshot of the training answers; one model is on the device at a time."""
        *snapshots, end = checkpoint.points
        for epoch in (point["epoch"] for point in snapshots):
            yield self._answers(cell, checkpoint.snapshot(epoch), f"epoch {epoch} of {end['epoch']:g}")

    def _answers(self, cell: Cell, checkpoint: Checkpoint, stage: str = "") -> dict[str, Any]:
        """The checkpoint's answers; ``stage`` says of a snapshot which it is."""

        def build(folder: Path) -> None:
            place = f"{cell.id}: {stage}, " if stage else f"{cell.id}: "
            with self._answering(cell, checkpoint), self.desk.computing():
                decoder = self._decoder(cell, checkpoint)
                prompts = self._prompts(cell, decoder)
                self.doing(f"{place}answering {len(prompts)} questions")
                size, give_way = self.suite.evaluation.batch_size, self.machine.give_way
                answers = decoder.answers(prompts, size, lambda line: self.say(place + line), give_way)
            value = {
                "answers": [answer.as_dict() for answer in answers],
                "dtype": live_dtype(decoder.model.parameters()),
                "template": digest(decoder.tokenizer.chat_template),
                "merge": decoder.merge,
                "engine": decoder.told,
            }
            write_json(folder / "answers.json", value)
            if stage:
                self.say(f"{cell.id}: {stage} answered")

        folder = self.store.get("answers", self.materials.answers(cell, checkpoint.key), build)
        answered: dict[str, Any] = read_entry(folder / "answers.json", schema.ANSWERS)
        return answered

    def _stored_timings(self, cell: Cell, checkpoint: Checkpoint) -> dict[str, Any]:
        def build(folder: Path) -> None:
            write_json(folder / "timings.json", self._time(cell, checkpoint))

        folder = self.store.get("timings", self.materials.timings(cell, checkpoint.key), build)
        timed: dict[str, Any] = read_entry(folder / "timings.json", schema.TIMINGS)
        return timed

    def _time(self, cell: Cell, checkpoint: Checkpoint) -> dict[str, Any]:
        evaluation = self.suite.evaluation
        if not evaluation.latency_prompts:
            return {"samples": [], "ttft": [], "tokens": [], "peak_memory_gib": {}}

        def say(line: str) -> None:
            self.say(f"{cell.id}: {line}")

        with self._answering(cell, checkpoint):
            with self.desk.computing():
                decoder = self._decoder(cell, checkpoint)
                prompts = self._prompts(cell, decoder)
                self.engines.release()  # what they keep is no part of the memory that is measured
            some = [prompts[index] for index in strided(len(prompts), evaluation.latency_prompts)]
            self.doing(f"{cell.id}: timing {len(some)} answers")
            return timed_alone(self.desk, decoder, some, evaluation, self._answering_level, say)

    def _prompts(self, cell: Cell, decoder: "Decoder") -> list[str]:
        task = get_task(cell.eval_task)
        renderer = Renderer(decoder.tokenizer, self.suite.evaluation.reasoning)
        return [renderer.prompt(task.messages(row)) for row in self.rows.test(task)]

    def _decoder(self, cell: Cell, checkpoint: Checkpoint) -> "Decoder":
        """The cell's model on the device; it stays there for the next cell, and only one does."""
        form = self.suite.adapter_form(cell.method, cell.quantization)
        wanted = checkpoint.key, form, cell.quantization
        if self._ready is None or self._ready[0] != wanted:
            self.doing(f"{cell.id}: loading the model")
            self._ready = None
            if self.runtime.device == "cpu":  # where what is kept would be part of the level
                self.engines.release()
            free(self.runtime)
            self._answering_level = self.desk.level("transformers", "peft")
            longest = self.suite.evaluation.max_new_tokens
            probes = probe_prompts(checkpoint.base, cell, self.rows, self.suite.evaluation.reasoning) if form else []
            decoder = load_decoder(checkpoint, self.runtime, longest, form, cell.quantization, probes, self.engines)
            self._ready = wanted, decoder
        return self._ready[1]

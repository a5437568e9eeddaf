"""Trains the checkpoints of a suite, and tries ways of tuning at learning rates to choose from."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ftbench.grid import CheckpointKey, DivergedError, Recipe, Suite
from pytest_ftbench.ml.base import BaseModel, load_tokenizer, load_weights
from pytest_ftbench.ml.checkpoint import Checkpoint, load_decoder
from pytest_ftbench.ml.context import row_length
from pytest_ftbench.ml.desk import Desk
from pytest_ftbench.ml.embedder import Embedder
from pytest_ftbench.ml.finite import check_base
from pytest_ftbench.ml.judge import judge
from pytest_ftbench.ml.memory import peak_memory
from pytest_ftbench.ml.outlay import Outlay, told
from pytest_ftbench.ml.prompts import Example, Renderer, training_examples
from pytest_ftbench.ml.remedies import check_room, for_answering, for_training, stored_bytes
from pytest_ftbench.ml.rows import RowSource
from pytest_ftbench.ml.sft import Training
from pytest_ftbench.ml.sweep import way_name
from pytest_ftbench.ml.targets import trained_on
from pytest_ftbench.store import write_json
from pytest_ftbench.tasks import Task, get_task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Trainer:
    """The trainings of one suite. Nothing else may be on the device while it trains."""

    def __init__(self, suite: Suite, rows: RowSource, embedder: Embedder, desk: Desk) -> None:
        self.suite = suite
        self.rows = rows
        self.embedder = embedder
        self.desk = desk
        self._tokenised: tuple[tuple[str, str, int], tuple[list[Example], int]] | None = None

    def attempt(self, key: CheckpointKey, base: BaseModel, recipe: Recipe, folder: Path, place: str) -> dict[str, Any]:
        """Train a way at one learning rate, and judge it on its validation rows as its cells are judged on theirs."""
        task, evaluation, desk = get_task(str(key.train_task)), self.suite.evaluation, self.desk
        self.embedder.check(task)
        facts = self.train(key, base, recipe, folder, place, is_trial=True)
        desk.doing(f"{place}: answering")
        outlay = Outlay.begun(desk.runtime, stored_bytes(base, desk.runtime, key.quantization))
        with told(place, outlay, partial(for_answering, evaluation, desk.runtime)), desk.computing():
            form = self.suite.adapter_form(key.method, key.quantization)
            trained = Checkpoint(base, "", folder, facts)
            longest, engines = evaluation.max_new_tokens, desk.engines
            decoder = load_decoder(trained, desk.runtime, longest, form, key.quantization, engines=engines)
            fitted, rows = self.embedder.fitted(task), self.rows.validation(task)
            found = judge(decoder, fitted, rows, evaluation, recipe, desk.runtime, desk.machine.give_way)
        return {**found, "seconds": facts["seconds"] + found["seconds"], "tokens": facts["tokens"]}

    def train(
        self, key: CheckpointKey, base: BaseModel, recipe: Recipe, folder: Path, name: str, is_trial: bool = False
    ) -> dict[str, Any]:
        """Train into a folder, called by a name in progress lines; how it went. A trial keeps no snapshots."""
        from pytest_ftbench.ml.adapters import peft_config
        from pytest_ftbench.ml.train import train

        assert key.train_task is not None
        desk, task = self.desk, get_task(key.train_task)
        desk.doing(f"{name}: getting ready to train")
        with desk.computing(), peak_memory(desk.runtime, desk.level("trl", "peft")) as peak:
            tokenizer = load_tokenizer(base.folder)
            examples, left_out = self._examples(tokenizer, base, task, recipe)
            if not is_trial:
                too_long = f", {left_out} are too long" if left_out else ""
                desk.say(f"{name}: training on {len(examples)} rows{too_long}")
            method = self.suite.method(key.method)
            adapter = peft_config(method, key.rank, recipe.steps(len(examples)))
            snapshots = self.suite.snapshot_epochs(key.method) if not is_trial else ()
            training = Training(examples, recipe, adapter, key.seed, snapshots, method.trained_on, self.suite.planning)
            say, give_way = lambda line: desk.say(f"{name}: {line}"), desk.machine.give_way
            tokens = round(recipe.num_train_epochs * sum(len(example.input_ids) for example in examples))
            outlay = Outlay.begun(desk.runtime, stored_bytes(base, desk.runtime, method.trained_on))
            check_room(name, base, method, recipe, desk.runtime)
            try:
                with told(name, outlay, partial(for_training, method, recipe, desk.runtime)):
                    model = load_weights(base.folder, desk.runtime, method.trained_on)
                    check_base(model, base)
                    # nobody asks for a trial's memory
                    read_peak = None if is_trial else peak
                    facts = train(model, tokenizer, training, desk.runtime, folder, say, give_way, read_peak, outlay)
            except DivergedError as error:
                error.tokens = round(error.share * tokens)
                raise
        facts |= {"tokens": tokens, "rows_left_out": left_out}
        facts |= trained_on(examples, tokenizer)
        if not is_trial:
            desk.say(f"{name}: trained in {facts['seconds']:.1f} s, last loss {facts['final_loss']:.3f}")
            desk.doing(f"{name}: storing the checkpoint")
        write_json(folder / "train.json", facts)
        return facts

    def _examples(
        self, tokenizer: "PreTrainedTokenizerBase", base: BaseModel, task: Task, recipe: Recipe
    ) -> tuple[list[Example], int]:
        """A task's training examples, and how many rows are too long; kept for the next training on the same ones.

        The trials and the seeds of a way come one after the other. The level that memory is measured from has them.
        """
        longest = row_length(base.folder, recipe.max_length)
        wanted = base.fingerprint, task.name, longest
        if self._tokenised is None or self._tokenised[0] != wanted:
            renderer = Renderer(tokenizer, self.suite.evaluation.reasoning)
            self._tokenised = wanted, training_examples(renderer, task, self.rows.train(task), longest)
        return self._tokenised[1]


def checkpoint_name(key: CheckpointKey) -> str:
    """What progress lines call a checkpoint: the id of its cells without their eval task."""
    return way_name(key) + (f"-s{key.seed}" if key.seed else "")

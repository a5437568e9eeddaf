"""Reads a suite file. Whatever is wrong in it is said in one sentence that names the file, the key and the fix.

An example with every key, of which all but ``[models]``, ``[methods]`` and ``[tasks]`` are optional; the defaults are
those of the dataclasses in ``suite``, ``recipe`` and ``methods``::

    name = "mine"                                  # the file's stem
    seeds = [0]
    quantizations = ["none"]                       # nf4, int8: the same models with quantized weights
    device = "auto"                                # cpu, cuda, cuda:1
    dtype = "auto"                                 # bfloat16 on CUDA, float32 on CPU
    recipe = "published"                           # "tuned", or a table: recipe_table, for [sweep] as well
    planning = "auto"                              # trainings computed our way: on (also on a GPU), off
    cell_timeout = 3600                            # seconds that a cell may take, waiting for others not counted
    questions = ["does-rank-matter"]               # what the report is to answer, Q1 first: more in questions

    [models]
    small = "Qwen/Qwen3-0.6B"
    big = { source = "Qwen/Qwen3-1.7B", revision = "main", methods = ["base"] }

    [methods]
    base = {}
    nopeft = {}
    lora = { ranks = [8, 64], lora_alpha = 16, recipe = { learning_rate = 1e-4 } }   # more: method_table
    qlora = { ranks = [8], quantizations = ["none", "nf4"] }

    [tasks]
    train = ["arc", "squad"]
    eval = ["arc", "openmath", "squad"]

    [data]
    source = "folder/of/parquet"                   # or "hub", or "embedded"
    train_samples = 1000
    test_samples = 200
    hub.squad = { id = "rajpurkar/squad_v2", revision = "main" }

    [evaluation]
    max_new_tokens = 1000
    batch_size = 32
    reasoning = "off"                              # on, off, unlocked (the template's own default)
    latency_prompts = 20
    latency_warmup = 2
    latency_tokens = 64                            # times each prompt again for exactly so many new tokens
    latency_fast = false                           # true times them by recorded steps as well, where there is a GPU
    engine = "auto"                                # who answers; or "plain" (generate() in batches), "vllm"
    embedder = "bag-of-words"                      # or a sentence-transformers model for facts: a folder, a Hub id
    adapters = "merged"                            # or "unmerged"
    quantized_adapters = "as trained"              # or "unmerged", "requantized", where weights are quantized
    epochs = []                                    # [3, 10] tests after these epochs as well: learning curves

    [checks]
    format_rate = 0.9                              # a threshold of the validity checks: more in thresholds
    off = ["V01"]                                  # these aren't checked

    [gate.score]                                   # what a run may not become worse in: more in gate_table
    floor = 60
"""

import math
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pytest_ftbench.grid.checks import LARGEST_SEED
from pytest_ftbench.grid.errors import UserError, first_line, suggestion
from pytest_ftbench.grid.gate_table import GateTable
from pytest_ftbench.grid.method_table import MethodTable
from pytest_ftbench.grid.questions import QUESTIONS
from pytest_ftbench.grid.shown import shown
from pytest_ftbench.grid.suite import (
    ADAPTERS,
    ENGINES,
    PLANNING,
    QUANTIZED_ADAPTERS,
    REASONING,
    DataSpec,
    EvaluationSpec,
    HubSource,
    ModelSpec,
    Suite,
)

_TOP = {
    "name",
    "seeds",
    "quantizations",
    "device",
    "dtype",
    "recipe",
    "sweep",
    "models",
    "methods",
    "tasks",
    "data",
    "evaluation",
    "checks",
    "questions",
    "gate",
    "planning",
    "cell_timeout",
}


def load_suite(path: Path, tasks: Collection[str]) -> Suite:
    """The suite in a TOML file, where ``tasks`` are the names of the tasks there are.

    Raises :class:`UserError` for whatever is wrong with the file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(path, "is not UTF-8 text", "save it as UTF-8") from None
    except (OSError, ValueError) as error:  # there is no path with a NUL in it
        raise UserError(path, f"can't be read ({getattr(error, 'strerror', error)})", "name a suite file") from None
    try:
        value = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        raise UserError(path, f"is not valid TOML ({error})", "correct that line") from None
    reader = _Reader(path)
    suite = reader.suite(value, tasks)
    suite.cells()
    reader.trained(suite)
    suite.check_sweep()
    return suite


class _Reader(MethodTable, GateTable):
    """Turns parsed TOML into the dataclasses, knowing the file for its messages."""

    def suite(self, value: Mapping[str, Any], tasks: Collection[str]) -> Suite:
        self.known("", value, _TOP)
        for key in ("models", "methods", "tasks"):
            if key not in value:
                raise self.fail(f"[{key}]", "is missing", f"add a table [{key}]")
        task_table = self.table("tasks", value["tasks"])
        self.known("tasks", task_table, {"train", "eval"})
        recipe, tuned = self.recipe(value.get("recipe", "published"))
        methods = tuple(self.method(name, spec) for name, spec in self.table("methods", value["methods"]).items())
        return Suite(
            name=self.typed("name", value.get("name", self.path.stem), str),
            place=self.path,
            models=tuple(
                self.model(name, spec, {method.name for method in methods})
                for name, spec in self.table("models", value["models"]).items()
            ),
            methods=methods,
            train_tasks=self.task_names("tasks.train", task_table.get("train", []), tasks),
            eval_tasks=self.task_names("tasks.eval", task_table.get("eval", []), tasks),
            seeds=self.seeds(value.get("seeds", [0])),
            quantizations=self.quantizations("quantizations", value.get("quantizations")) or (None,),
            recipe=recipe,
            tuned=tuned,
            sweep=self.sweep(self.table("sweep", value.get("sweep", {}))),
            data=self.data(self.table("data", value.get("data", {})), tasks),
            evaluation=self.evaluation(self.table("evaluation", value.get("evaluation", {}))),
            checks=self.thresholds(self.table("checks", value.get("checks", {}))),
            device=self.device(value.get("device", "auto")),
            dtype=self.choice("dtype", value.get("dtype", "auto"), ("auto", "float32", "bfloat16")),
            questions=self.questions(value.get("questions", [])),
            gate=self.gate(value["gate"]) if "gate" in value else None,
            planning=self.choice("planning", value.get("planning", PLANNING[0]), PLANNING),
            cell_timeout=self.cell_timeout(value.get("cell_timeout")),
        )

    def cell_timeout(self, value: Any) -> float | None:
        if value is not None and (type(value) not in (int, float) or not 0 < value < math.inf):
            raise self.fail("cell_timeout", f"is {value!r}", "give seconds, a number above 0")
        return None if value is None else float(value)

    def questions(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise self.fail("questions", f"is {shown(value)}", 'give a list of names, as in ["does-rank-matter"]')
        for name in value:
            if name not in QUESTIONS:
                raise self.fail("questions", f"names {shown(name)}", suggestion(name, QUESTIONS))
        if len(set(value)) < len(value):
            raise self.fail("questions", "names one twice", "name each once")
        return tuple(value)

    def model(self, name: str, value: Any, methods: Collection[str]) -> ModelSpec:
        key = f"models.{name}"
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
            raise self.fail(key, "is no name for an id", "use lower-case letters, digits, '.', '_' and '-'")
        if isinstance(value, str):
            return ModelSpec(name, self.resolve(key, value))
        table = self.table(key, value)
        self.known(key, table, {"source", "revision", "methods"})
        if "source" not in table:
            raise self.fail(f"{key}.source", "is missing", "name a folder, a Hub id or embedded:NAME")
        limited = table.get("methods")
        if limited is not None:
            for method in self.names(f"{key}.methods", limited):
                if method not in methods:
                    raise self.fail(f"{key}.methods", f"names {shown(method)}", suggestion(method, methods))
        return ModelSpec(
            name,
            self.resolve(f"{key}.source", self.typed(f"{key}.source", table["source"], str)),
            self.typed(f"{key}.revision", table.get("revision"), str | None),
            None if limited is None else tuple(limited),
        )

    def seeds(self, value: Any) -> tuple[int, ...]:
        if not isinstance(value, list) or not value or not all(type(seed) is int and seed >= 0 for seed in value):
            raise self.fail("seeds", f"is {shown(value)}", "give a list of whole numbers, as in [0, 1, 2]")
        if max(value) > LARGEST_SEED:
            raise self.fail("seeds", f"names {shown(max(value))}", f"give seeds of at most {LARGEST_SEED}")
        return tuple(value)

    def device(self, value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
            raise self.fail("device", f"is {shown(value)}", "give auto, cpu, cuda or cuda:N")
        return value

    def data(self, table: Mapping[str, Any], tasks: Collection[str]) -> DataSpec:
        hub = {}
        for task, value in self.table("data.hub", table.get("hub", {})).items():
            if task not in tasks:
                raise self.fail(f"data.hub.{task}", "is no task", suggestion(task, tasks))
            source = {"id": value} if isinstance(value, str) else self.table(f"data.hub.{task}", value)
            self.fields_of(f"data.hub.{task}", HubSource, source)
            if "id" in source:
                source = {**source, "id": self.resolve(f"data.hub.{task}.id", source["id"])}
            hub[task] = HubSource(**source)
        rest = {key: value for key, value in table.items() if key != "hub"}
        self.fields_of("data", DataSpec, rest, also={"hub"})
        if rest.get("source", "embedded") not in ("embedded", "hub"):
            rest["source"] = self.resolve("data.source", rest["source"], folder=True)
        return DataSpec(**rest, hub=hub)

    def evaluation(self, table: Mapping[str, Any]) -> EvaluationSpec:
        rest = {key: value for key, value in table.items() if key != "epochs"}
        self.fields_of("evaluation", EvaluationSpec, rest, also={"epochs"})
        self.choice("evaluation.reasoning", table.get("reasoning", "unlocked"), REASONING)
        self.choice("evaluation.adapters", table.get("adapters", ADAPTERS[0]), ADAPTERS)
        self.choice("evaluation.engine", table.get("engine", ENGINES[0]), ENGINES)
        self.choice(
            "evaluation.quantized_adapters", table.get("quantized_adapters", QUANTIZED_ADAPTERS[0]), QUANTIZED_ADAPTERS
        )
        embedder = self.embedder(table.get("embedder", EvaluationSpec.embedder))
        epochs = self.epochs("evaluation.epochs", table.get("epochs", []))
        return EvaluationSpec(**{**rest, "embedder": embedder, "epochs": epochs})

    def embedder(self, source: str) -> str:
        key, none = "evaluation.embedder", EvaluationSpec.embedder
        found = source if source in (none, "") else self.resolve(key, source)
        if found != none and "/" not in found:
            raise self.fail(key, f"is {shown(source)}", f"give {none}, a folder, or a Hub id as in OWNER/NAME")
        return found

    def epochs(self, key: str, value: Any) -> tuple[int, ...]:
        whole = isinstance(value, list) and all(type(epoch) is int and epoch > 0 for epoch in value)
        if not whole or value != sorted(set(value)):
            raise self.fail(key, f"is {shown(value)}", "give ascending whole numbers above 0, as in [3, 10, 30]")
        return tuple(self.typed(key, epoch, int) for epoch in value)

    def trained(self, suite: Suite) -> None:
        """Check that every method trains as long as it is to be tested."""
        last = max(suite.evaluation.epochs, default=0)
        for method in suite.methods:
            epochs = suite.recipe_for(method.name).num_train_epochs
            if method.method.trains and last > epochs:
                raise self.fail(
                    "evaluation.epochs",
                    f"names epoch {last}, but {method.name} trains for {epochs:g}",
                    "name none beyond it, or raise num_train_epochs in the recipe",
                )

    def resolve(self, key: str, source: str, folder: bool = False) -> str:
        """A path beside the suite file as a path from anywhere; what is no folder there stays as it is (a Hub id)."""
        try:
            path = self.path.parent / Path(source).expanduser()
            return str(path.resolve()) if folder or source.startswith((".", "~", "/")) or path.is_dir() else source
        except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL in it, no such user
            raise self.fail(key, f"is no path ({first_line(error)})", "name a folder") from None

    def task_names(self, key: str, value: Any, tasks: Collection[str]) -> tuple[str, ...]:
        for name in (names := self.names(key, value)):
            if name not in tasks:
                raise self.fail(key, f"names {shown(name)}", suggestion(name, tasks))
        return names

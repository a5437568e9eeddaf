"""A suite: the comparison as a value, and the cells it expands to. How a TOML file becomes one: ``suite_file``."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from pytest_ftbench.grid.cell import Cell, model_name
from pytest_ftbench.grid.errors import UserError
from pytest_ftbench.grid.gates import Gate
from pytest_ftbench.grid.methods import METHODS, PROMPTS, Method
from pytest_ftbench.grid.recipe import TUNED, Recipe
from pytest_ftbench.grid.sweep import SweepSpec
from pytest_ftbench.grid.thresholds import Thresholds

REASONING = ("on", "off", "unlocked")
PLANNING = ("on", "off")
"""Whether trainings are computed by a plan of our own, at the recipe's losses."""
ADAPTERS = ("merged", "unmerged")
"""How an adapter answers on a base in its own dtype: as a part of its weights, or beside them."""
QUANTIZED_ADAPTERS = ("as trained", "unmerged", "requantized")
"""How one answers on quantized weights: beside them, or merged into the base's own, which are quantized then; "as
trained" is beside those that it was trained on, requantized otherwise."""
UNQUANTIZED = "none"
"""The quantization that is none, in a suite file."""
ENGINES = ("auto", "plain", "vllm")
"""Who answers: the fastest engine that knows the model, Transformers' ``generate()``, or vLLM."""
BAG_OF_WORDS = "bag-of-words"
"""The embedder that is none: texts are compared by the words they share."""


@dataclass(frozen=True)
class ModelSpec:
    """A model of the suite: its name in ids, and ``source``, which is ``embedded:NAME``, a folder or a Hub id.

    ``methods`` limits the methods it takes part in (None: all); ``revision`` pins a Hub id.
    """

    name: str
    source: str
    revision: str | None = None
    methods: tuple[str, ...] | None = None


@dataclass(frozen=True)
class MethodSpec:
    """A method of the suite: its ranks (empty: it has none), its PEFT options, its changes to the suite's recipe.

    ``own`` is the method itself where the registry has none of that name. The base's weights are quantized to
    ``train_quantization`` (None: the method's own, if any) while it is trained; it is tested under ``quantizations``
    (None: the suite's), and ``adapters`` says how (None: as the suite does).
    """

    name: str
    ranks: tuple[int, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    own: Method | None = None
    train_quantization: str | None = None
    quantizations: tuple[str | None, ...] | None = None
    adapters: str | None = None

    @property
    def method(self) -> Method:
        """The method of the registry, or the suite's own."""
        return self.own or METHODS[self.name]

    @property
    def trained_on(self) -> str | None:
        """The quantization of the base's weights while it is trained."""
        return self.train_quantization or self.method.quantization


@dataclass(frozen=True)
class HubSource:
    """Where on the Hub a task's rows are, when that isn't the task's own default."""

    id: str | None = None
    config: str | None = None
    revision: str | None = None


@dataclass(frozen=True)
class DataSpec:
    """Which rows: ``source`` is ``embedded``, ``hub`` or a folder; sample counts are per task (None: all there are)."""

    source: str = "embedded"
    train_samples: int | None = None
    test_samples: int | None = 200
    hub: Mapping[str, HubSource] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluationSpec:
    """How answers are generated, timed and compared.

    ``latency_prompts`` are timed one by one (0: none are), and with ``latency_tokens`` again, each answer of exactly so
    many new tokens (None: at their natural length alone), and with ``latency_fast`` by recorded steps too.
    ``embedder`` compares texts where a task's score is a similarity: ``bag-of-words``, or a sentence-transformers
    model, by its folder or Hub id. ``epochs``, ascending, are
    those after which a checkpoint is tested beside its end: its learning curve (empty: none is made). ``adapters`` is
    one of ``ADAPTERS``, ``quantized_adapters`` of ``QUANTIZED_ADAPTERS``, ``engine`` of ``ENGINES``; ``batch_size`` is
    how many prompts the plain one answers at once.
    """

    max_new_tokens: int = 1000
    batch_size: int = 32
    reasoning: str = "unlocked"
    latency_prompts: int = 20
    latency_warmup: int = 2
    latency_tokens: int | None = None
    latency_fast: bool = False
    embedder: str = BAG_OF_WORDS
    epochs: tuple[int, ...] = ()
    adapters: str = ADAPTERS[0]
    quantized_adapters: str = QUANTIZED_ADAPTERS[0]
    engine: str = ENGINES[0]


@dataclass(frozen=True)
class Suite:
    """A whole comparison. ``place`` is the file it came from, for messages and relative paths.

    Where it is ``tuned``, ``sweep`` says how the learning rate of each way is chosen, around one that follows from the
    recipe's. ``questions`` are those that its report answers, by their names (empty: what its records can answer),
    ``gate`` is what it may not become worse in (None: it says nothing of that). ``planning`` is one of ``PLANNING``,
    ``cell_timeout`` how many seconds a cell may take (None: any).
    """

    name: str
    place: Path
    models: tuple[ModelSpec, ...]
    methods: tuple[MethodSpec, ...]
    train_tasks: tuple[str, ...]
    eval_tasks: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    quantizations: tuple[str | None, ...] = (None,)
    recipe: Recipe = field(default_factory=Recipe)
    tuned: bool = False
    sweep: SweepSpec = field(default_factory=SweepSpec)
    data: DataSpec = field(default_factory=DataSpec)
    evaluation: EvaluationSpec = field(default_factory=EvaluationSpec)
    checks: Thresholds = field(default_factory=Thresholds)
    device: str = "auto"
    dtype: str = "auto"
    questions: tuple[str, ...] = ()
    gate: Gate | None = None
    planning: str = PLANNING[0]
    cell_timeout: float | None = None

    def cells(self) -> list[Cell]:
        """Every valid cell, those of one checkpoint side by side.

        Raises :class:`UserError` for an empty grid and for two cells of one id.
        """
        cells = list(self._expand())
        if not cells:
            raise UserError(self.place, "the grid has no cell", "name at least one model, one method and one eval task")
        seen: set[Cell] = set()
        for cell in cells:
            if cell in seen:
                raise UserError(self.place, f"the cell {cell.id} is there twice", "name each rank, task and seed once")
            seen.add(cell)
        return cells

    def _expand(self) -> Iterator[Cell]:
        for model in self.models:
            methods = self.methods_of(model)
            for base in (method for method in methods if not method.method.trains):
                for quantization in self._quantizations(base):
                    for eval_task in self.eval_tasks:
                        yield Cell(model.name, base.name, eval_task, quantization=quantization)
            for train_task in self.train_tasks:
                for method in (method for method in methods if method.method.trains):
                    yield from self._tuned(model.name, train_task, method)

    def methods_of(self, model: ModelSpec) -> list[MethodSpec]:
        """The methods that a model takes part in."""
        return [method for method in self.methods if model.methods is None or method.name in model.methods]

    def _tuned(self, model: str, train_task: str, method: MethodSpec) -> Iterator[Cell]:
        """The cells of a model tuned one way on one task."""
        seeded = self.seeds != (0,)
        checkpoints = product(method.ranks or (None,), self.seeds, self._quantizations(method), self.eval_tasks)
        for rank, seed, quantization, eval_task in checkpoints:
            yield Cell(model, method.name, eval_task, train_task, rank, quantization, seed, seeded)

    def _quantizations(self, method: MethodSpec) -> tuple[str | None, ...]:
        return self.quantizations if method.quantizations is None else method.quantizations

    def quantizations_of(self, method: str) -> tuple[str | None, ...]:
        """What models tuned by a method are quantized to while they answer."""
        return self._quantizations(self.method(method))

    @property
    def quantizes(self) -> bool:
        """Whether any of its weights are quantized, in training or in answering."""
        asked = [quantization for method in self.methods for quantization in self._quantizations(method)]
        return any(asked) or any(method.trained_on for method in self.methods)

    def model(self, name: str) -> ModelSpec:
        """The model of that name."""
        return next(model for model in self.models if model.name == name)

    def method(self, name: str) -> MethodSpec:
        """The method of that name."""
        return next(method for method in self.methods if method.name == name)

    def adapter_form(self, method: str, quantization: str | None) -> str | None:
        """How an adapter of a method answers under a quantization: ``merged``, ``unmerged``, ``requantized``.

        None where there is no adapter.
        """
        spec = self.method(method)
        if spec.method.peft_type is None:
            return None
        if spec.method.peft_type in PROMPTS or (quantization and spec.adapters == "unmerged"):
            return "unmerged"
        if quantization is None:
            return spec.adapters or self.evaluation.adapters
        if self.evaluation.quantized_adapters in ("unmerged", "requantized"):
            return self.evaluation.quantized_adapters
        # what was trained on quantized weights was trained on their rounding too: rounding again would undo it
        return "unmerged" if spec.trained_on == quantization else "requantized"

    def recipe_for(self, method: str) -> Recipe:
        """The training recipe of one method: the suite's, with the method's own changes.

        Of a tuned one, the rate is the centre of the method's sweep: full fine-tuning's times what the method is known
        to need. Full fine-tuning's is the sweep's ``centre`` or, where it names none, the suite's rate; a method's own
        rate is its centre then.
        """
        spec = self.method(method)
        recipe = replace(self.recipe, **spec.recipe)
        if not self.tuned:
            return recipe
        centre = self.sweep.centre
        if centre is None and "learning_rate" in spec.recipe:
            return replace(recipe, name=TUNED)
        full = self.recipe.learning_rate if centre is None else centre
        return replace(recipe, name=TUNED, learning_rate=full * spec.method.rate_factor)

    @property
    def selection_seed(self) -> int:
        """The seed of the trainings that only choose a learning rate."""
        return self.sweep.seed_beside(self.seeds, self.place)

    def check_sweep(self) -> None:
        """Check that learning rates can be chosen, where they are to be.

        Raises :class:`UserError` where the seed to choose with is tested with, or a rate is none.
        """
        if self.tuned:
            self.sweep.seed_beside(self.seeds, self.place)
            for spec in (spec for spec in self.methods if spec.method.trains):
                self.sweep.check(self.recipe_for(spec.name).learning_rate, f"{self.place}: methods.{spec.name}")

    def snapshot_epochs(self, method: str) -> tuple[int, ...]:
        """The epochs whose weights are kept on the way to a method's last one, which is the checkpoint itself."""
        end = self.recipe_for(method).num_train_epochs
        return tuple(epoch for epoch in self.evaluation.epochs if epoch < end)

    def with_models(self, sources: list[str]) -> "Suite":
        """The suite over other models: each a name the suite has, a folder, or a Hub id.

        A folder or Hub id takes the place of the suite's first model and so its methods; a second one the place of
        the second, and so on.
        """
        mine = {model.source: model for model in self.models} | {model.name: model for model in self.models}
        models = []
        for index, source in enumerate(sources):
            if source in mine:
                models.append(mine[source])
                continue
            place = self.models[min(index, len(self.models) - 1)]
            models.append(ModelSpec(model_name(source), source, methods=place.methods))
        if len({model.name for model in models}) < len(models):
            names = ", ".join(model.name for model in models)
            raise UserError("--ftbench-model", f"two models share a name ({names})", "rename one of the folders")
        return replace(self, models=tuple(models))

"""Chooses learning rates: each way of tuning is tried at several, judged on validation rows, and takes the best.

A way is a model, a method, its rank and a train task; it is trained with one seed of the sweep's own, and the suite's
seeds are trained afresh at the rate that was chosen. Each trial is an entry of the store, ``trials``, that holds how it
was judged and no weights: a sweep that was interrupted goes on, and processes that make the same one share its trials.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from pytest_ftbench.grid import (
    CheckpointKey,
    DivergedError,
    FailedBeforeError,
    Failure,
    Recipe,
    Suite,
    Sweep,
    TimeUpError,
    Trial,
    UserError,
    schema,
)
from pytest_ftbench.ml.base import BaseModel
from pytest_ftbench.ml.material import Materials
from pytest_ftbench.ml.stored import read_entry
from pytest_ftbench.store import Store, write_json
from pytest_ftbench.tasks import Metric, get_task

Try = Callable[[CheckpointKey, Recipe, Path, str], dict[str, Any]]
"""Trains a way under a recipe into a folder and judges it: a trial's ``score``, ``loss``, ``seconds``, ``tokens``."""

Get = Callable[[str, Any, Callable[[Path], object]], Path | None]
"""How an entry of the store is asked for: waiting for who is at it, or not."""


class Sweeps:
    """The sweeps of a suite whose recipe is tuned; each is made when it is first asked for, by way of ``attempt``."""

    def __init__(
        self, suite: Suite, store: Store, materials: Materials, say: Callable[[str], None], attempt: Try
    ) -> None:
        self.suite = suite
        self.store = store
        self.materials = materials
        self.say = say
        self.attempt = attempt
        self._made: dict[CheckpointKey, Sweep] = {}
        self._failed: dict[CheckpointKey, Failure] = {}

    def check(self) -> None:
        """Check that there are rows to choose learning rates by; what is on the Hub is not looked at before.

        Raises :class:`UserError` where there are too few.
        """
        if self.suite.tuned:
            for name in self.suite.train_tasks:
                self.materials.rows.validation(get_task(name))

    def recipe(self, key: CheckpointKey, base: BaseModel) -> Recipe:
        """The recipe that a checkpoint is trained with: its method's, at the rate that its sweep chose."""
        recipe = self.suite.recipe_for(key.method)
        sweep = self.of(key, base)
        return recipe if sweep is None else replace(recipe, learning_rate=sweep.chosen)

    def of(self, key: CheckpointKey, base: BaseModel) -> Sweep | None:
        """The sweep of a checkpoint's way; None where nothing is trained, or the recipe isn't tuned.

        Raises :class:`UserError` where its training diverges at every rate.
        """
        if not self.suite.tuned or key.train_task is None:
            return None
        # however its cells are quantized, it is one training; it is judged the first way that they are
        quantization = self.suite.quantizations_of(key.method)[0]
        way = key._replace(quantization=quantization, seed=self.suite.selection_seed)
        if way in self._failed:
            raise FailedBeforeError(way_name(way), "sweep", self._failed[way])
        if way not in self._made:
            try:
                self._made[way] = self._make(way, base)
            except (Exception, TimeUpError) as error:
                # as with a checkpoint: its other cells need not try the same again
                self._failed[way] = Failure.of(error)
                raise
        return self._made[way]

    def explained(self, key: CheckpointKey, recipe: Recipe, error: DivergedError) -> UserError:
        """What is to be said where a checkpoint diverges: where its rate was chosen, by what, and what to do."""
        if not self.suite.tuned:
            return error
        return DivergedError(
            f"{way_name(key)}, seed {key.seed}",
            f"its training diverges at the rate that its sweep chose, {recipe.learning_rate:g} ({error.place}: "
            f"{error.problem}), though it did not with the sweep's seed, {self.suite.selection_seed}",
            f"lower sweep.factor, so that a rate nearby can be chosen, or {self._middle(key)}",
        )

    def _middle(self, key: CheckpointKey) -> str:
        """The key of the suite that decides where the sweep of a way lies."""
        if self.suite.sweep.centre is not None:
            return "sweep.centre"
        own = "learning_rate" in self.suite.method(key.method).recipe
        return f"methods.{key.method}.recipe.learning_rate" if own else "recipe.learning_rate (or give sweep.centre)"

    def told(self, key: CheckpointKey, base: BaseModel) -> dict[str, Any] | None:
        """What a record tells of the sweep of its checkpoint; None where there was none."""
        sweep = self.of(key, base)
        if sweep is None or key.train_task is None:
            return None
        task = get_task(key.train_task)
        return {
            "rates": [trial.rate for trial in sweep.trials],
            "scores": [trial.score for trial in sweep.trials],
            "losses": [trial.loss for trial in sweep.trials],
            "chosen": sweep.chosen,
            "at_edge": sweep.at_edge,
            "metric": task.headline.key,
            "trials": len(sweep.trials),
            "extended": sweep.extended,
            "seconds": sum(trial.seconds for trial in sweep.trials),
            "tokens": [trial.tokens for trial in sweep.trials],
            "train_tokens": sum(trial.tokens for trial in sweep.trials),
            "seed": self.suite.selection_seed,
            **self.materials.rows.judges(task),
        }

    def _make(self, way: CheckpointKey, base: BaseModel) -> Sweep:
        spec, recipe = self.suite.sweep, self.suite.recipe_for(way.method)
        metric = get_task(str(way.train_task)).headline
        tried: list[Trial] = []

        def run(rates: list[float]) -> list[Trial]:
            new = self._try(way, base, [replace(recipe, learning_rate=rate) for rate in rates], len(tried))
            tried.extend(new)
            return new

        sweep = spec.search(recipe.learning_rate, run, metric.higher_is_better)
        if sweep is None:
            raise DivergedError(
                way_name(way),
                f"its training diverges at every rate tried ({_listed(tried)})",
                f"lower {self._middle(way)}, which they lie around",
            )
        return sweep

    def _try(self, way: CheckpointKey, base: BaseModel, recipes: Sequence[Recipe], begun: int) -> list[Trial]:
        """A trial under each recipe: first those that no other process is at, then what those have made."""
        found: dict[int, Trial] = {}
        for get in (self.store.offer, self.store.get):
            for number, recipe in enumerate(recipes, begun + 1):
                if number not in found and (trial := self._trial(way, base, recipe, number, get)) is not None:
                    found[number] = trial
        return [found[number] for number in sorted(found)]

    def _trial(self, way: CheckpointKey, base: BaseModel, recipe: Recipe, number: int, get: Get) -> Trial | None:
        """One trial, made now if the store hasn't got it; None where another process is at it."""
        planned = max(self.suite.sweep.trials, number)
        place = f"{way_name(way)}: trial {number} of {planned}: rate {recipe.learning_rate:g}"
        made: list[Trial] = []
        folder = get(
            "trials",
            self.materials.trial(way, base, recipe),
            lambda empty: made.append(self._build(way, recipe, empty, place)),
        )
        # what is said to be done is done for good
        for trial in made:
            self.say(f"{place}: {_outcome(trial, get_task(str(way.train_task)).headline)}")
        return None if folder is None else _read(folder / "trial.json")

    def _build(self, way: CheckpointKey, recipe: Recipe, folder: Path, place: str) -> Trial:
        """Fill a trial's entry. One that diverges is an entry too: it would do so again."""
        weights = folder / "weights"
        weights.mkdir()
        try:
            trial = Trial(recipe.learning_rate, **self.attempt(way, recipe, weights, place))
        except DivergedError as error:
            trial = Trial(recipe.learning_rate, None, None, error.seconds, error.tokens, failed=str(error))
        shutil.rmtree(weights)
        write_json(folder / "trial.json", asdict(trial))
        return trial


def way_name(key: CheckpointKey) -> str:
    """What progress lines call a way of tuning, such as ``nano-lora-r8-squad``."""
    return "-".join(part for part in (key.model, key.method, key.rank and f"r{key.rank}", key.train_task) if part)


def _read(path: Path) -> Trial:
    """A stored trial.

    Raises :class:`UserError` where it has other fields, from who knows where.
    """
    value = read_entry(path, schema.TRIAL)
    if set(value) != {field.name for field in fields(Trial)}:
        raise UserError(path, "is no trial of a learning rate", "remove its folder")
    return Trial(**value)


def _outcome(trial: Trial, metric: Metric) -> str:
    """How a trial went, in a few words."""
    if trial.failed is not None:
        return f"{trial.failed.rstrip('.')}: it failed"
    score = "undefined" if trial.score is None else f"{trial.score:{metric.format}}"
    loss = "not finite" if trial.loss is None else f"{trial.loss:.3f}"
    return f"validation {metric.label} {score}, loss {loss}, {trial.seconds:.1f} s"


def _listed(tried: Sequence[Trial]) -> str:
    return ", ".join(f"{trial.rate:g}" for trial in sorted(tried, key=lambda trial: trial.rate))

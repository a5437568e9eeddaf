"""Reads a suite's ``recipe`` and ``[sweep]``.

A recipe is a name, or a table with the names of Transformers' ``TrainingArguments``. One that is ``tuned`` chooses each
way's learning rate by a sweep around a centre. In full fine-tuning that is ``centre``, and another method's is a
multiple of it (``Method.rate_factor``), whatever rates the recipes name. Without ``centre`` the recipe's rate takes its
place, and a rate in a method's own ``recipe`` is that method's centre itself::

    recipe = "tuned"                               # the published one, but for its rates

    [recipe]                                       # or another
    name = "tuned"
    learning_rate = 2e-4                           # around this in full fine-tuning, if there is no centre
    num_train_epochs = 2

    [sweep]                                        # all optional; also for --ftbench-recipe tuned
    centre = 2e-4                                  # full fine-tuning's; so 2e-3 is LoRA's, 2e-2 VeRA's and IA³'s
    trials = 5                                     # rates per way, the same number for all
    factor = 3.1623                                # from one rate to the next
    extensions = 2                                 # further ones beyond an edge that was best
    validation_samples = 100                       # rows that judge them, at least 20: none of them is trained on or
                                                   # tested, but of a task that asks for what was trained on
    seed = 1000                                    # trains them; never one of seeds
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pytest_ftbench.grid.checks import Checks
from pytest_ftbench.grid.recipe import RECIPES, TUNED, Recipe
from pytest_ftbench.grid.sweep import SweepSpec

_OWN = "custom"


class RecipeTable(Checks):
    """Turns a parsed recipe and sweep into the dataclasses, knowing the file for its messages."""

    def recipe(self, value: Any) -> tuple[Recipe, bool]:
        """The suite's recipe, and whether its rates are to be tuned."""
        if isinstance(value, str):
            name = self.choice("recipe", value, (*RECIPES, TUNED))
            return RECIPES.get(name, Recipe()), name == TUNED
        table = self.table("recipe", value)
        self.fields_of("recipe", Recipe, table)
        name = table.get("name", self.path.stem)
        tuned = table.get("name") == TUNED
        # a file of that name is none of those recipes
        own = self.path.stem if tuned else name
        return replace(Recipe(), **{**table, "name": _OWN if own in (*RECIPES, TUNED) else own}), tuned

    def method_recipe(self, key: str, value: Any) -> dict[str, Any]:
        """A method's changes to the suite's recipe."""
        table = self.table(key, value)
        self.fields_of(key, Recipe, table)
        if "name" in table:
            raise self.fail(f"{key}.name", "names a recipe for one method", "remove the key: a suite has one recipe")
        return table

    def sweep(self, table: Mapping[str, Any]) -> SweepSpec:
        """How a tuned recipe's rates are chosen."""
        self.fields_of("sweep", SweepSpec, table)
        return SweepSpec(**table)

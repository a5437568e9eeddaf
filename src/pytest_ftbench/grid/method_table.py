"""Reads a suite's ``[methods]`` table.

A method of the registry (``methods``) is named alone; any other one of PEFT's is named by its ``peft_type``, and the
fields of its configuration, with their names in PEFT, are keys of its table::

    [methods]
    lora = { ranks = [8, 64], lora_alpha = "2r", use_rslora = false, target_modules = "all-linear" }
    lora8bit = { peft_type = "LORA", ranks = [8], train_quantization = "int8" }
    loha = { peft_type = "LOHA", ranks = [8], alpha = 16, target_modules = "attention" }
    oft = { peft_type = "OFT", ranks = [32], rank_field = "oft_block_size", target_modules = ["q_proj"] }
    prompt = { peft_type = "PROMPT_TUNING", num_virtual_tokens = 8 }
"""

import re
from collections.abc import Mapping
from typing import Any

from pytest_ftbench.grid.cell import NAME, QUANTIZATIONS
from pytest_ftbench.grid.errors import suggestion
from pytest_ftbench.grid.gates import LARGEST
from pytest_ftbench.grid.methods import METHODS, MULTIPLE_OF_RANK, Method, may_follow_rank
from pytest_ftbench.grid.recipe_table import RecipeTable
from pytest_ftbench.grid.shown import shown
from pytest_ftbench.grid.suite import ADAPTERS, UNQUANTIZED, MethodSpec

_OF_ANY = ("quantizations", "recipe")
_OF_ADAPTERS = ("ranks", "adapters", "train_quantization")


class MethodTable(RecipeTable):
    """Turns the parsed table of a method into its specification, knowing the file for its messages."""

    def method(self, name: str, value: Any) -> MethodSpec:
        """One method of the suite."""
        key = f"methods.{name}"
        table = self.table(key, value)
        method = self._known(key, name, table)
        mine = {"quantizations"} if not method.trains else {*_OF_ANY, *(_OF_ADAPTERS if method.peft_type else ())}
        if not method.trains and "recipe" in table:
            raise self.fail(f"{key}.recipe", "is given for a method that trains nothing", "remove the key")
        if method.rank_field is None and "ranks" in table:
            raise self.fail(f"{key}.ranks", "is given for a method without a rank", "remove the key")
        options = {option: table[option] for option in table if option not in {*mine, "peft_type", "rank_field"}}
        if name in METHODS:
            self.known(key, options, method.defaults, also=mine)
        for option, given in options.items():
            self._option(f"{key}.{option}", given, method)
        recipe = self.method_recipe(f"{key}.recipe", table.get("recipe", {}))
        quantization = table.get("train_quantization")
        if quantization is not None:
            self.choice(f"{key}.train_quantization", quantization, QUANTIZATIONS)
        return MethodSpec(
            name,
            self._ranks(key, table.get("ranks"), method.rank_field),
            options,
            recipe,
            own=None if name in METHODS else method,
            train_quantization=quantization,
            quantizations=self.quantizations(f"{key}.quantizations", table.get("quantizations")),
            adapters=None if "adapters" not in table else self.choice(f"{key}.adapters", table["adapters"], ADAPTERS),
        )

    def quantizations(self, key: str, value: Any) -> tuple[str | None, ...] | None:
        """What models are quantized to while they answer; None for a key that isn't there."""
        if value is None:
            return None
        names = (UNQUANTIZED, *QUANTIZATIONS)
        if not isinstance(value, list) or not value or not all(name in names for name in value):
            raise self.fail(key, f"is {shown(value)}", f"give a list of {', '.join(names)}")
        return tuple(None if name == UNQUANTIZED else name for name in value)

    def _known(self, key: str, name: str, table: Mapping[str, Any]) -> Method:
        """The method a name or its ``peft_type`` stands for."""
        if name in METHODS:
            if "peft_type" in table or "rank_field" in table:
                raise self.fail(key, "has a PEFT type of its own", "give yours another name")
            return METHODS[name]
        if "peft_type" not in table:
            raise self.fail(
                key, "is no method", f"{suggestion(name, METHODS)}; any other method of PEFT's needs its peft_type"
            )
        if not re.fullmatch(NAME, name) or re.fullmatch("|".join((r"r\d+", "base", *QUANTIZATIONS)), name):
            raise self.fail(
                key, "is no name for a method", "use lower-case letters, digits and '_', no rank, no quantization"
            )
        peft_type = self.typed(f"{key}.peft_type", table["peft_type"], str)
        for option, why in (("r", "ranks"), ("task_type", "the method"), ("inference_mode", "the run")):
            if option in table:
                raise self.fail(f"{key}.{option}", f"is set by {why}", "remove the key")
        if "rank_field" in table and "ranks" not in table:
            raise self.fail(f"{key}.rank_field", "is given without ranks", "name at least one, as in ranks = [8]")
        field = self.typed(f"{key}.rank_field", table.get("rank_field", "r"), str)
        return Method(name, name, peft_type=peft_type.upper(), rank_field=field if "ranks" in table else None)

    def _option(self, key: str, value: Any, method: Method) -> None:
        """Check an option of PEFT's: it is of its default's kind, where a list of names may also be one text."""
        option = key.rpartition(".")[2]
        default = method.defaults.get(option)
        multiple = MULTIPLE_OF_RANK.fullmatch(value) if isinstance(value, str) and may_follow_rank(option) else None
        if multiple and (method.rank_field is None or not 0 < float(multiple[1] or 1) <= LARGEST):
            raise self.fail(key, f"is {shown(value)}", "give a number")
        if option.endswith("dropout") and isinstance(value, int | float) and value >= 1:
            raise self.fail(key, f"is {shown(value)}", "give a probability below 1")
        if value in ([], ""):
            raise self.fail(key, "is empty", "name at least one, or remove the key")
        if isinstance(default, tuple):
            if not isinstance(value, str) and not (isinstance(value, list) and all(isinstance(n, str) for n in value)):
                raise self.fail(key, f"is {shown(value)}", f"give a list of names, as in {list(default)}")
        elif default is not None and not multiple:
            self.typed(key, value, float if type(default) in (int, str) else type(default))
            self.at_least(key, value)
        else:
            self.plain(key, value)

    def _ranks(self, key: str, value: Any, rank_field: str | None) -> tuple[int, ...]:
        if rank_field is None:
            return ()
        if value is None:
            raise self.fail(f"{key}.ranks", "is missing", "name at least one, as in ranks = [8]")
        if not isinstance(value, list) or not value or not all(type(rank) is int and rank > 0 for rank in value):
            raise self.fail(f"{key}.ranks", f"is {shown(value)}", "give a list of whole numbers above 0, as in [8, 64]")
        return tuple(self.typed(f"{key}.ranks", rank, int) for rank in value)

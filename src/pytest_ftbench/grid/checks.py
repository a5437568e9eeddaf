"""Checks of a parsed file's values. Each mistake is one sentence that names the file, the key and the fix."""

import math
import re
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from pytest_ftbench.grid.cell import NAME
from pytest_ftbench.grid.errors import UserError, suggestion
from pytest_ftbench.grid.schema import is_deep
from pytest_ftbench.grid.shown import shown
from pytest_ftbench.grid.thresholds import ALWAYS_ON, CODES, Thresholds

LARGEST_SEED = 2**32 - 1
"""What numpy takes for a seed, and so Transformers."""

# What must be at least 1, or at least 0, to mean anything; everything else is checked by its type alone.
_AT_LEAST = {
    "train_samples": 1,
    "test_samples": 1,
    "max_new_tokens": 1,
    "batch_size": 1,
    "latency_prompts": 0,
    "latency_warmup": 0,
    "latency_tokens": 1,
    "learning_rate": 0,
    "warmup_ratio": 0,
    "weight_decay": 0,
    "max_grad_norm": 0,
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "num_train_epochs": 0,
    "max_length": 1,
    "lora_alpha": 0,
    "lora_dropout": 0,
    "vera_dropout": 0,
    "init_r": 1,
    "deltaT": 1,
    "trials": 2,
    "factor": 1.1,
    "centre": 0,
    "extensions": 0,
    "validation_samples": 20,
    "seed": 0,
}
_AT_MOST = {
    "warmup_ratio": (1, "give a fraction of all steps, 0 to 1"),
    "seed": (LARGEST_SEED, f"give at most {LARGEST_SEED}"),
}
_LARGEST = 2**53  # up to here a float that is whole is that very integer; no count, size or rate is beyond
_KEY_ROOM = 200


class Checks:
    """What is asked of any key of a file, knowing the file for its messages; each check raises :class:`UserError`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fail(self, key: str, problem: str, fix: str) -> UserError:
        """The error that says what is wrong under a key of this file."""
        named = key if len(key) <= _KEY_ROOM else f"{key[:_KEY_ROOM]}…"
        return UserError(f"{self.path}: {named}", problem, fix)

    def names(self, key: str, value: Any) -> tuple[str, ...]:
        """A list of names."""
        if not isinstance(value, list) or not all(isinstance(name, str) and re.fullmatch(NAME, name) for name in value):
            raise self.fail(key, f"is {shown(value)}", 'give a list of names, as in ["arc", "squad"]')
        return tuple(value)

    def table(self, key: str, value: Any) -> dict[str, Any]:
        """A table."""
        if not isinstance(value, dict):
            raise self.fail(key, f"is {shown(value)}", "write it as a table")
        return value

    def choice(self, key: str, value: Any, choices: tuple[str, ...]) -> str:
        """One of a few words."""
        if value not in choices:
            raise self.fail(key, f"is {shown(value)}", f"choose one of {', '.join(choices)}")
        return str(value)

    def known(self, key: str, table: Mapping[str, Any], names: Collection[str], also: Collection[str] = ()) -> None:
        """Check that a table has no other keys than these; ``also`` are keys that were looked at before."""
        for name in table:
            if name not in names:
                place = f"{key}.{name}" if key else name
                raise self.fail(
                    place, "is an unknown key", suggestion(name, {*names, *also}) if names or also else "remove it"
                )

    def fields_of(self, key: str, spec: type, table: Mapping[str, Any], also: Collection[str] = ()) -> None:
        """Check that a table's keys are fields of a dataclass and its values of the fields' types."""
        assert is_dataclass(spec)
        hints = typing.get_type_hints(spec)
        self.known(key, table, [f.name for f in fields(spec) if f.name not in also], also)
        for name, value in table.items():
            self.typed(f"{key}.{name}", value, hints[name])
            self.at_least(f"{key}.{name}", value)

    def at_least(self, key: str, value: Any) -> None:
        """Check a number against the least, and the most, that means anything under its key."""
        name = key.rpartition(".")[2]
        most, fix = _AT_MOST.get(name, (None, ""))
        if most is not None and value > most:
            raise self.fail(key, f"is {value}", fix)
        least = _AT_LEAST.get(name)
        if least is not None and value < least:
            raise self.fail(key, f"is {value}", f"give at least {least}")

    def typed(self, key: str, value: Any, hint: Any) -> Any:
        """The value, if it is of the type that a dataclass declares for it."""
        allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        # TOML's 1 is a number like 1.0, but true is no number
        accepted = (*allowed, int) if float in allowed else allowed
        if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in allowed):
            wanted = " or ".join("nothing" if t is types.NoneType else t.__name__ for t in allowed)
            raise self.fail(key, f"is {shown(value)}", f"give a value of type {wanted}")
        if isinstance(value, float) and not math.isfinite(value):
            raise self.fail(key, f"is {shown(value)}", "give a finite number")
        if isinstance(value, int | float) and abs(value) > _LARGEST:
            raise self.fail(key, f"is {shown(value)}", f"give at most {_LARGEST}")
        return value

    def plain(self, key: str, value: Any) -> Any:
        """The value of a key whose type nobody here knows, if it is made of texts, finite numbers, true and false."""
        if is_deep(value):
            raise self.fail(key, "holds tables in tables in tables", "write it flatter")
        parts = [value]
        while parts:
            part = parts.pop()
            if isinstance(part, dict | list):
                parts += part.values() if isinstance(part, dict) else part
            elif isinstance(part, str | int | float):
                self.typed(key, part, type(part))
            else:
                raise self.fail(key, f"holds {shown(part)}", "give texts, numbers, true or false")
        return value

    def thresholds(self, table: Mapping[str, Any]) -> Thresholds:
        """The thresholds of the validity checks; not given is the default."""
        self.known("checks", table, [f.name for f in fields(Thresholds)])
        off = table.get("off", [])
        if not isinstance(off, list) or not all(code in CODES for code in off):
            raise self.fail("checks.off", f"is {shown(off)}", f"list codes of {CODES[0]} to {CODES[-1]}")
        if ALWAYS_ON in off:
            raise self.fail("checks.off", f"names {ALWAYS_ON}, which decides rankings", "remove it from the list")
        numbers = {name: value for name, value in table.items() if name != "off"}
        for name, value in numbers.items():
            if problem := Thresholds.problem(name, value):
                raise self.fail(f"checks.{name}", *problem)
        return Thresholds(off=tuple(off), **numbers)

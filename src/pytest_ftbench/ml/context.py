"""How much a model can take in: a question and its answer share one context.

Beyond the positions that it was made for a model computes something all the same, or fails on the device: neither says
how good it is. So what has no room is an error before anything is trained.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_ftbench.grid import EvaluationSpec, UserError
from pytest_ftbench.store import read_json

_LENGTHS = ("max_position_embeddings", "n_positions")


def context_length(folder: Path) -> int | None:
    """For how many tokens a model was made, as its configuration says; None where it doesn't."""
    try:
        config = read_json(folder / "config.json")
    except (OSError, ValueError, RecursionError):
        return None  # whoever loads the model says so
    parts = [part for part in (config, _part(config, "text_config")) if isinstance(part, Mapping)]
    return max((length for part in parts for length in _lengths(part)), default=None)


def answer_budget(evaluation: EvaluationSpec) -> tuple[str, int]:
    """Of how many tokens the longest answer may be, and by which key."""
    budgets = {"max_new_tokens": evaluation.max_new_tokens, "latency_tokens": evaluation.latency_tokens or 0}
    key = max(budgets, key=lambda name: budgets[name])
    return f"evaluation.{key}", budgets[key]


def check_room(place: object, name: str, folder: Path, evaluation: EvaluationSpec) -> None:
    """Check that a model has room for an answer and a question, as the suite in a ``place`` has them.

    Raises :class:`UserError` where the answer alone takes all there is.
    """
    room, (key, budget) = context_length(folder), answer_budget(evaluation)
    if room is not None and budget >= room:
        problem = f"is {budget}, and {name} has room for {room} tokens, question and answer"
        raise UserError(f"{place}: {key}", problem, "give less")


def row_length(folder: Path, max_length: int) -> int:
    """How long a training row may be: as its recipe says, and no longer than the model has room for."""
    room = context_length(folder)
    return max_length if room is None else min(max_length, room)


def _lengths(config: Mapping[str, Any]) -> list[int]:
    """The lengths that a configuration names; positions may be stretched beyond those that were trained first."""
    found = [config.get(name) for name in _LENGTHS]
    for name in ("rope_scaling", "rope_parameters"):
        factor, original = (_part(_part(config, name), key) for key in ("factor", "original_max_position_embeddings"))
        if _is_positive(factor) and _is_positive(original):
            found.append(int(factor * original))
    return [length for length in found if _is_positive(length) and isinstance(length, int)]


def _part(config: Any, name: str) -> Any:
    return config.get(name) if isinstance(config, Mapping) else None


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")

"""Regression gates as values: what may become worse, by how much, and what is to happen where that can't be told.

How the ``[gate]`` table of a suite becomes one: ``gate_table``. Points are hundredths of a full score or of all items.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pytest_ftbench.grid.cell import Cell

ACTIONS = ("fail", "warn", "skip", "pass")
"""What a verdict that is neither pass nor fail does to its test item: a warning lets it pass and is shown by pytest."""
CASES = ("on_inconclusive", "on_missing_baseline", "on_incomparable")
"""The keys, of a gate or of one of its rules, that say which action a verdict has."""
HOLM, UNCORRECTED = "holm", "none"
CORRECTIONS = (HOLM, UNCORRECTED)
GROUPS = ("all", "base", "tuned", "in-domain")
"""Words that choose cells by what they are; anything else is a pattern over ids without their seeds."""

LARGEST = 1e9
"""What no number of a gate is above: more points, percents, milliseconds or GiB than anybody has."""


@dataclass(frozen=True)
class GateMetric:
    """What a gate may be of: ``unit`` of its floor or ceiling, ``change`` the unit of a change against the baseline.

    ``allowed`` and ``effect`` are the largest change that is tolerated and the smallest one that matters, in that unit,
    where a suite names none.
    """

    name: str
    unit: str
    change: str
    higher_is_better: bool
    allowed: float = 0.0
    effect: float = 0.0


METRICS: Mapping[str, GateMetric] = {
    metric.name: metric
    for metric in (
        GateMetric("score", "points", "points", True, effect=5.0),
        GateMetric("format_rate", "points", "points", True, effect=5.0),
        GateMetric("tokens", "tokens", "%", False, effect=25.0),
        GateMetric("ms_per_token", "ms", "%", False, effect=25.0),
        GateMetric("train_memory", "GiB", "%", False, allowed=10.0),
        GateMetric("eval_memory", "GiB", "%", False, allowed=10.0),
    )
}
"""The headline score of a cell's task, the share of outputs in form, mean output tokens, time per output token after
the first, peaks of memory."""

DEFAULT_METRICS = ("score", "format_rate", "ms_per_token", "train_memory", "eval_memory")
"""What is gated against a baseline where a suite names no metric."""


@dataclass(frozen=True)
class GateRule:
    """A gate of one metric for some cells.

    ``limit`` is a floor, or of a metric where lower is better a ceiling, in the metric's unit (None: there is none).
    ``allowed`` is the largest drop (or rise) against the baseline, ``effect`` the smallest that matters, in the unit of
    its change; ``compares`` whether it is held against a baseline at all. ``on`` are actions of its own, by the keys of
    :class:`Gate`.
    """

    metric: str
    cells: tuple[str, ...] = ("all",)
    limit: float | None = None
    allowed: float = 0.0
    effect: float = 0.0
    compares: bool = True
    on: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def usual(cls, metric: str) -> "GateRule":
        """The rule of a metric of which a suite says nothing."""
        known = METRICS[metric]
        return cls(metric, allowed=known.allowed, effect=max(known.effect, known.allowed))

    def covers(self, way: str, train_task: str | None, eval_task: str) -> bool:
        """Whether it is for a cell: by its id without a seed, what it was trained on, what it is tested on."""
        return any(_chooses(word, way, train_task, eval_task) for word in self.cells)

    def as_dict(self) -> dict[str, Any]:
        """The rule as plain JSON values."""
        return asdict(self) | {"cells": list(self.cells), "on": dict(self.on)}


@dataclass(frozen=True)
class Gate:
    """All gates of a suite.

    ``alpha`` is the chance that a run without any change fails, over all its comparisons where ``correction`` is
    ``holm``. A comparison that fails is measured again ``rerun`` times, trained with a fresh seed or timed anew, before
    it is a verdict. ``seed_stddev`` is how far seeds lie apart, in points, where neither run has several of a kind
    (None: unknown), ``timing_noise`` how far the median times of two runs of one commit do, in percent. Both are
    standard deviations.
    """

    rules: tuple[GateRule, ...] = tuple(GateRule.usual(metric) for metric in DEFAULT_METRICS)
    alpha: float = 0.05
    correction: str = HOLM
    rerun: int = 1
    seed_stddev: float | None = None
    timing_noise: float = 5.0
    baseline: Path | None = None
    on_inconclusive: str = "warn"
    on_missing_baseline: str = "fail"
    on_incomparable: str = "fail"

    @property
    def compares(self) -> bool:
        """Whether any rule is held against a baseline."""
        return any(rule.compares for rule in self.rules)

    def rules_for(self, way: str, train_task: str | None, eval_task: str) -> list[GateRule]:
        """The rules that a cell is held against: of rules of one metric that cover it, the last."""
        return list({rule.metric: rule for rule in self.rules if rule.covers(way, train_task, eval_task)}.values())

    def for_none_of(self, cells: Iterable[Cell]) -> list[tuple[str, str]]:
        """Words that are for none of these cells, as a misspelt one, and the metric of their rule."""
        known = [(cell.way, cell.train_task, cell.eval_task) for cell in cells]
        words = ((rule.metric, word) for rule in self.rules for word in rule.cells)
        return [(metric, word) for metric, word in words if not any(_chooses(word, *each) for each in known)]

    def action(self, rule: GateRule, case: str) -> str:
        """What a verdict does in a ``case``: ``inconclusive``, ``missing_baseline`` or ``incomparable``."""
        key = f"on_{case}"
        return str(rule.on.get(key) or getattr(self, key))

    def as_dict(self) -> dict[str, Any]:
        """The gate as plain JSON values, as a results file keeps it; without the baseline's place, which is a path."""
        value = {part.name: getattr(self, part.name) for part in fields(self) if part.name != "baseline"}
        return value | {"rules": [rule.as_dict() for rule in self.rules]}

    @classmethod
    def from_json(cls, value: object) -> "Gate | None":
        """The gate that a results file was judged by; None where it has none that makes sense."""
        if not isinstance(value, Mapping) or not isinstance(value.get("rules"), list):
            return None
        try:
            rules = [_rule(each) for each in value["rules"]]
            given: dict[str, Any] = {key: float(value[key]) for key in ("alpha", "timing_noise") if key in value}
            given |= {key: str(value[key]) for key in ("correction", *CASES) if key in value}
            spread = value.get("seed_stddev")
            # what measures again isn't there, for stored results aren't measured
            given |= {"rerun": 0, "seed_stddev": None if spread is None else float(spread)}
            made = cls(tuple(rules), **given)
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            return None
        return made if made._makes_sense() else None

    def _makes_sense(self) -> bool:
        """Whether every value is one that a suite's file might have given."""
        cases = [case.removeprefix("on_") for case in CASES]
        actions = {self.action(rule, case) for rule in (GateRule(""), *self.rules) for case in cases}
        numbers = [self.timing_noise, self.seed_stddev or 0.0]
        for rule in self.rules:
            numbers += [rule.allowed, rule.effect - rule.allowed, rule.limit or 0.0]
        return (
            all(rule.metric in METRICS for rule in self.rules)
            and actions <= set(ACTIONS)
            and all(0 <= number <= LARGEST for number in numbers)
            and 0 < self.alpha < 1
            and self.correction in CORRECTIONS
        )


def _rule(value: Mapping[str, Any]) -> GateRule:
    """A rule as a results file has it."""
    limit = value["limit"]
    return GateRule(
        metric=str(value["metric"]),
        cells=tuple(map(str, value["cells"])),
        limit=None if limit is None else float(limit),
        allowed=float(value["allowed"]),
        effect=float(value["effect"]),
        compares=bool(value["compares"]),
        on={str(key): str(action) for key, action in (value["on"] or {}).items()},
    )


def _chooses(word: str, way: str, train_task: str | None, eval_task: str) -> bool:
    chosen = {
        "all": True,
        "base": train_task is None,
        "tuned": train_task is not None,
        "in-domain": train_task == eval_task,
    }
    return chosen[word] if word in chosen else fnmatchcase(way, word)

"""Reads ``[gate]``, of a suite or of ``[tool.ftbench]`` in ``pyproject.toml``: what a run may not be worse in.

All of it is optional. Where ``[gate]`` names a metric, the metrics it names are gated, else score, format rate, time
per token and memory, each by its defaults (``gates``)::

    [gate]
    baseline = "baselines/mine.json"     # beside this file; --ftbench-baseline outweighs it
    alpha = 0.05                         # the chance that a run without a change fails, over all its comparisons
    correction = "holm"                  # or "none": each comparison by itself
    rerun = 1                            # what fails is trained with a fresh seed, or timed anew, before the verdict
    seed_stddev = 3.0                    # points between seeds, for runs of a single seed
    timing_noise = 5.0                   # percent between the times of two runs of one commit
    on_inconclusive = "warn"             # fail, warn, skip, pass
    on_missing_baseline = "fail"
    on_incomparable = "fail"

    [gate.score]                         # the headline of each task, in points: hundredths of a full score
    cells = "in-domain"                  # all, base, tuned, in-domain, or patterns such as "*-squad-to-squad"
    floor = 60
    largest_drop = 0
    smallest_effect = 5
    [gate.ms_per_token]                  # and tokens, train_memory, eval_memory: changes in percent
    ceiling = 12                         # milliseconds, tokens, GiB
    largest_rise = 0
    smallest_effect = 25
    on_incomparable = "warn"
    [[gate.format_rate]]                 # several rules of one metric: the last that is for a cell counts
    floor = 90
    compare = false                      # a floor alone, no baseline
"""

import math
from dataclasses import fields
from typing import Any

from pytest_ftbench.grid.checks import Checks
from pytest_ftbench.grid.gates import ACTIONS, CASES, CORRECTIONS, GROUPS, LARGEST, METRICS, Gate, GateMetric, GateRule
from pytest_ftbench.grid.shown import shown


class GateTable(Checks):
    """Turns the parsed table into a :class:`Gate`, knowing the file for its messages."""

    def gate(self, value: Any) -> Gate:
        """The gates that a file asks for."""
        table = self.table("gate", value)
        plain = [field.name for field in fields(Gate) if field.name != "rules"]
        self.known("gate", table, [*plain, *METRICS])
        given: dict[str, Any] = {}
        for key in ("alpha", "seed_stddev", "timing_noise"):
            if key in table:
                given[key] = self._number(f"gate.{key}", table[key])
        if not 0 < given.get("alpha", 0.05) < 1:
            raise self.fail("gate.alpha", f"is {shown(table['alpha'])}", "give a fraction between 0 and 1, as in 0.05")
        if "rerun" in table:
            if type(table["rerun"]) is not int or not 0 <= table["rerun"] <= 10:
                raise self.fail("gate.rerun", f"is {shown(table['rerun'])}", "give a whole number of 0 to 10")
            given["rerun"] = table["rerun"]
        if "correction" in table:
            given["correction"] = self.choice("gate.correction", table["correction"], CORRECTIONS)
        given |= {key: self.choice(f"gate.{key}", table[key], ACTIONS) for key in CASES if key in table}
        if "baseline" in table:
            name = self.typed("gate.baseline", table["baseline"], str)
            given["baseline"] = self.path.parent / name
        rules = [rule for metric in METRICS if metric in table for rule in self._rules(metric, table[metric])]
        return Gate(**given | ({"rules": tuple(rules)} if rules else {}))

    def _rules(self, metric: str, value: Any) -> list[GateRule]:
        """The rules of one metric, in the file's order."""
        if isinstance(value, list) and value:
            return [self._rule(METRICS[metric], f"gate.{metric}[{index}]", each) for index, each in enumerate(value)]
        return [self._rule(METRICS[metric], f"gate.{metric}", value)]

    def _rule(self, metric: GateMetric, key: str, value: Any) -> GateRule:
        table = self.table(key, value)
        limit, change = ("floor", "largest_drop") if metric.higher_is_better else ("ceiling", "largest_rise")
        self.known(key, table, ["cells", limit, change, "smallest_effect", "compare", *CASES])
        numbers = {
            name: self._number(f"{key}.{name}", table[name])
            for name in (limit, change, "smallest_effect")
            if name in table
        }
        if metric.unit == "points" and numbers.get(limit, 0) > 100:
            raise self.fail(f"{key}.{limit}", f"is {shown(table[limit])}", "give points of a full score, 0 to 100")
        allowed = numbers.get(change, metric.allowed)
        effect = numbers.get("smallest_effect", max(metric.effect, allowed))
        if effect < allowed:
            raise self.fail(
                f"{key}.smallest_effect",
                f"is {effect:g}, less than {change} ({allowed:g}), which no verdict could keep apart",
                f"give at least {allowed:g}",
            )
        compares = bool(self.typed(f"{key}.compare", table.get("compare", True), bool))
        if not compares and limit not in numbers:
            raise self.fail(f"{key}.compare", f"is false and there is no {limit}", f"give a {limit}, or drop the table")
        return GateRule(
            metric.name,
            cells=self._cells(f"{key}.cells", table.get("cells", "all")),
            limit=numbers.get(limit),
            allowed=allowed,
            effect=effect,
            compares=compares,
            on={name: self.choice(f"{key}.{name}", table[name], ACTIONS) for name in CASES if name in table},
        )

    def _cells(self, key: str, value: Any) -> tuple[str, ...]:
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list) or not words or not all(isinstance(word, str) and word for word in words):
            fix = f'give one or a list of {", ".join(GROUPS)} and patterns such as "*-squad-to-squad"'
            raise self.fail(key, f"is {shown(value)}", fix)
        return tuple(words)

    def _number(self, key: str, value: Any) -> float:
        if isinstance(value, int | float) and LARGEST < value != math.inf:
            raise self.fail(key, "is larger than any such number", f"give at most {LARGEST:g}")
        if self.typed(key, value, float) < 0:
            raise self.fail(key, f"is {shown(value)}", "give 0 or more")
        return float(value)

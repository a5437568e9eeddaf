"""How far trainings that differ in nothing but their seed lie apart: from a measured run of several seeds.

    pytest benchmarks --ftbench-seeds 10 --ftbench-json results.json
    python benchmarks/seed_spread.py results.json -o benchmarks/seed_spread.json

Of several files the last that has a way counts.

Of each way of tuning and eval task the answers y (in points, item i under seed j, k seeds, n items) are decomposed as a
two-way layout with one answer each, items and seeds random::

    y = mean + item_i + training_j + noise_ij
    MS(seeds) = n * variance of the seeds' means,                expected noise + n * training
    MS(rest)  = sum (y - item mean - seed mean + mean)² / ((n-1)(k-1)),    expected noise
    training  = (MS(seeds) - MS(rest)) / n,   0 where that is negative

So a training's mean over these very items varies by training + noise / n, and over n' such items by training + noise /
n'. Source: Searle, Casella and McCulloch, Variance components (1992), 4.3, the method of moments.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_ftbench.analysis import eval_tasks
from pytest_ftbench.analysis.intervals import full_score
from pytest_ftbench.analysis.pooling import measured_seeds, seed_groups, way_id
from pytest_ftbench.grid import CellRecord, UserError, read_results

DIGITS = 4
_SAID = ("suite", "created", "git_sha", "device", "dtype", "recipe")


def components(answers: NDArray[np.float64]) -> tuple[float, float]:
    """The standard deviations between trainings and of one answer's noise, from answers of shape (seeds, items)."""
    seeds, items = answers.shape
    of_seeds, of_items = answers.mean(axis=1, keepdims=True), answers.mean(axis=0, keepdims=True)
    rest = float(np.sum((answers - of_seeds - of_items + answers.mean()) ** 2) / ((seeds - 1) * (items - 1)))
    between = (items * float(np.var(of_seeds, ddof=1)) - rest) / items
    return math.sqrt(max(0.0, between)), math.sqrt(rest)


def answer_table(group: Sequence[CellRecord], in_form: bool, full: float) -> NDArray[np.float64] | None:
    """Points of each item under each seed, shape (seeds, items); None where the seeds answered other items."""
    rows = []
    for record in group:
        items = sorted(record.items, key=lambda item: str(item["item"]))
        points = [float(item["parsed"] is not None) if in_form else item["score"] / full for item in items]
        rows.append(([item["item"] for item in items], points))
    alike = all(names == rows[0][0] for names, _ in rows)
    return 100 * np.array([points for _, points in rows]) if alike and rows[0][0] else None


def spread(group: Sequence[CellRecord], key: str) -> dict[str, Any] | None:
    """What is measured of one way and eval task; None where its seeds can't be laid out."""
    full = full_score(key)
    tables = [answer_table(group, in_form, full) for in_form in (False, True)]
    if tables[0] is None or tables[1] is None:
        return None
    first, found = group[0], {}
    for name, table in (("answers", tables[0]), ("in_form", tables[1])):
        training, noise = components(table)
        found[name] = {"mean": float(table.mean()), "training_stddev": training, "noise_stddev": noise}
    headline = [100 * float(record.scores[key] or 0.0) / full for record in group]
    return {
        "way": way_id(group),
        "model": first.model,
        "method": first.method,
        "rank": first.rank,
        "train_task": first.train_task,
        "eval_task": first.eval_task,
        "seeds": len(group),
        "items": first.n,
        "score": {"mean": float(np.mean(headline)), "stddev": float(np.std(headline, ddof=1))},
        **found,
    }


def rounded(value: Any) -> Any:
    """The same with fewer digits: more would only make every line of a diff differ."""
    if isinstance(value, float):
        return round(value, DIGITS)
    return {key: rounded(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def table(cells: Sequence[dict[str, Any]]) -> str:
    """The spreads as Markdown, root mean squares over the ways of each kind."""
    lines = [
        "| tested | ways | score | between trainings | noise of an answer | between scores | largest |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, is_in in (("in-domain", True), ("another task", False)):
        mine = [cell for cell in cells if (cell["train_task"] == cell["eval_task"]) is is_in]
        if not mine:
            continue
        training, noise = (
            math.sqrt(np.mean([cell["answers"][key] ** 2 for cell in mine]))
            for key in ("training_stddev", "noise_stddev")
        )
        apart = math.sqrt(np.mean([cell["score"]["stddev"] ** 2 for cell in mine]))
        score, largest = (f([cell["score"][k] for cell in mine]) for f, k in ((np.mean, "mean"), (max, "stddev")))
        numbers = " | ".join(f"{value:.1f}" for value in (score, training, noise, apart, largest))
        lines.append(f"| {name} | {len(mine)} | {numbers} |")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="what --ftbench-json wrote of a run of several seeds")
    parser.add_argument("-o", "--output", type=Path, help="where to write the spreads as JSON")
    given = parser.parse_args(words)
    try:
        results = [read_results(path) for path in given.results]
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    tasks = eval_tasks([record for each in results for record in each.cells])
    groups = {way_id(group): measured_seeds(group) for each in results for _, group in seed_groups(each.cells)}
    several = [group for group in groups.values() if len(group) > 1 and group[0].train_task is not None]
    cells = [found for group in several if (found := spread(group, tasks[group[0].eval_task].headline.key)) is not None]
    if not cells:
        print(f"{given.results[0]}: no way has several seeds with the same items", file=sys.stderr)
        return 1
    said = {key: results[0].provenance[key] for key in _SAID if key in results[0].provenance}
    if given.output is not None:
        head = json.dumps({"suite": results[0].suite, "provenance": said})[:-1]
        # a line per cell, so that a diff shows which have changed
        lines = ",\n".join(json.dumps(rounded(cell)) for cell in cells)
        given.output.write_text(f'{head}, "cells": [\n{lines}\n]}}\n', encoding="utf-8")
    print(table(cells))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Which gates a run has, and which stored records they are held against. PYTEST_DONT_REWRITE."""

import os
import tomllib
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ftbench.grid import CellRecord, Gate, GateTable, Suite, UserError, read_results
from pytest_ftbench.suite_records import test_of

if TYPE_CHECKING:
    from pytest_ftbench.analysis.gate_verdict import Verdict


def gate_of(config: pytest.Config, suite: Suite) -> Gate | None:
    """The gate of a suite in this run: its own, else the project's, else the usual one where a baseline is named.

    None where there is none. Raises :class:`UserError` where the project's is wrong, or the baseline is no results.
    """
    if config.getoption("ftbench_gate") == "off":
        return None
    gate = suite.gate or _of_project(config.rootpath) or usual_gate(config)
    if gate is not None and gate.baseline is not None and gate.baseline.is_file():
        # hours before it is asked for
        read_results(gate.baseline)
    return gate


def usual_gate(config: pytest.Config) -> Gate | None:
    """The gate of a run where no file says anything of one."""
    wanted = config.getoption("ftbench_baseline") is not None or config.getoption("ftbench_gate") == "on"
    return Gate() if wanted else None


def _of_project(folder: Path) -> Gate | None:
    """The gate under ``[tool.ftbench]`` of ``pyproject.toml`` in the project's folder."""
    path = folder / "pyproject.toml"
    if not path.is_file():
        return None
    try:
        tool = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except OSError as error:
        raise UserError(path, f"can't be read ({error.strerror})", "make it readable") from None
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, a number of thousands of digits
        raise UserError(path, f"is not valid TOML ({error})", "correct that line") from None
    if not isinstance(tool, dict) or "ftbench" not in tool:
        return None
    reader = GateTable(path)
    table = reader.table("tool.ftbench", tool["ftbench"])
    reader.known("tool.ftbench", table, ["gate"])
    return reader.gate(table["gate"]) if "gate" in table else None


def naming_the_file(verdicts: "Sequence[Verdict]", gate: Gate) -> "list[Verdict]":
    """The verdicts of a run without any baseline, with the file that a gate names and that isn't there."""
    from pytest_ftbench.analysis.gate_verdict import Outcome

    if gate.baseline is None:
        return list(verdicts)
    why = f"there is no baseline: {os.path.relpath(gate.baseline)} is not there"
    return [replace(each, why=why) if each.outcome is Outcome.MISSING else each for each in verdicts]


def baseline_records(config: pytest.Config, gate: Gate, others: Collection[str] = ()) -> list[CellRecord] | None:
    """The records that a gate compares with: of ``--ftbench-baseline``, else of the gate's own file.

    Else of the run that ``--benchmark-compare`` found, the last where there are several; what tests of ``others``
    measured there is another suite's. None where there is no such file or run. Raises :class:`UserError` for a file
    that is no results.
    """
    if not gate.compares:
        return None
    if (named := config.getoption("ftbench_baseline")) is not None:
        return read_results(config.invocation_params.dir / named).cells
    if gate.baseline is not None:
        return read_results(gate.baseline).cells if gate.baseline.is_file() else None
    if not config.getoption("benchmark_compare", None):
        return None
    from pytest_ftbench.benchmark_bridge import baselines

    stored: Any = baselines(config)[-1:]
    return [record for run in stored for nodeid, record in run.records.items() if test_of(nodeid) not in others] or None

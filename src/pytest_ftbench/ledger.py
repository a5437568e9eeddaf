"""Collects the records of a run in the process that reports it, and writes them to a file. PYTEST_DONT_REWRITE."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pytest_ftbench import __version__
from pytest_ftbench.grid import CellRecord, Results, UserError, read_results
from pytest_ftbench.plugin import LEDGER
from pytest_ftbench.provenance import git_state
from pytest_ftbench.settings import Settings
from pytest_ftbench.store import package_versions, write_json

_PACKAGES = ("pytest", "torch", "transformers", "tokenizers", "accelerate", "trl", "peft", "datasets")


def ledger_of(config: pytest.Config) -> "Ledger":
    """The run's ledger."""
    return config.stash.setdefault(LEDGER, Ledger(config))


@dataclass(eq=False)
class Ledger:
    """The records of a run, by suite and cell; of a cell that ran again the last one counts."""

    config: pytest.Config
    records: dict[tuple[str, int], CellRecord] = field(default_factory=dict)
    trivial: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    stored: Results | None = None

    def take(self, report: pytest.TestReport) -> None:
        """Take a cell's record from its report."""
        payload: dict[str, Any] = vars(report)["ftbench"]
        record = CellRecord.from_json(payload["record"])
        self.records[payload["suite"], payload["index"]] = record
        self.trivial |= {record.eval_task: payload["trivial"]} if "trivial" in payload else {}
        self.machine |= payload.get("machine", {})
        if record.ok and self.config.pluginmanager.has_plugin("pytest-benchmark"):
            from pytest_ftbench.benchmark_bridge import feed

            feed(self.config, report.nodeid, record)

    def load(self, path: Path) -> None:
        """Take stored results instead of running cells.

        Raises pytest's usage error where the file isn't one.
        """
        try:
            self.stored = read_results(self.config.invocation_params.dir / path)
        except UserError as error:
            raise pytest.UsageError(str(error)) from None

    def results(self) -> Results | None:
        """All records in the order of their suites; None where there is none."""
        if self.stored is not None or not self.records:
            return self.stored
        keys = sorted(self.records)
        return Results(
            suite="+".join(sorted({suite for suite, _ in keys})),
            cells=[self.records[key] for key in keys],
            provenance={
                **git_state(self.config.rootpath),
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "packages": {"pytest-ftbench": __version__, **package_versions(*_PACKAGES)},
                **self.machine,
            },
            trivial=self.trivial,
        )

    def finish(self, session: pytest.Session) -> None:
        """Write the results where the run was told to."""
        path = Settings.from_config(self.config).json
        results = self.results()
        if hasattr(self.config, "workerinput") or results is None:
            return
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, results.to_json())
        if self.stored is not None and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            # to render stored results is to run no test, and it went well
            session.exitstatus = pytest.ExitCode.OK

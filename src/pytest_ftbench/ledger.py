"""Collects the records of a run in the process that reports it, and writes them to a file. PYTEST_DONT_REWRITE."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ftbench import __version__
from pytest_ftbench.grid import KILLED, Failure, Results, UserError, read_results
from pytest_ftbench.plugin import LEDGER
from pytest_ftbench.progress import show
from pytest_ftbench.provenance import git_state
from pytest_ftbench.records_channel import Outbox
from pytest_ftbench.settings import WRITTEN, compare_limits, report_path
from pytest_ftbench.store import package_versions, write_file, write_json
from pytest_ftbench.suite_records import SuiteRecords, test_of

if TYPE_CHECKING:
    from pytest_ftbench.analysis import Breach, Comparison, Limit
    from pytest_ftbench.benchmark_bridge import Baseline
    from pytest_ftbench.report import Contents

_PACKAGES = ("pytest", "torch", "transformers", "tokenizers", "accelerate", "trl", "peft", "datasets", "bitsandbytes")
_KILLED = "if it was for want of memory: fewer workers (-n), a lower recipe.per_device_train_batch_size, or lora"


def ledger_of(config: pytest.Config) -> "Ledger":
    """The run's ledger."""
    return config.stash.setdefault(LEDGER, Ledger(config))


@dataclass(eq=False)
class Ledger:
    """The records of a run, by suite file."""

    config: pytest.Config
    suites: dict[str, SuiteRecords] = field(default_factory=dict)
    stored: Results | None = None
    problem: str | None = None
    written: list[Path] = field(default_factory=list)
    comparisons: list["tuple[str, Comparison]"] = field(default_factory=list)
    breaches: "list[Breach]" = field(default_factory=list)
    outbox: Outbox | None = None
    """Where workers hear what this process has heard, once there are gates to be judged by them."""

    _begun: dict[str, dict[str, Any]] = field(default_factory=dict)

    def listen(self, report: pytest.TestReport) -> None:
        """Take what a report says of a cell: its record, a note from a worker at work on it, or that worker's end."""
        said = vars(report)
        if "ftbench" in said:
            self._take(said["ftbench"], report.nodeid)
        elif "ftbench_gate" in said:
            self._suite(said["ftbench_gate"]).take_verdicts(said["ftbench_gate"])
        elif "ftbench_note" not in said:
            self._lose(report)
        elif "begun" in (note := said["ftbench_note"]):
            self._begun[report.nodeid] = note["begun"]
        else:
            show(self.config, note["line"], said.get("worker_id"))

    def _lose(self, report: pytest.TestReport) -> None:
        """Record as failed the cell whose worker died; the report is what xdist says instead."""
        if report.failed and (payload := self._begun.pop(report.nodeid, None)) is not None:
            payload["record"]["error"] = str(report.longrepr)
            payload["record"] |= Failure(KILLED, _KILLED).as_extra()
            if failure := vars(report).get("ftbench_failure"):  # its worker left word of why it ended
                payload["record"]["failure"] = failure
            self._take(payload, report.nodeid)

    def _take(self, payload: dict[str, Any], nodeid: str) -> None:
        self._suite(payload).take(payload, nodeid)
        if self.outbox is not None:
            self.outbox.tell(payload, nodeid)

    def _suite(self, payload: dict[str, Any]) -> SuiteRecords:
        return self.suites.setdefault(payload["place"], SuiteRecords(payload["suite"]))

    def load(self, path: Path) -> None:
        """Take stored results instead of running cells.

        Raises pytest's usage error where the file isn't one.
        """
        self.stored = self._read(path)

    @cached_property
    def baseline(self) -> tuple[str, Results] | None:
        """The results to hold this run's against, and what they are called; None where none were named.

        Raises pytest's usage error where the file isn't one.
        """
        name = self.config.getoption("ftbench_baseline")
        return None if name is None else (Path(name).name, self._read(Path(name)))

    def _read(self, path: Path) -> Results:
        try:
            return read_results(self.config.invocation_params.dir / path)
        except UserError as error:
            raise pytest.UsageError(str(error)) from None

    @property
    def results(self) -> list[Results]:
        """All records, those of a suite together and in its order; or the stored ones. All checks are made.

        To be asked for once all cells are told of.
        """
        return [results for results, _ in self._told]

    @property
    def contents(self) -> "list[Contents]":
        """What reports on the results are made of, computed once for all of them."""
        return [contents for _, contents in self._told]

    @cached_property
    def _told(self) -> "list[tuple[Results, Contents]]":
        found = self._found()
        if not found:  # a run that ends at once need not wait for what nothing is told by
            return []
        from pytest_ftbench.analysis import set_flags
        from pytest_ftbench.report import Contents

        told = [(results, Contents.of(results, self.baseline)) for results in found]
        for results, contents in told:
            set_flags(results.cells, contents.alone)
        return told

    def _found(self) -> list[Results]:
        if self.stored is not None:
            for suite in self.suites.values():  # judged anew
                self.stored.extra |= suite.said_of_gates
                self.stored.provenance["gate"] = suite.gate
            return [self.stored]
        if not self.suites:
            return []
        common = {
            **git_state(self.config.rootpath),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "packages": {"pytest-ftbench": __version__, **package_versions(*_PACKAGES)},
        }
        return [
            Results(
                suite=suite.name,
                cells=[suite.records[index] for index in sorted(suite.records)],
                provenance=common
                | suite.machine
                | {"checks": suite.checks, "hygiene": suite.hygiene, "questions": suite.questions}
                | ({} if suite.gate is None else {"gate": suite.gate}),
                trivial=suite.trivial,
                extra=suite.said_of_gates,
            )
            for _, suite in sorted(self.suites.items())
        ]

    def finish(self, session: pytest.Session) -> None:
        """Write the results where the run was told to, and compare them with what it was told to compare with."""
        self._write()
        if self.stored is None and self.config.pluginmanager.has_plugin("pytest-benchmark"):
            self._benchmark(session)
        if self.problem is not None:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        elif self.stored is not None and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            # to render stored results is to run no test, and it went well
            session.exitstatus = pytest.ExitCode.OK

    def _benchmark(self, session: pytest.Session) -> None:
        """Hand the cells to pytest-benchmark, in the order of their suites, and compare them with stored runs."""
        pattern = self.config.getoption("benchmark_compare")
        if not (self.suites or pattern):
            return
        from pytest_ftbench.benchmark_bridge import Baseline, baselines, feed

        suites = [suite for _, suite in sorted(self.suites.items())]
        feed(self.config, [pair for suite in suites for pair in suite.measured()])
        if not pattern:
            return
        named = "" if pattern is True else f" for {pattern}"
        nothing = Baseline(f"a stored run, but none with cells was found{named}", {})
        limits = compare_limits(self.config)
        for baseline in baselines(self.config) or [nothing]:
            self._compare(baseline, suites, limits)
        if self.breaches and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _compare(self, baseline: "Baseline", suites: Sequence[SuiteRecords], limits: "Sequence[Limit]") -> None:
        """Compare each suite with its own part of a stored run; what is nobody's is held against the first."""
        from pytest_ftbench.analysis import broken, compare

        owner = {test: index for index, suite in enumerate(suites) for test in suite.tests}
        for index, suite in enumerate(suites or [SuiteRecords("none")]):
            then = [record for nodeid, record in baseline.records.items() if owner.get(test_of(nodeid), 0) == index]
            comparison = compare(list(suite.records.values()), then, suite.trivial)
            self.comparisons.append((baseline.name, comparison))
            self.breaches += broken(comparison, limits)

    def _write(self) -> None:
        """Write each file that was asked for; one that can't be written keeps none of the others from it."""
        results, contents = self.results, self.contents
        for kind in WRITTEN:
            try:
                path = report_path(self.config, kind)
                if path is None:
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                for index, (file, content) in enumerate(zip(_files(path, len(results)), results, strict=True)):
                    if kind == "json":
                        write_json(file, content.to_json())
                    else:
                        write_file(file, self.report(kind, contents[index], index))
                    self.written.append(file)
            except (OSError, UserError) as error:
                what = "results" if kind == "json" else "report"
                said = f"--ftbench-{kind}: the {what} can't be written ({error}); run again with another file."
                self.problem = said if self.problem is None else f"{self.problem}\n{said}"

    def report(self, kind: str, contents: "Contents", index: int) -> str:
        """The report on the suite of that index; as Markdown it says in which file the records are."""
        from pytest_ftbench.report import render_html, render_markdown

        if kind == "html":
            return render_html(contents)
        stored = self.config.getoption("ftbench_from") or self.config.getoption("ftbench_json")
        whole = _numbered(Path(stored), index + 1).name if stored else None
        return render_markdown(contents, self.config.option.verbose > 0, whole=whole)


def _files(path: Path, count: int) -> Iterator[Path]:
    """The file itself for one suite; with several, each gets its own, numbered from the second on."""
    return (_numbered(path, number) for number in range(1, count + 1))


def _numbered(path: Path, number: int) -> Path:
    return path if number == 1 else path.with_stem(f"{path.stem}-{number}")

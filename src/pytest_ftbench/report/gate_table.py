"""The verdicts of gates as a table, the worst first: a row for each metric of a cell that is held to something."""

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_ftbench.analysis import Standing, task_label
from pytest_ftbench.analysis.gate_verdict import Kind, Outcome, Verdict
from pytest_ftbench.grid import Cell, CheckpointKey, UserError, method_label, parse_cell
from pytest_ftbench.report.contents import Contents
from pytest_ftbench.report.full_table import WORDS
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.layout import Column, Group, Section, Sheet, Style, Text, in_fewest_parts
from pytest_ftbench.report.notes import explained
from pytest_ftbench.report.verdicts import counted, read_verdicts, told, worst_first
from pytest_ftbench.report.words import ABSENT, clean, elided, score, short_names, signed

GATES_TITLE = "Gates"

_COLUMNS = (
    "Was: in the baseline. Score and format: in points, hundredths of a full score or of all outputs; ms/tok: time per "
    "output token after the first. Change: now less then, in points (pt) or in percent of the baseline (%); 95 %: its "
    "interval by itself (of a floor or ceiling that of what is now), while verdicts count how many comparisons there "
    "are."
)
_METRICS = {
    ("score", "points"): "score",
    ("format_rate", "points"): "format",
    ("tokens", "tokens"): "tokens",
    ("ms_per_token", "ms"): "ms/tok",
    ("train_memory", "GiB"): "train GiB",
    ("eval_memory", "GiB"): "eval GiB",
}
"""How a metric in its unit is called in a column; any other by its name and unit."""
_FORMATS = {"ms": ".2f", "GiB": ".2f"}
_UNITS = {"points": "pt", "": ""}
_INSTEAD = {Standing.FAILED: "failed", Standing.SKIPPED: "skipped"}
_STYLES = {"fail": Style.ALARM, "warn": Style.STRONG, "skip": Style.DIM, "pass": Style.DIM}
_NARROW, _SCROLLS = 100, 1_000
_METRIC_ROOM, _UNIT_ROOM, _FULL_ROOM = 10, 4, 200
_LIMITS = 12


@dataclass(frozen=True)
class GateRow:
    """A verdict, the checkpoint and eval task of its cell, and what is the matter with that cell now."""

    verdict: Verdict
    key: CheckpointKey
    task: str
    standing: Standing = Standing.OK

    @property
    def passes(self) -> bool:
        """Whether nothing need be told of it."""
        return self.verdict.outcome is Outcome.PASS


@dataclass(frozen=True)
class Gates:
    """What gates say of a run: ``counts`` in a sentence, ``rows`` the worst first, ``problem`` what can't be read."""

    counts: str
    rows: tuple[GateRow, ...]
    names: Names
    width: int
    problem: str = ""

    @property
    def open(self) -> list[GateRow]:
        """The rows that don't pass."""
        return [row for row in self.rows if not row.passes]

    @property
    def passed(self) -> list[GateRow]:
        """The rows that pass."""
        return [row for row in self.rows if row.passes]

    @classmethod
    def of(cls, contents: Contents, width: int, name_width: int) -> "Gates | None":
        """The gates of these contents, as their results have them; None where these have neither gates nor verdicts."""
        given = contents.results.extra.get("gates")
        if given is None and not contents.results.provenance.get("gate"):
            return None
        verdicts, problem = read_verdicts(given)
        cells = _cells(contents)
        seed = next((key.seed for key, _, _ in cells.values()), 0)
        rows = tuple(_row(verdict, cells, seed) for verdict in worst_first(verdicts))
        keys = dict.fromkeys([*(row.key for row in contents.table.rows), *(row.key for row in rows)])
        return cls(counted(verdicts), rows, Names(list(keys), name_width), width, problem)

    def sheet(self, *sections: Sequence[GateRow]) -> tuple[Sheet, list[str]]:
        """These rows as a table, and what it takes to read it; sections of several are named by their verdicts."""
        rows = [row for section in sections for row in section]
        columns = self._labels(rows)
        whole, brief = (Sheet(columns, self._groups(rows, allowed), _named(sections)) for allowed in (True, False))
        shows_limits, sheet = in_fewest_parts([(True, whole), (False, brief)], self.width)
        if not sheet.fits(self.width):
            # names in columns of their own don't fit: ids, shortened, always do
            shows_limits, sheet = False, Sheet(self._ids(rows), brief.groups, brief.sections)
        return sheet, [_COLUMNS, *_marks(rows), *([] if shows_limits else _limits(rows)), *self._shortened(rows)]

    def texts(self, rows: Sequence[GateRow]) -> list[str]:
        """Why each of these doesn't pass, and what it needs."""
        return list(told([row.verdict for row in rows]))

    def _labels(self, rows: Sequence[GateRow]) -> Group:
        keys = [row.key for row in rows]
        # columns as wide as their headings leave room for numbers on a narrow page
        trained_room, tested_room = (10, 9) if self.width < _NARROW else (12, 12)
        trained = [_task(key.train_task, trained_room) for key in keys]
        tested = [_task(row.task, tested_room) for row in rows]
        return Group(
            "",
            [
                self.names.model(keys),
                *self.names.way(keys),
                Column("Trained on", trained, words=True),
                Column("Tested on", tested, words=True),
                _metrics(rows),
            ],
        )

    def _shortened(self, rows: Sequence[GateRow]) -> list[str]:
        """Which names of these rows are shown shortened."""
        used = {row.key.model for row in rows} | {method_label(row.key.method) for row in rows}
        pairs = {**self.names.models, **self.names.methods}.items()
        full = {short: elided(clean(name), _FULL_ROOM) for name, short in pairs if name in used}
        return [f"{short} is {name}." for short, name in full.items() if short != name]

    def _ids(self, rows: Sequence[GateRow]) -> Group:
        short = short_names((row.verdict.cell for row in rows), max(20, 2 * self.width // 5))
        return Group("", [Column("Cell", [Text(short[row.verdict.cell]) for row in rows], words=True), _metrics(rows)])

    def _groups(self, rows: Sequence[GateRow], allowed: bool) -> list[Group]:
        verdicts = [row.verdict for row in rows]
        said = Column("Verdict", [Text(_word(each.outcome), style=_style(each)) for each in verdicts], words=True)
        room = 160 if self.width > _SCROLLS else 40
        numbers = [
            [Column("Was", [_number(v.was, v.unit) for v in verdicts]), Column("Now", [_now(row) for row in rows])],
            [Column("Change", [_change(v) for v in verdicts]), Column("95 %", [_interval(v) for v in verdicts])],
        ]
        # where there is no baseline at all there are no changes
        known = [columns for columns in numbers if any(map(_says, columns))]
        groups = [Group("", [said]), *(Group("", columns) for columns in known)]
        limits = [Text(elided(clean(verdict.limit), room)) for verdict in verdicts]
        return [*groups, Group("", [Column("Allowed", limits, words=True)])] if allowed else groups


def _says(column: Column) -> bool:
    """Whether anything is known in a column."""
    return any(cell.tail or cell.body != ABSENT for cell in column.cells)


def _cells(contents: Contents) -> dict[str, tuple[CheckpointKey, str, Standing]]:
    """The cells of the full table by their ids without a seed; of several that share one what is worst."""
    found: dict[str, tuple[CheckpointKey, str, Standing]] = {}
    for row in contents.table.rows:
        key = row.key
        for task, cell in row.cells.items():
            way = Cell(key.model, key.method, task, key.train_task, key.rank, key.quantization).way
            before = found.get(way)
            if before is None or before[2] is Standing.OK:
                found[way] = key, task, cell.standing
    return found


def _row(verdict: Verdict, cells: dict[str, tuple[CheckpointKey, str, Standing]], seed: int) -> GateRow:
    if verdict.cell in cells:
        return GateRow(verdict, *cells[verdict.cell])
    try:
        cell = parse_cell(verdict.cell)
    except UserError:
        # an id that isn't one stands where a name does
        return GateRow(verdict, CheckpointKey(verdict.cell, ABSENT, None, None, None, seed), ABSENT)
    return GateRow(verdict, cell.checkpoint_key._replace(seed=seed), cell.eval_task)


def _named(sections: Sequence[Sequence[GateRow]]) -> list[Section]:
    known = [section for section in sections if section]
    if len(known) < 2:
        return [Section("", len(section)) for section in known]
    return [Section("Passed" if section[0].passes else "Not passed", len(section)) for section in known]


def _task(name: str | None, room: int) -> Text:
    return Text(ABSENT if name is None else elided(clean(task_label(name)), room))


def _metrics(rows: Sequence[GateRow]) -> Column:
    return Column("Metric", [Text(_metric(row.verdict)) for row in rows], words=True)


def _metric(verdict: Verdict) -> str:
    known = _METRICS.get((verdict.metric, verdict.unit))
    return elided(clean(f"{verdict.metric} {verdict.unit}"), _METRIC_ROOM) if known is None else known


def _number(value: float | None, unit: str) -> Text:
    return Text(score(value, _FORMATS.get(unit, ".1f")))


def _now(row: GateRow) -> Text:
    """What was measured now, with the mark of its cell; or why nothing was."""
    verdict = row.verdict
    if verdict.now is None and row.standing in _INSTEAD:
        return Text(_INSTEAD[row.standing], style=Style.ALARM if row.standing is Standing.FAILED else Style.DIM)
    return Text(_number(verdict.now, verdict.unit).body, WORDS.get(row.standing, ""))


def _change(verdict: Verdict) -> Text:
    if verdict.change is None:
        return Text(ABSENT)
    unit = _UNITS.get(verdict.change_unit, elided(clean(verdict.change_unit), _UNIT_ROOM))
    return Text(signed(verdict.change, ".1f"), f" {unit}".rstrip())


def _interval(verdict: Verdict) -> Text:
    if verdict.interval is None:
        return Text(ABSENT)
    # of a floor or ceiling it is that of what was measured, which has no sign
    shown = score if verdict.kind is Kind.LIMIT else signed
    low, high = (shown(end, ".1f") for end in verdict.interval)
    return Text(f"[{low}, {high}]")


def _word(outcome: Outcome) -> str:
    """A verdict in a column that 80 characters have room for."""
    return "no baseline" if outcome is Outcome.MISSING else str(outcome)


def _style(verdict: Verdict) -> Style:
    """Red is what fails its test, bold what is warned of."""
    return Style.PLAIN if verdict.outcome is Outcome.PASS else _STYLES[verdict.action]


def _marks(rows: Sequence[GateRow]) -> list[str]:
    """What the marks in these rows mean."""
    nows = [_now(row) for row in rows]
    found = {text.body for text in nows} | {text.tail.strip() for text in nows}
    known = [(row.verdict.was, row.verdict.now, row.verdict.change, row.verdict.interval) for row in rows]
    absent = any(None in each for each in known) or any(None in (row.key.train_task, row.key.rank) for row in rows)
    return explained({*found, ABSENT} if absent else found - {ABSENT})


def _limits(rows: Sequence[GateRow]) -> list[str]:
    """What is allowed of each metric, where there is no column for it."""
    known = dict.fromkeys((_metric(row.verdict), elided(clean(row.verdict.limit), 160)) for row in rows)
    texts = [f"{metric}: {limit}" for metric, limit in known if limit]
    more = [f"and {len(texts) - _LIMITS} more"] if len(texts) > _LIMITS else []
    return [f"Allowed: {'; '.join([*texts[:_LIMITS], *more])}."] if texts else []

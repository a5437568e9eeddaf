"""The sweeps of learning rates on a page: a row per way of tuning, a column per rate, and what the sweep cost."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from pytest_ftbench.analysis import RateSweep, number, swept_rates, task_label
from pytest_ftbench.report.full_table import metric_heading
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.layout import Column, Group, Section, Sheet, Style, Text
from pytest_ftbench.report.words import aligned, clean, count, score

SWEEP_TITLE = "Learning rates tried, and what each reached on validation rows"

_CHOSEN, _EDGE, _FAILED = "✓", "!", "×"
_TRIED = (
    "Every way was tried at as many planned rates, around one that is usual for its method (ten times full "
    "fine-tuning's for LoRA and its kin, a hundred for VeRA and IA³, a thousand for prompts) or that the suite names; "
    "a best one at the edge adds some. All are judged on the same rows and trained for as long as what is tested. The "
    "best score is chosen, of equal ones the one of lower loss; what is tested is trained afresh at that rate, with "
    "other seeds."
)
_JUDGED = {
    "held out": "a tenth of the training rows, left out of all training here: another recipe trains on these as well",
    "training rows": "rows that were trained on, as the task asks for those",
    "tested items": "items that are tested, for want of others: scores of a tuned rate are a little too good",
}
_EXPLAINED = {
    _CHOSEN: f"{_CHOSEN} the rate that was chosen.",
    _EDGE: f"{_EDGE} it is the lowest or highest that was tried: a better one may lie beyond.",
    _FAILED: f"{_FAILED} its training diverged.",
}
_COST = (
    "Trials: rates tried, those after the + because the best one was at the edge. Seconds: of all their trainings and "
    "answers; Tokens: that they trained on, to where they diverged."
)


def sweep_sheet(sweeps: Sequence[RateSweep], names: Names) -> Sheet:
    """All sweeps in one table, so that a rate is one column throughout."""
    keys = [sweep.key for sweep in sweeps]
    rates = swept_rates(sweeps)
    columns = [
        Group("", [Column(heading, [_cell(sweep, rate) for sweep in sweeps])])
        for heading, rate in zip(_headings(rates), rates, strict=True)
    ]
    method, rank = names.way(keys)[:2]  # one sweep serves all seeds and quantizations
    return Sheet(
        labels=Group("", [names.model(keys), method, rank]),
        groups=[*columns, _cost(sweeps)],
        sections=[Section(heading, len(list(some))) for heading, some in groupby(sweeps, _heading)],
    )


def sweep_notes(sweeps: Sequence[RateSweep], sheet: Sheet) -> Iterator[str]:
    """What the numbers mean, the marks that occur, and what all sweeps cost together."""
    yield _TRIED
    yield from _judged(sweeps)
    cells = [cell for group in sheet.groups for column in group.columns for cell in column.cells]
    yield from (text for mark, text in _EXPLAINED.items() if any(mark in cell.body + cell.tail for cell in cells))
    yield _COST
    yield f"In all {', '.join(_total(sweeps))}."


def _judged(sweeps: Sequence[RateSweep]) -> Iterator[str]:
    """By which rows the rates were chosen, where that wants saying, and on which tasks."""
    for kind, text in _JUDGED.items():
        tasks = dict.fromkeys(task_label(str(sweep.key.train_task)) for sweep in sweeps if sweep.judged_by == kind)
        if tasks:
            yield f"{' and '.join(map(clean, tasks))}: rates were chosen by {text}."


def _total(sweeps: Sequence[RateSweep]) -> Iterator[str]:
    """The cost of all sweeps, as far as it is known of each."""
    trials = sum(len(sweep.trials) for sweep in sweeps)
    yield f"{trials} trial{'s' * (trials != 1)} of {len(sweeps)} way{'s' * (len(sweeps) != 1)} to tune"
    if (seconds := _sum([sweep.seconds for sweep in sweeps])) is not None:
        yield f"{seconds:.0f} s"
    if (tokens := _sum([sweep.tokens for sweep in sweeps])) is not None:
        yield f"{count(tokens)} training tokens"
    for word, values in (("seed", {s.seed for s in sweeps}), ("validation rows", {s.rows for s in sweeps})):
        known = sorted(value for value in values if value is not None)
        if known:
            yield f"{word} {' and '.join(map(str, known[:6]))}"


def _heading(sweep: RateSweep) -> str:
    return f"Trained on {clean(task_label(str(sweep.key.train_task)))}: validation {metric_heading(sweep.metric)}"


def _headings(rates: Sequence[float]) -> list[str]:
    """The rates as headings such as ``6.3e-4``, with as many digits as tell them apart."""
    for digits in range(1, 17):
        texts = [_scientific(rate, digits) for rate in rates]
        if digits > 1 and len(set(texts)) == len(texts):
            return texts
    return texts


def _scientific(rate: float, digits: int) -> str:
    mantissa, exponent = f"{rate:.{digits - 1}e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"


def _cell(sweep: RateSweep, rate: float) -> Text:
    """What a way reached at a rate; nothing where it wasn't tried."""
    trial = sweep.trials.get(rate)
    if trial is None:
        return Text("")
    if trial.failed:
        return Text(_FAILED)
    shown = score(trial.score, sweep.metric.format)
    if rate != sweep.chosen:
        return Text(shown)
    return Text(shown, _CHOSEN + _EDGE * sweep.at_edge, Style.STRONG)


def _cost(sweeps: Sequence[RateSweep]) -> Group:
    def column(heading: str, read: Callable[[RateSweep], str]) -> Column:
        return Column(heading, [Text(read(sweep)) for sweep in sweeps])

    seconds = aligned([sweep.seconds for sweep in sweeps], digits=3, room=5)
    return Group(
        "",
        [
            column("Trials", _trials),
            Column("Seconds", [Text(text) for text in seconds]),
            column("Tokens", lambda sweep: count(sweep.tokens)),
        ],
    )


def _trials(sweep: RateSweep) -> str:
    planned = len(sweep.trials) - sweep.extended
    return f"{planned}+{sweep.extended}" if sweep.extended else str(planned)


def _sum(values: Sequence[float | None]) -> float | None:
    """The sum of values that are all known; a finite one."""
    known = [value for value in values if value is not None]
    return number(sum(known)) if known and len(known) == len(values) else None

"""Adapters against full fine-tuning: the best of them, as in the studies' second table, and all of them."""

from collections.abc import Callable, Iterator, Sequence

from pytest_ftbench.analysis.answers import AnswerTable, Entry, Reply
from pytest_ftbench.analysis.clauses import (
    Read,
    gap_entries,
    gap_text,
    highest,
    named,
    scored,
    seconds,
    tokens,
    verdict,
)
from pytest_ftbench.analysis.material import Gap, Material, is_adapter
from pytest_ftbench.analysis.metrics import number
from pytest_ftbench.analysis.pairs import FULL
from pytest_ftbench.analysis.questions_base import against_larger
from pytest_ftbench.analysis.validity import Standing
from pytest_ftbench.analysis.wording import UNKNOWN, formatted, label, listed, percent, short
from pytest_ftbench.grid import CellRecord, method_label

NO_FULL = "full fine-tuning (nopeft) and an adapter that were trained and tested on one task, with their scores"
_Beside = tuple[list[CellRecord], CellRecord]


def memory_to_spare(material: Material) -> Reply:
    """The best adapter on each task against full fine-tuning: the studies' second table."""
    found = _beside_full(material)
    if not found:
        return Reply(missing=NO_FULL)
    clauses, rows, count = [], [], sum(len(adapters) for adapters, _ in found)
    for adapters, full in found:
        best = material.best(adapters)
        # each of them could have come out best
        gap = material.gap(full, best[0], count) if best else None
        clauses.append(_clause(material, adapters, full, best, gap))
        task = material.task(full)
        # where none may be ranked, those with the highest number, marked
        first = best or highest(adapters, material.score, task.goodness)
        name = f"{label(full.eval_task)} {short(task.headline.label)}"
        rows.append(_row(material, name, first, full, material.scored, gap))
        rows += _as_studies(material, adapters, full)
    headings = (
        "Task",
        "Best adapter",
        "Score",
        "Lat s",
        "Tok",
        "NoPeft",
        "Lat s",
        "Tok",
        "NoPeft less",
        "95 %",
        "Flags",
    )
    said = f"Full fine-tuning against the best adapter: {'; '.join(clauses)}."
    apart = "AbsDiff and F1° are the studies' own measures, to be compared with theirs: over parsed outputs only."
    also = (apart,) if len(rows) > len(found) else ()
    return Reply((said, *also), AnswerTable(headings, tuple(rows), labels=2))


def partial_or_full(material: Material) -> Reply:
    """Every adapter against full fine-tuning: how many are shown to be better or worse, by task and method."""
    found = _beside_full(material)
    if not found:
        return Reply(missing=NO_FULL)
    count = sum(len(adapters) for adapters, _ in found)
    rows, shown = [], []
    for adapters, full in found:
        for method in dict.fromkeys(record.method for record in adapters):
            mine = [record for record in adapters if record.method == method]
            gaps = [material.gap(record, full, count) for record in mine]
            shown += [_shown(gap) for gap in gaps]
            rows.append(_method_row(material, mine, full, gaps))
    corrected = f" (intervals corrected for {count} comparisons)" if count > 1 else ""
    of = f"Of {count} adapters" if count > 1 else "Of one adapter"
    said = (
        f"{of} against full fine-tuning on the same task, shown to be better: {shown.count(1)}, worse: "
        f"{shown.count(-1)}, neither: {shown.count(0)}, not to be ranked against it: {shown.count(None)}{corrected}."
    )
    unread = [f"{label(full.eval_task)}: {material.said(full)}" for _, full in found if not _ranked(material, full)]
    marked = [f"Full fine-tuning can't win where it is marked ({listed(unread)})."] if unread else []
    headings = (
        "Task",
        "Method",
        "n",
        "NoPeft",
        "Least",
        "Most",
        "Better",
        "Worse",
        "Open",
        "Unranked",
        "ms/tok %",
        "Flags",
    )
    return Reply((said, *marked), AnswerTable(headings, tuple(rows), labels=2))


def adapters_or_more(material: Material) -> Reply:
    """The best adapter against full fine-tuning and against a larger model."""
    full, larger = memory_to_spare(material), against_larger(material, adapters=True)
    if full.missing and larger.missing:
        return Reply(missing=f"{full.missing}; or {larger.missing}")
    return Reply((*full.sentences[:1], *larger.sentences[:1]), larger.table or full.table)


def _beside_full(material: Material) -> list[_Beside]:
    """The adapters of each model and task, and full fine-tuning beside them."""
    found = []
    for cells in material.trained.values():
        full = next((record for record in cells if record.method == FULL), None)
        adapters = [record for record in cells if is_adapter(record)]
        if full is not None and adapters and scored(material, adapters, full):
            found.append((adapters, full))
    return found


def _shown(gap: Gap | None) -> int | None:
    """What is shown; None where nothing can be, for one of the two may not be ranked."""
    return 0 if gap is None else gap.shown if gap.shown or gap.ranked else None


def _ranked(material: Material, record: CellRecord) -> bool:
    return material.standing(record) is Standing.OK


def _clause(
    material: Material, adapters: Sequence[CellRecord], full: CellRecord, best: Sequence[CellRecord], gap: Gap | None
) -> str:
    task = label(full.eval_task)
    if not best:
        none = "the only adapter can't" if len(adapters) == 1 else f"none of {len(adapters)} adapters can"
        return f"{task}: {none} be ranked ({material.said(full)})"
    several = len(adapters) > 1
    one = (
        f"the best of {len(adapters)}, {named(material, best)}" if several else f"the only one, {named(material, best)}"
    )
    if not _ranked(material, full):
        return f"{task}: {material.said(full)} can't win; {one}, scores {material.scored(best[0]).text}"
    if gap is not None and gap.shown:
        return f"{task}: {verdict(gap, 'full fine-tuning')} than {one}, {gap_text(gap)}"
    return f"{task}: between full fine-tuning and {one}, {verdict(gap, '')}, {gap_text(gap)}"


def _row(
    material: Material,
    name: str,
    first: Sequence[CellRecord],
    full: CellRecord,
    entry: Callable[[CellRecord], Entry],
    gap: Gap | None,
) -> tuple[Entry, ...]:
    """The best adapters, of which the first is told, beside full fine-tuning."""
    cells = material.cell(first[0]), material.cell(full)
    return (
        Entry(name),
        Entry(named(material, first)),
        entry(first[0]),
        Entry(seconds(cells[0].latency_s)),
        Entry(tokens(cells[0].output_tokens)),
        entry(full),
        Entry(seconds(cells[1].latency_s)),
        Entry(tokens(cells[1].output_tokens)),
        *gap_entries(gap),
        material.flagged(first[0], full),
    )


def _as_studies(material: Material, adapters: Sequence[CellRecord], full: CellRecord) -> Iterator[tuple[Entry, ...]]:
    """The same by the studies' own measure, where the records have another than the headline."""
    task = material.task(full)
    read: Read
    if task.study is not None:
        study = task.study
        sign, measure, format = 1.0 if study.higher_is_better else -1.0, study.label, study.format
        read = task.study_score
    elif task.headline.key == "accuracy":
        sign, measure, format = 1.0, "F1°", ".4f"
        read = _parsed_only
    else:
        return

    def entry(record: CellRecord) -> Entry:
        return Entry(formatted(read(record), format), material.standing(record))

    if first := highest(adapters, read, lambda value: sign * value):
        yield _row(material, f"{label(full.eval_task)} {measure}", first, full, entry, None)


def _parsed_only(record: CellRecord) -> float | None:
    return number(record.scores.get("macro_f1_parsed_only"))


def _method_row(
    material: Material, mine: Sequence[CellRecord], full: CellRecord, gaps: Sequence[Gap | None]
) -> tuple[Entry, ...]:
    """The adapters of one method against full fine-tuning: least and most difference, and how many are what."""
    known = sorted((g for g in gaps if g is not None), key=lambda gap: gap.task.goodness(gap.value))
    ends = (known[0].difference, known[-1].difference) if known else (UNKNOWN, UNKNOWN)
    shown = [_shown(gap) for gap in gaps]
    then = material.cell(full).s_per_token
    speeds = sorted(speed for record in mine if (speed := material.cell(record).s_per_token) is not None)
    fast, slow = (percent(speeds[0], then), percent(speeds[-1], then)) if speeds else (UNKNOWN, UNKNOWN)
    return (
        Entry(label(full.eval_task)),
        Entry(short(method_label(mine[0].method))),
        Entry(str(len(mine))),
        material.scored(full),
        Entry(ends[0]),
        Entry(ends[1]),
        *(Entry(str(shown.count(verdict))) for verdict in (1, -1, 0, None)),
        Entry(fast if fast == slow else f"{fast} to {slow}"),
        material.flagged(full, *mine),
    )

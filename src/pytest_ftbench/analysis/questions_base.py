"""Whether tuning is worth it: against the same model untuned, and against a larger one."""

from collections.abc import Sequence

from pytest_ftbench.analysis.answers import AnswerTable, Entry, Reply
from pytest_ftbench.analysis.clauses import (
    above,
    against,
    gap_entries,
    gap_text,
    only_shorter,
    scored,
    speed_entries,
    verdict,
)
from pytest_ftbench.analysis.material import Gap, Material, is_adapter
from pytest_ftbench.analysis.pairs import FULL
from pytest_ftbench.analysis.validity import Standing
from pytest_ftbench.analysis.wording import UNKNOWN, gib, label, listed, percent, short
from pytest_ftbench.grid import CellRecord

NO_TUNED = "tuned cells that were tested on the task they were trained on, with their scores"
NO_BASE = "the untuned model's cells, with their scores, on the tasks that were trained on"
NO_LARGER = "the cells of another, larger model that is not tuned, on the tasks that were trained on"
_SPEED = ("Lat %", "ms/tok %", "Tok", "then")


def worth_it(material: Material) -> Reply:
    """The best way of tuning on each task against the untuned model, in score and in time."""
    pairs = _beside_base(material)
    if not pairs:
        return Reply(missing=NO_BASE if material.trained else NO_TUNED)
    clauses, rows = [], []
    for cells, base in pairs:
        best = material.best(cells)
        gap = material.gap(best[0], base, len(pairs)) if best else None
        clauses.append(against(material, cells, base, gap, "tuning"))
        # what has the highest number and may not be ranked is shown beside what is best
        for record in [*best[:1], *above(material, cells, best)]:
            mine = material.gap(record, base, len(pairs))
            rows.append(
                (
                    *_scores(material, record, base, mine),
                    *speed_entries(material, record, base),
                    material.flagged(record),
                )
            )
    said = f"Best way on each task against the untuned model: {'; '.join(clauses)}."
    tuned = [record for cells, _ in pairs for record in cells]
    headings = ("Trained on", "Way", "Score", "Untuned", "Change", "95 %", *_SPEED, "Flags")
    return Reply((said, *only_shorter(material, tuned)), AnswerTable(headings, tuple(rows), labels=2))


def memory_is_short(material: Material) -> Reply:
    """The best adapter on each task against the untuned model, and the memory that it saves."""
    pairs = _beside_base(material, adapters=True)
    if not pairs:
        return Reply(missing=f"adapters, and {NO_BASE}")
    clauses, rows = [], []
    for adapters, base in pairs:
        best = material.best(adapters)
        gap = material.gap(best[0], base, len(pairs)) if best else None
        clauses.append(against(material, adapters, base, gap, "it"))
        full = [r for r in material.trained[base.model, base.eval_task] if r.method == FULL]
        for record in [*best[:1], *above(material, adapters, best)]:
            mine = material.gap(record, base, len(pairs))
            rows.append(
                (
                    *_scores(material, record, base, mine),
                    *_memory(material, record, full),
                    *speed_entries(material, record, base)[:2],
                    material.flagged(record),
                )
            )
    said = f"Best adapter on each task against the untuned model: {'; '.join(clauses)}."
    known = any(row[6].text != UNKNOWN for row in rows)
    memory = () if known else ("What it saves can't be told: the records have no peak of training memory.",)
    headings = (
        "Trained on",
        "Way",
        "Score",
        "Untuned",
        "Change",
        "95 %",
        "Train GiB",
        "NoPeft",
        "Lat %",
        "ms/tok %",
        "Flags",
    )
    return Reply((said, *memory), AnswerTable(headings, tuple(rows), labels=2))


def against_larger(material: Material, adapters: bool = False) -> Reply:
    """The best tuned cell, or the best adapter, on each task against models that nothing was tuned of."""
    tuned = {model for model, _ in material.trained}
    others = [model for model in material.models if model not in tuned]
    pairs = [
        (chosen, base)
        for cells in material.trained.values()
        for other in others
        if (chosen := [record for record in cells if is_adapter(record) or not adapters])
        and (base := material.bases.get((other, None, cells[0].eval_task))) is not None
        and scored(material, chosen, base)
    ]
    if not pairs:
        return Reply(missing=NO_LARGER)
    clauses, rows = [], []
    for cells, base in pairs:
        best = material.best(cells)
        gap = material.gap(best[0], base, len(pairs)) if best else None
        task = label(base.eval_task)
        said = f"none of {len(cells)} tuned cells can be ranked"
        if best and material.standing(base) is Standing.INVALID:
            said = f"{material.said(best[0])}, with nothing to compare"
        elif best:
            said = f"{verdict(gap, 'the tuned one')}, {material.said(best[0])}, {gap_text(gap)}"
        clauses.append(f"{task}: {said} ({material.said(base)})")
        for record in [*best[:1], *above(material, cells, best)]:
            mine = material.gap(record, base, len(pairs))
            rows.append(
                (
                    *_scores(material, record, base, mine),
                    *speed_entries(material, record, base),
                    Entry(_eval_memory(material, record, base)),
                    material.flagged(record, base),
                )
            )
    what = "adapter" if adapters else "tuned cell"
    said = f"Best {what} on each task against untuned {listed(map(short, others))}: {'; '.join(clauses)}."
    headings = ("Trained on", "Way", "Score", "Larger", "Change", "95 %", *_SPEED, "Mem %", "Flags")
    return Reply((said,), AnswerTable(headings, tuple(rows), labels=2))


def _beside_base(material: Material, adapters: bool = False) -> list[tuple[list[CellRecord], CellRecord]]:
    """The tuned cells of each model and task, or of these the adapters, and the untuned one beside them."""
    found = []
    for cells in material.trained.values():
        chosen = [record for record in cells if is_adapter(record) or not adapters]
        base = material.base(cells[0])
        if chosen and base is not None and scored(material, chosen, base):
            found.append((chosen, base))
    return found


def _scores(material: Material, record: CellRecord, base: CellRecord, gap: Gap | None) -> tuple[Entry, ...]:
    """Task, way, both scores, and their difference."""
    return (
        Entry(label(record.eval_task)),
        Entry(material.way(record)),
        material.scored(record, best=gap is not None and gap.shown > 0),
        material.scored(base),
        *gap_entries(gap),
    )


def _memory(material: Material, record: CellRecord, full: Sequence[CellRecord]) -> tuple[Entry, Entry]:
    """The peaks of training it, and of full fine-tuning."""
    peaks = material.peaks([record, *full[:1]], "train") or material.peaks([record], "train")
    values = {} if peaks is None else peaks[1]
    return Entry(gib(values.get(id(record)))), Entry(gib(values.get(id(full[0])) if full else None))


def _eval_memory(material: Material, record: CellRecord, base: CellRecord) -> str:
    peaks = material.peaks([record, base], "eval")
    return UNKNOWN if peaks is None else percent(peaks[1][id(record)], peaks[1][id(base)])

"""What becomes another when a run's results are accepted as a baseline, in a few lines for whoever accepts them."""

from collections.abc import Iterator, Sequence

from pytest_ftbench.analysis import Change, Comparison, Measure, compare, pooled
from pytest_ftbench.analysis.intervals import full_score
from pytest_ftbench.grid import Results, acceptance
from pytest_ftbench.report.words import clean, elided, percent, score, signed

_LISTED = 10
_ID_ROOM = 60
_REASON_ROOM = 200
_SHA_LENGTH = 12
_OTHERS = {
    Measure.MS_PER_TOKEN: "ms per token",
    Measure.TOKENS: "tokens",
    Measure.TRAIN_MEMORY: "training memory",
    Measure.EVAL_MEMORY: "answering memory",
}


def render_acceptance(baseline: Results, before: Results | None) -> list[str]:
    """What the baseline is of, and what in it differs from the one it replaces (None: there was none).

    Cells are means over their seeds, the largest changes of scores first, each in hundredths of a full score.
    """
    lines = list(_what(baseline))
    if before is None:
        return lines
    comparison = compare(pooled(baseline.cells), pooled(before.cells), baseline.trivial)
    moved = sorted(filter(_moved, comparison.changes), key=_size, reverse=True)
    refused = [change for change in comparison.changes if change.deltas[Measure.SCORE].refusal is not None]
    lines += [_counts(before, comparison, len(moved)), *_table(moved)]
    if others := [text for measure in _OTHERS if (text := _largest(comparison.changes, measure))]:
        lines.append(f"largest other changes: {', '.join(others)}")
    for heading, ids in (("new", comparison.absent_then), ("gone", comparison.absent_now + comparison.failed_now)):
        if ids:
            lines.append(f"{heading}: {_named(ids)}")
    if refused:
        differences = dict.fromkeys(_difference(change) for change in refused)
        lines.append(f"scores not compared in {len(refused)}: {'; '.join(differences)}")
    return lines


def _what(baseline: Results) -> Iterator[str]:
    provenance, seeds = baseline.provenance, {repr(record.seed) for record in baseline.cells if record.train_task}
    commit = clean(str(provenance.get("git_sha") or "unknown")[:_SHA_LENGTH])
    many = f", {len(seeds)} seeds" if len(seeds) > 1 else ""
    yield f"{_cells(len(baseline.cells))} of suite {clean(baseline.suite) or '?'}{many}, commit {commit}"
    if provenance.get("dirty"):
        yield f"files differed from commit {commit} when this was measured, which the baseline says, too"
    left_out = (acceptance(baseline) or {}).get("left_out") or []
    if left_out:
        yield f"not measured and so not in it: {_named(left_out)}"
    failed = [record.id for record in baseline.cells if record.error]
    if failed:
        yield f"measured, but their tests failed: {_named(failed)}"
    if len(seeds) == 1:
        yield "one seed: how far trainings lie apart is not in it; --ftbench-seeds 3 measures that"


def _counts(before: Results, comparison: Comparison, moved: int) -> str:
    said = acceptance(before) or {}
    reason = elided(clean(said.get("reason", "")), _REASON_ROOM)
    gone = len(comparison.absent_now) + len(comparison.failed_now)
    return (
        f"in place of the one accepted on {clean(str(said.get('accepted'))[:10])} ({reason}): "
        f"{len(comparison.changes)} in both, {moved} of them with another score; "
        f"{len(comparison.absent_then)} new, {gone} gone"
    )


def _table(changes: Sequence[Change]) -> list[str]:
    """The largest changes, a line each, in columns."""
    if not changes:
        return []
    rows = [("", "", "was", "is", "change")]
    for change in changes[:_LISTED]:
        delta, headline = change.deltas[Measure.SCORE], change.task.headline
        numbers = (score(delta.then, headline.format), score(delta.now, headline.format))
        rows.append((_name(change.id), clean(headline.label), *numbers, signed(delta.change or 0.0, headline.format)))
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = [
        " ".join([*(text.ljust(width) for text, width in pairs[:2]), *(text.rjust(width) for text, width in pairs[2:])])
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    return lines + [f"and {len(changes) - _LISTED} smaller changes"] * (len(changes) > _LISTED)


def _moved(change: Change) -> bool:
    return bool(change.deltas[Measure.SCORE].change)


def _size(change: Change) -> float:
    """How large a change of a score is, as a share of a full one."""
    return abs(change.deltas[Measure.SCORE].change or 0.0) / full_score(change.task.headline.key)


def _largest(changes: Sequence[Change], measure: Measure) -> str:
    """The largest change of a measure in percent, and whose it is; empty where none is known."""
    known = [(found, change.id) for change in changes if (found := change.deltas[measure].percent)]
    if not known:
        return ""
    most, name = max(known, key=lambda pair: abs(pair[0]))
    return f"{_OTHERS[measure]} {percent(most)} % ({_name(name)})"


def _difference(change: Change) -> str:
    refusal = change.deltas[Measure.SCORE].refusal
    return clean(refusal.difference) if refusal is not None else ""


def _named(ids: Sequence[object]) -> str:
    more = f" and {len(ids) - _LISTED} more" if len(ids) > _LISTED else ""
    return ", ".join(_name(each) for each in ids[:_LISTED]) + more


def _name(name: object) -> str:
    return elided(clean(name), _ID_ROOM)


def _cells(count: int) -> str:
    return f"{count} cell{'' if count == 1 else 's'}"

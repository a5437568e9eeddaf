"""What a report says in words: what became of the cells, where numbers come from, trivial scores, why cells failed."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_ftbench.analysis import (
    EvalTask,
    FullTable,
    Standing,
    Trivial,
    answerer,
    seeds_of,
    trivial_scores,
)
from pytest_ftbench.grid import CellRecord, Failure, Results
from pytest_ftbench.report.words import clean, elided, score

_NAME_ROOM = 40
_CLASSES = 7  # as many as there are
_ERROR_ROOM = 600  # an error can carry a whole traceback: results.json keeps all of it
_ID_ROOM = 200
_NO_REASON = "no reason was recorded"

_APART = ((Standing.INVALID, "INVALID"), (Standing.TRIVIAL, "<trivial"))


@dataclass(frozen=True)
class Reason:
    """Why a cell failed, was skipped, or failed its test after it was measured (``what`` is the mark of that)."""

    cell: str
    what: str
    why: str


def counts(results: Results, table: FullTable) -> str:
    """How many cells there are, and what became of them."""
    found = Counter(cell.standing for row in table.rows for cell in row.cells.values())
    failed, skipped = found[Standing.FAILED], found[Standing.SKIPPED]
    measured = found.total() - failed - skipped
    apart = [f"{found[s]} {word}" for s, word in _APART if found[s]]
    text = (
        f"{found.total()} cells{_seeds(results.cells)}: {measured} ok{' (' + ', '.join(apart) + ')' if apart else ''},"
        f" {failed} failed{_classes(results.cells)}"
    )
    return text + (f", {skipped} skipped" if skipped else "")


def _classes(records: Sequence[CellRecord]) -> str:
    """Of which classes the failures are, the most frequent first; empty where no record says."""
    found = Counter(failure.kind for record in records if (failure := Failure.told(record)) is not None)
    listed = (f"{count} {elided(clean(kind), _NAME_ROOM)}" for kind, count in found.most_common(_CLASSES))
    return f" ({', '.join(listed)})" if found else ""


def facts(results: Results, table: FullTable) -> Iterator[str]:
    """Where the numbers come from, on how many items they stand, and what is the matter with the rows."""
    known = [", ".join(_provenance(results)), ", ".join(_sizes(results, table))]
    yield from (text for text in known if text)
    said = results.provenance.get("hygiene")
    if isinstance(said, list):
        yield from (elided(clean(text), _ERROR_ROOM) for text in said if isinstance(text, str))


def _seeds(records: Sequence[CellRecord]) -> str:
    """Over how many seeds the tuned cells are means; empty where none is one."""
    counts = {len(seeds_of(record)) for record in records if record.train_task is not None and record.ok}
    few, many = min(counts, default=1), max(counts, default=1)
    return "" if many == 1 else f", the tuned ones means over {few if few == many else f'{few} to {many}'} seeds"


def _sizes(results: Results, table: FullTable) -> Iterator[str]:
    """On how many test items each task's scores stand: ten items make no finding."""
    for task in table.tasks:
        cells = (cell for cell in results.cells if cell.ok and cell.eval_task == task.name)
        known = {cell.n for cell in cells if isinstance(cell.n, int)}
        if known:
            few, many = min(known), max(known)
            yield f"{clean(task.label)} on {few if few == many else f'{few} to {many}'} items"


def _provenance(results: Results) -> Iterator[str]:
    """The essentials of where the numbers come from, as far as they are known."""
    known = results.provenance
    if device := known.get("device_name") or known.get("device"):
        yield f"device {elided(clean(device), _NAME_ROOM)}"
    measured_in = dict.fromkeys(cell.eval_dtype for cell in results.cells if isinstance(cell.eval_dtype, str))
    if dtype := known.get("dtype") or " and ".join(filter(None, measured_in)):
        yield f"dtype {elided(clean(dtype), _NAME_ROOM)}"
    for word, key in (("reasoning", "reasoning"), ("rows of", "data")):
        said = sorted({text for cell in results.cells if cell.ok and (text := cell.provenance(key))})
        if said:
            yield f"{word} {elided(clean(' and '.join(said)), _NAME_ROOM)}"
    if sha := known.get("git_sha"):
        yield f"git {clean(sha)[:12]}{' (uncommitted changes)' if known.get('dirty') else ''}"


def trivial_lines(table: FullTable, results: Results, sources: Mapping[str, str]) -> Iterator[str]:
    """For each task what answerers score that read nothing, in the metrics that its cells are judged by."""
    for task in table.tasks:
        source = f" ({sources[task.name]})" if task.name in sources else ""
        if said := _said(results.trivial, task):
            yield f"Trivial on {clean(task.label)}: {said}{source}."
        judged = (task.judged_by(cell) for cell in results.cells if cell.ok and cell.eval_task == task.name)
        other = next((each for each in judged if each != task), None)
        if other is not None and (said := _said(results.trivial, other)):
            without = f"{clean(task.label)} cells without {task.headline.label}"
            yield f"{without} are judged by {other.headline.label}: {said}{source}."


def _said(trivial: Trivial, task: EvalTask) -> str:
    scores = trivial_scores(trivial, task).items()
    return ", ".join(f"{answerer(clean(name))} scores {score(value, task.headline.format)}" for name, value in scores)


def reasons(records: Sequence[CellRecord]) -> Iterator[Reason]:
    """Each cell that failed, was skipped for a reason, or failed its test after it was measured; and why."""
    for record in records:
        why = elided(clean(record.error or ""), _ERROR_ROOM)
        if record.ok and why:
            yield Reason(elided(clean(record.id), _ID_ROOM), "†", why)
        elif not record.ok and (why or record.status != "skipped"):
            what, advice = _class(record)
            yield Reason(elided(clean(record.id), _ID_ROOM), what, f"{why or _NO_REASON}{advice}")


def _class(record: CellRecord) -> tuple[str, str]:
    """A failed cell's status with the class of its failure, and the advice as far as the reason doesn't give it."""
    failure, status = Failure.told(record), elided(clean(record.status), _ID_ROOM)
    if failure is None:
        return status, ""
    advice = elided(clean(failure.advice or ""), _ERROR_ROOM)
    fix = advice.rpartition(": ")[2]
    told = not advice or fix in clean(record.error)
    return f"{status} ({elided(clean(failure.kind), _NAME_ROOM)})", "" if told else f" (advice: {advice})"

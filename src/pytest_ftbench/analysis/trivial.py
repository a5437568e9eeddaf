"""What trivial answerers score where a results file doesn't say it, as far as its records let that be known.

The golds among a record's items are all that these answerers need. Without items, the scores of SQuAD tell how many of
its questions are unanswerable, which is what always abstaining scores.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from pytest_ftbench.analysis.metrics import Trivial, item_count, number
from pytest_ftbench.grid import CellRecord
from pytest_ftbench.tasks import get_task

ITEMS = "from the items"
SCORES = "from the scores"
_TASKS = ("arc", "openmath", "squad")  # what answerers of others know is more than golds
_ROUNDED = 0.02  # how far off rounding to two digits may take a difference of differences
_CERTAIN = 4.0  # points: where two scores are no further apart, rounding decides what they say

Scores = dict[str, dict[str, dict[str, float | None]]]
"""As a results file has them."""


class KnownTrivial(NamedTuple):
    """The trivial scores, and of those that no file said how they are known, by eval task."""

    scores: Scores
    sources: Mapping[str, str]


def known_trivial(records: Sequence[CellRecord], trivial: Trivial) -> KnownTrivial:
    """The trivial scores of a file, completed by what its measured records tell of tasks that it doesn't name."""
    scores, sources = cast("Scores", dict(trivial)), {}
    for name in _TASKS:
        measured = [record for record in records if record.ok and record.eval_task == name]
        if trivial.get(name) or not measured:
            continue
        if golds := next(filter(None, map(_golds, measured)), None):
            scores[name], sources[name] = _scored(name, golds), ITEMS
        elif name == "squad" and (share := _unanswerable(measured)) is not None:
            scores[name], sources[name] = {"always_abstain": {"f1": 100 * share, "em": 100 * share}}, SCORES
    return KnownTrivial(scores, sources)


def _golds(record: CellRecord) -> list[Any]:
    """The golds of a record's items, as its task's rows have them; none where any isn't known."""
    listed: list[Any] = record.items if isinstance(record.items, list) else []
    texts = [item.get("gold") if isinstance(item, dict) else None for item in listed]
    if not all(isinstance(text, str) for text in texts):
        return []
    if record.eval_task != "openmath":
        return texts
    numbers = [_as_number(text) for text in texts]
    return [] if None in numbers else numbers


def _as_number(text: Any) -> float | None:
    try:
        return number(float(text))
    except ValueError:
        return None


def _scored(name: str, golds: Iterable[Any]) -> dict[str, dict[str, float | None]]:
    task, rows = get_task(name), [{"answer": gold} for gold in golds]
    return {answerer: task.score(outputs, rows)["scores"] for answerer, outputs in task.trivial(rows).items()}


def _unanswerable(records: Iterable[CellRecord]) -> float | None:
    """The share of questions without an answer, 0..1, from the scores that tell it best; None: none tells it."""
    best, found = _CERTAIN, None
    for record in records:
        known = {key: number(value) for key, value in record.scores.items()}
        none = known.get("no_ans_accuracy")
        for whole, part in ((known.get("f1"), known.get("has_ans_f1")), (known.get("em"), known.get("has_ans_em"))):
            if none is None or whole is None or part is None or abs(none - part) < best:
                continue
            share = (whole - part) / (none - part)
            if 0 <= share <= 1:
                best, found = abs(none - part), _whole(share, item_count(record), _ROUNDED / abs(none - part))
    return found


def _whole(share: float, n: int | None, error: float) -> float:
    """The share that is a whole number of n items, where no two are within the error."""
    return share if n is None or 2 * error * n >= 1 else round(share * n) / n

"""The outputs that are worth reading: the items that cells answer most differently, and what was said to them."""

from collections.abc import Iterator, Sequence

from pytest_ftbench.analysis import Standing, Trivial
from pytest_ftbench.analysis.disagreements import Disagreement, Said, disagreements
from pytest_ftbench.grid import CellRecord
from pytest_ftbench.report.full_table import WORDS
from pytest_ftbench.report.html_table import scrolling
from pytest_ftbench.report.markup import Markup, join, tag
from pytest_ftbench.report.words import clean, elided

_ITEMS = 60  # of all tasks together
_FEWEST, _MOST = 3, 15
_OUTPUTS = 12
_CELLS = 8
_OUTPUT_ROOM, _GOLD_ROOM, _NAME_ROOM = 600, 300, 80


def outputs(records: Sequence[CellRecord], trivial: Trivial) -> Markup:
    """Items to unfold under a heading for each task; empty where no record has an output."""
    tasks = len({record.eval_task for record in records})
    limit = min(_MOST, max(_FEWEST, _ITEMS // max(1, tasks)))
    parts = []
    for task, found in disagreements(records, trivial, limit):
        shown = "the item" if len(found) == 1 else f"the {len(found)} items"
        differ = "on which cells differ most" if found[0].spread else "that come first; cells score all alike"
        parts.append(tag("h3", f"{clean(task.label)}: {shown} {differ}"))
        parts += [_item(each) for each in found]
    return join(*parts)


def _item(found: Disagreement) -> Markup:
    name = elided(clean(found.item), _NAME_ROOM)
    verdict = f"{found.right} of {found.n} cells at the best score" if found.right else f"no score from {found.n} cells"
    summary = tag("summary", tag("strong", name), f": {verdict}, {_distinct(found)}")
    gold = tag("p", "Gold: ", _text(found.gold, _GOLD_ROOM))
    heads = tag("tr", *(tag("th", text, scope="col") for text in ("Score", "Output", "Cells")))
    table = tag(
        "table",
        tag("caption", f"Outputs to {name}"),
        tag("thead", heads),
        tag("tbody", *_rows(found.said)),
        class_="wordy",
    )
    return tag("details", summary, gold, scrolling(f"outputs to {name}", table))


def _distinct(found: Disagreement) -> str:
    return "1 output" if len(found.said) == 1 else f"{len(found.said)} different outputs"


def _rows(said: Sequence[Said]) -> Iterator[Markup]:
    for each in _worth_showing(said):
        score = "unknown" if each.score is None else f"{each.score:.4g}"
        yield tag("tr", tag("td", score), tag("td", _text(each.output, _OUTPUT_ROOM)), tag("td", _cells(each)))
    if len(said) > _OUTPUTS:
        yield tag("tr", tag("td", f"{len(said) - _OUTPUTS} more outputs are in the results file.", colspan=3))


def _worth_showing(said: Sequence[Said]) -> list[Said]:
    """The best and the worst, where there are too many."""
    return list(said) if len(said) <= _OUTPUTS else [*said[: _OUTPUTS // 2], *said[-_OUTPUTS // 2 :]]


def _cells(each: Said) -> str:
    named = [elided(clean(name), _NAME_ROOM) + WORDS.get(stands, "") for name, stands in each.cells[:_CELLS]]
    more = len(each.cells) - len(named)
    apart = sum(stands is not Standing.OK for _, stands in each.cells[_CELLS:])
    marked = f" ({apart} INVALID or <trivial)" if apart else ""
    return ", ".join(named) + (f" and {more} more{marked}" if more else "")


def _text(text: str, room: int) -> Markup:
    """Foreign text as it is, its own way of reading kept to itself; what can't be seen is visible."""
    if not text.strip():
        return tag("span", "empty" if not text else "blanks only", class_="nothing")
    return tag("span", elided(text, room), class_="output", dir="auto")

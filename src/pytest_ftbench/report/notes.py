"""What stands under a table: the meaning of every mark that occurs in it, and of no other."""

from collections.abc import Iterable, Iterator, Mapping

from pytest_ftbench.analysis import EvalTask
from pytest_ftbench.grid import BAG_OF_WORDS
from pytest_ftbench.report.layout import Sheet
from pytest_ftbench.report.words import clean, elided

COLUMNS = (
    "Lat s: mean seconds per answer. Tok: mean output tokens. ms/tok: time per output token after the "
    "first, where that was recorded, else latency over tokens; the speed to compare. "
    "Fmt%: outputs that could be read, in percent."
)

# in the order in which they are explained
_MARKS: Mapping[str, str] = {
    "*": "* best of its block, in score or, between answers of like length or timed token by token, in ms/tok; a bare "
    "latency is never best: saying less is not being faster.",
    "INVALID": "INVALID: under half of the outputs can be read, or over half are empty. Shown, never ranked.",
    "<trivial": "<trivial: not better than the best trivial answerer on the same items. Shown, never ranked.",
    "°": "° over parsed outputs only, as the studies score it; the headline score, which counts an unparsed output as "
    "an error, is missing. Shown, never ranked.",
    "†": "† measured, but its test failed, or a seed of it did; the reason is below.",
    "~": "~ within noise: the 95 % interval of the difference includes zero, each cell's by itself. What is beyond it "
    "isn't corrected for how many cells there are, as the comparisons are.",
    "?": "? no interval of the difference is known: nobody can say whether it is noise, and it is no improvement.",
    "failed": "failed: not measured; the reason is below.",
    "skipped": "skipped: not run.",
    "[": "[ ] in-domain: tested on the task it was trained on.",
    "null": "null: the headline score of this cell is missing.",
    "no base": "no base: the untuned model was not run on this task, in the same quantization.",
    "base failed": "base failed: the untuned model's cell failed.",
    "base null": "base null: the headline score of the untuned model is missing.",
    "base INVALID": "base INVALID: the untuned model's outputs can't be read; there is nothing to compare with.",
    "embedder": "embedder: scored by another embedder than the untuned model; no change can be told.",
    "base 0": "base 0: no change is relative to an untuned score of 0.",
    "from 0": "from 0: no change is relative to 0.",
    "was": "was: what the cell was marked with in the stored run; ok: with nothing.",
    "–": "– does not apply, was not run, or is not known.",
}
_NAME_ROOM = 60
_AT_END = ("*", "INVALID", "<trivial", "°", "†", "~", "?", "was")


def marks(sheet: Sheet) -> set[str]:
    """The marks that occur in a table."""
    found = set()
    for column in (column for group in sheet.groups for column in group.columns):
        for cell in column.cells:
            found |= {mark for mark in _AT_END if mark in cell.tail}
            found |= {cell.body[:1], cell.body.removeprefix("[")}
    # names of models and methods are no marks, whatever they look like; a rank or seed that isn't there is one
    found |= {cell.body for column in sheet.labels.columns if not column.words for cell in column.cells}
    return found & _MARKS.keys()


def explained(found: Iterable[str]) -> list[str]:
    """What these marks mean, a text each."""
    wanted = set(found)
    return [text for mark, text in _MARKS.items() if mark in wanted]


def embedders(tasks: Iterable[EvalTask]) -> Iterator[str]:
    """What the cosines in a table are between, a text per task; where that isn't one thing, that none is best."""
    for task in tasks:
        heading = f"{task.headline.label} of {clean(task.label)}"
        if not task.comparable:
            names = ", ".join(_between(name) for name in task.embedders)
            yield f"{heading}: between different things ({names}); not comparable with each other, none is best."
        elif task.embedders == (BAG_OF_WORDS,):
            yield (
                f"{task.headline.label}: between bags of words, not embeddings: it rewards shared words, not shared "
                "meaning."
            )
        elif task.embedders == (None,):
            yield f"{heading}: the records don't say whether between bags of words or between whose embeddings."
        elif task.embedders:
            yield f"{heading}: between {_between(*task.embedders)}."


def _between(name: str | None) -> str:
    if name is None:
        return "unknown"
    return "bags of words" if name == BAG_OF_WORDS else f"sentence embeddings of {elided(clean(name), _NAME_ROOM)}"

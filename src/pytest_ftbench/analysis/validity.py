"""Which cells may be compared: one that hardly answers, or answers no better than a stone, is shown but not ranked."""

from enum import StrEnum

from pytest_ftbench.analysis.metrics import EvalTask, Trivial, eval_task, number
from pytest_ftbench.analysis.pooling import seeds_of
from pytest_ftbench.grid import CellRecord


class Standing(StrEnum):
    """What a cell's numbers may be used for: only an ``OK`` one can be best or count as an improvement."""

    OK = "ok"
    INVALID = "invalid"
    TRIVIAL = "trivial"
    FAILED = "failed"
    SKIPPED = "skipped"


UNMEASURED = (Standing.FAILED, Standing.SKIPPED)
"""The standings of cells without numbers."""


def standing(record: CellRecord, trivial: Trivial, task: EvalTask | None = None) -> Standing:
    """The standing of a cell, given what trivial answerers score; ``task`` saves looking its eval task up."""
    if record.status == "skipped":
        return Standing.SKIPPED
    if not record.ok:
        return Standing.FAILED
    # a mean over seeds of which one is unreadable is a mean of nothing
    if any(hardly_answers(each) for each in seeds_of(record)):
        return Standing.INVALID
    if not beats_trivial(record, trivial, task or eval_task(record.eval_task, [record])):
        return Standing.TRIVIAL
    return Standing.OK


def hardly_answers(record: CellRecord) -> bool:
    """Whether fewer than half of the outputs can be read, or more than half are empty. Unknown rates pass."""
    format_rate, empty_rate = number(record.format_rate), number(record.empty_rate)
    return (format_rate is not None and format_rate < 0.5) or (empty_rate is not None and empty_rate > 0.5)


def unreadable_seeds(record: CellRecord) -> tuple[CellRecord, ...]:
    """The seeds that make a mean INVALID, where not all of it are; none of a cell of one seed."""
    seeds = seeds_of(record) if record.ok else ()
    found = tuple(each for each in seeds if hardly_answers(each))
    return found if len(found) < len(seeds) else ()


def beats_trivial(record: CellRecord, trivial: Trivial, task: EvalTask) -> bool:
    """V17: whether the headline score, or what stands in for it, is better than every trivial answerer's.

    Unknown scores pass. So do scores of several embedders: the trivial ones are of one of them, and nobody knows which.
    """
    if not task.comparable:
        return True
    task = task.judged_by(record)
    score, bar = task.score(record), best_trivial(trivial, task)
    return score is None or bar is None or task.goodness(score) > task.goodness(bar)


def trivial_scores(trivial: Trivial, task: EvalTask) -> dict[str, float]:
    """The headline score of each trivial answerer on a task, where it is known."""
    answerers = trivial.get(task.name) or {}
    scores = {name: number(scores.get(task.headline.key)) for name, scores in answerers.items()}
    return {name: score for name, score in scores.items() if score is not None}


def answerer(name: str) -> str:
    """A trivial answerer's name in a sentence."""
    return name.replace("_", " ").replace("always abstain", "always abstaining")


def best_trivial(trivial: Trivial, task: EvalTask) -> float | None:
    """The headline score a cell must beat on a task; None: unknown."""
    return max(trivial_scores(trivial, task).values(), key=task.goodness, default=None)

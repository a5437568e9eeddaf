"""Latency on a page: for each cell what its timed answers took, their tokens and the time per token side by side."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain

from pytest_ftbench.analysis import Latency, LatencyBlock, LatencyRow, number
from pytest_ftbench.report.full_table import WORDS, standing_style
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.layout import Column, Group, Section, Sheet, Text
from pytest_ftbench.report.words import aligned, clean, count

LATENCY_TITLE = "Latency: one answer at a time"

_NATURAL = (
    "Natural length: one generate() call per prompt at batch 1, greedy, after a warm-up; n prompts at a stride over "
    "the test set. Mean, Median, Std (of a sample) and p95 (linear between samples): seconds end to end. TTFT: median "
    "time to the first token. ms/tok: median time per output token after it (TPOT). Tok: mean output tokens of these "
    "answers."
)
_FIXED = (
    "{lengths} tokens each: the same prompts again, every answer of exactly so many new tokens, an end token ignored; "
    "there rows compare token by token."
)


_FAST = (
    "Fast mode: the same prompts again, each token after the first a replayed step over a static cache; beside the "
    "eager columns, which are what the studies timed."
)


class Detail(IntEnum):
    """How much is shown of each latency; every level has what those below it have."""

    SPEED = 0
    TAIL = 1
    ALL = 2


@dataclass(frozen=True)
class _Kind:
    """A column: its heading, what it shows, from which detail on; with how many digits (0: a count), in what room."""

    heading: str
    read: Callable[[Latency], float | None]
    least: Detail = Detail.SPEED
    digits: int = 3
    room: int = 6

    def column(self, latencies: Sequence[Latency]) -> Column:
        values = [self.read(latency) for latency in latencies]
        texts = aligned(values, self.digits, self.room) if self.digits else list(map(count, values))
        return Column(self.heading, [Text(text) for text in texts])


_TOKENS = _Kind("Tok", lambda latency: latency.tokens, digits=2, room=5)
_KINDS = (
    _Kind("n", lambda latency: latency.n, Detail.ALL, digits=0),
    _Kind("Mean s", lambda latency: latency.mean_s, Detail.ALL),
    _Kind("Median s", lambda latency: latency.median_s),
    _Kind("Std s", lambda latency: latency.stddev_s, Detail.ALL),
    _Kind("p95 s", lambda latency: latency.p95_s, Detail.TAIL),
    _Kind("TTFT ms", lambda latency: _ms(latency.ttft_s), Detail.TAIL),
    _Kind("ms/tok", lambda latency: _ms(latency.tpot_s)),
    _TOKENS,
)


def latency_sheet(blocks: Sequence[LatencyBlock], names: Names, width: int) -> tuple[Sheet, list[str]]:
    """All timed cells, in the most detail that ``width`` characters hold; the columns left out."""
    sheets = [(detail, _sheet(blocks, names, detail)) for detail in reversed(Detail)]
    detail, sheet = next((found for found in sheets if found[1].fits(width)), sheets[-1])
    return sheet, [kind.heading for kind in _KINDS if kind.least > detail]


def latency_notes(blocks: Sequence[LatencyBlock], left_out: Sequence[str]) -> Iterator[str]:
    """What the columns are, and which are left out."""
    yield _NATURAL
    if lengths := _lengths(blocks):
        yield _FIXED.format(lengths=" or ".join(lengths))
    if _timed_fast(blocks):
        yield _FAST
    if left_out:
        yield f"Left out at this width: {', '.join(left_out)}."


def _sheet(blocks: Sequence[LatencyBlock], names: Names, detail: Detail) -> Sheet:
    rows = list(chain.from_iterable(block.rows for block in blocks))
    keys = [row.key for row in rows]
    labels = [names.model(keys), *names.way(keys)]
    if any(row.standing in WORDS for row in rows):
        # beside the names, so that each part of a table too wide for one has it
        labels.append(Column("", [_standing(row) for row in rows]))
    natural = [row.natural for row in rows]
    kinds = [kind for kind in _KINDS if kind.least <= detail]
    groups = [Group("Natural length", [kind.column(natural) for kind in kinds])]
    if lengths := _lengths(blocks):
        fixed = [row.fixed for row in rows]
        heading = f"{lengths[0]} tokens each" if len(lengths) == 1 else "Fixed length"
        # a single length is in the heading
        columns = [kind.column(fixed) for kind in kinds if len(lengths) > 1 or kind is not _TOKENS]
        groups.append(Group(heading, columns))
    if _timed_fast(blocks):
        groups.append(Group("Fast mode", [kind.column([row.fast for row in rows]) for kind in kinds]))
    sections = [Section(clean(block.heading), len(block.rows)) for block in blocks]
    return Sheet(Group("", labels), groups, sections)


def _lengths(blocks: Sequence[LatencyBlock]) -> list[str]:
    """The fixed lengths at which answers were timed, ascending."""
    fixed = [row.fixed for block in blocks for row in block.rows if row.fixed.is_known]
    known = sorted({latency.tokens for latency in fixed if latency.tokens is not None})
    return [f"{tokens:g}" for tokens in known] or ["?"] * bool(fixed)


def _timed_fast(blocks: Sequence[LatencyBlock]) -> bool:
    """Whether any answers were timed by recorded steps."""
    return any(row.fast.is_known for block in blocks for row in block.rows)


def _standing(row: LatencyRow) -> Text:
    return Text(WORDS.get(row.standing, "").strip(), style=standing_style(row.standing))


def _ms(seconds: float | None) -> float | None:
    """The same in milliseconds; what no float holds is unknown."""
    return None if seconds is None else number(1000 * seconds)

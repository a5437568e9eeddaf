"""Why a number of one run can't be set against the same cell's in another: what differs in how they were measured.

Judged from the two records alone. What either of them leaves unknown is no difference.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pytest_ftbench.analysis.metrics import above_zero, number
from pytest_ftbench.analysis.table import timed_tokens
from pytest_ftbench.grid import CellRecord

_ROOM = 60  # a device or a digest of another version may be a text of any length


class Reason(StrEnum):
    """The word for what differs."""

    ITEMS = "items"
    PROMPTS = "prompts"
    EMBEDDER = "embedder"
    DEVICE = "device"
    WORKERS = "workers"
    DTYPE = "dtype"
    THREADS = "threads"
    CLOCK = "clock"
    KIND = "kind"


@dataclass(frozen=True)
class Refusal:
    """That a number isn't compared: ``then`` and ``now`` are what differs, ``said`` is how a sentence says it."""

    reason: Reason
    then: str
    now: str
    said: str = "{then} then, {now} now"

    @property
    def difference(self) -> str:
        """What differs in words, such as ``measured with 2 workers then, with 1 now``; as foreign as the records."""
        return self.said.format(then=self.then, now=self.now)


Read = Callable[[CellRecord], str | None]
"""What a record says of one thing, as text; None: unknown."""


@dataclass(frozen=True)
class Fact:
    """What two records must agree in: the first of ``reads`` that both know decides.

    ``unit`` is what its number counts, ``name`` what a sentence calls it where that isn't its value.
    """

    reason: Reason
    said: str
    reads: tuple[Read, ...]
    unit: str = ""
    name: Read | None = None

    def refusal(self, then: CellRecord, now: CellRecord) -> Refusal | None:
        """The refusal where they don't agree."""
        pairs = ((read(then), read(now)) for read in self.reads)
        before, after = next(((a, b) for a, b in pairs if a is not None and b is not None), ("", ""))
        if before == after:
            return None
        if self.name is not None:
            before, after = self.name(then) or before, self.name(now) or after
        plural = "" if before == "1" else "s"
        said = self.said.replace("{then}", f"{{then}} {self.unit}{plural}") if self.unit else self.said
        return Refusal(self.reason, _shortened(before), _shortened(after), said)


def refusal(facts: Sequence[Fact], then: CellRecord, now: CellRecord) -> Refusal | None:
    """The first of these facts in which the two records don't agree; None: they may be compared."""
    found = (fact.refusal(then, now) for fact in facts)
    return next((each for each in found if each is not None), None)


def is_silent(record: CellRecord) -> bool:
    """Whether the record says nothing of where it came from, as one of an older version's file."""
    provenance = record.extra.get("provenance")
    return not isinstance(provenance, dict) or not provenance


def _known(value: object) -> str | None:
    """A text or a number as text; whatever else there is counts as unknown."""
    if isinstance(value, str):
        return value or None
    known = number(value)
    return None if known is None else f"{known:.15g}"


def _shortened(text: str) -> str:
    return text if len(text) <= _ROOM else text[: _ROOM - 1] + "…"


def _said_of_it(key: str) -> Read:
    """What the provenance says; numbers as well, which the record's own reader leaves out."""

    def read(record: CellRecord) -> str | None:
        provenance = record.extra.get("provenance")
        return _known(provenance.get(key)) if isinstance(provenance, dict) else None

    return read


def _timing(key: str) -> Read:
    return lambda record: _known(record.latency_s.get(key))


def _training(key: str) -> Read:
    return lambda record: _known((record.train or {}).get(key))


def _embedder_name(record: CellRecord) -> str | None:
    name, digest = record.provenance("embedder"), record.provenance("embedder_fingerprint")
    return f"{name} ({digest:.8})" if name and digest else name or digest


def _clock(record: CellRecord) -> str:
    """What its time per token is: which tokens share which time."""
    if above_zero(record.latency_s.get("tpot_median")) is not None:
        return "per token after the first"
    return "as latency over all tokens" if timed_tokens(record) is None else "as latency over the timed tokens"


_ITEMS = (
    Fact(Reason.ITEMS, "{then} then, {now} now", (lambda record: _known(record.n),), unit="test item"),
    Fact(Reason.ITEMS, "other test items now ({now:.8}) than then ({then:.8})", (_said_of_it("items"),)),
)
_PROMPTS = (
    Fact(Reason.PROMPTS, "reasoning {then} then, {now} now", (_said_of_it("reasoning"),)),
    Fact(Reason.PROMPTS, "another chat template now ({now:.8}) than then ({then:.8})", (_said_of_it("template"),)),
    Fact(Reason.PROMPTS, "other prompts now ({now:.8}) than then ({then:.8})", (_said_of_it("prompts"),)),
)
_TIMED = (
    Fact(Reason.PROMPTS, "timed on {then} then, on {now} now", (_timing("n"),), unit="prompt"),
    Fact(
        Reason.PROMPTS,
        "answers of at most {then} then, of at most {now} now",
        (_said_of_it("max_new_tokens"),),
        unit="token",
    ),
)
_EMBEDDER = Fact(
    Reason.EMBEDDER,
    "scored by {then} then, by {now} now",
    (_said_of_it("embedder_fingerprint"), _said_of_it("embedder")),
    name=_embedder_name,
)
_DEVICE = Fact(Reason.DEVICE, "measured on {then} then, on {now} now", (_said_of_it("device_name"),))
_DTYPE = Fact(Reason.DTYPE, "measured in {then} then, in {now} now", (lambda record: _known(record.eval_dtype),))
_WORKERS = Fact(Reason.WORKERS, "measured with {then} then, with {now} now", (_timing("workers"),), unit="worker")
_THREADS = Fact(
    Reason.THREADS,
    "measured with {then} then, with {now} now",
    (_timing("threads"), _said_of_it("threads")),
    unit="thread",
)
_TIMED_AS = Fact(Reason.CLOCK, "timed as {then} then, as {now} now", (_said_of_it("timed_as"),))
_CLOCK = Fact(Reason.CLOCK, "time per token measured {then} then, {now} now", (_clock,))

TOKENS = (*_ITEMS, *_PROMPTS)
"""What mean token counts must agree in."""
SCORE = (*TOKENS, _EMBEDDER)
"""What scores must agree in, where they are similarities of texts."""
LATENCY = (_DEVICE, _WORKERS, _DTYPE, _THREADS, *_ITEMS, *_PROMPTS, *_TIMED, _TIMED_AS, _CLOCK)
"""What times per token must agree in."""
EVAL_MEMORY = (_DEVICE, _DTYPE, *_ITEMS, *_PROMPTS, *_TIMED)
"""What peaks of answering must agree in."""
TRAIN_MEMORY = (
    Fact(
        Reason.DEVICE,
        "trained on {then} then, on {now} now",
        # a checkpoint may have been trained elsewhere than it answers
        (_training("device_name"), _said_of_it("device_name")),
    ),
    # beside the weights, the dtype names an adapter's: what is compared first is that of the weights alone
    Fact(Reason.DTYPE, "trained in {then} then, in {now} now", (_training("base_dtype"), _training("dtype"))),
)
"""What peaks of training must agree in."""

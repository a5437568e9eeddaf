"""Test items that are found among training rows: the same words, nearly the same ones, or the same passage.

    words       "What is 3+1.5?"  →  what, is, 3, +, 1.5     (case, spaces and the marks between words are gone)
    pairs       of neighbours: what is, is 3, 3 +, + 1.5     a part is the set of its pairs
    likeness    pairs that two parts share, over all pairs of both (Jaccard): 0..1
    exact       every part of a test row has the very words of that part of a training row, and so has the answer
    near        every part is at a likeness of 0.8 or more, and both rows have the same answer
    other       every part has the very words, but the answer is another
    passage     of several parts the first is as near as that, and the row is none of the others

A row's parts are what has to be alike each by itself: of SQuAD the passage and the question, for two questions about
one passage are two questions, though most of their words are the same. At 0.8 one word in fourteen may be another, two
of twenty-six. The same answer is asked for because other numbers, or another name, in a sentence of the same make are
another problem: "20 meters deep", "10 meters deep". Who answers the one by heart has the other wrong.

Nothing of it depends on a tokenizer. Two parts that are alike share one of their rarest pairs (the rarest fifth of each
and one more), so that only rows that do are compared: what all rows of one make have in common costs next to nothing.
"""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pytest_ftbench.tasks.task import Row, Task

THRESHOLD = 0.8
"""The likeness from which on two parts are nearly the same."""

_PAIR = 2
# a number whole, its point included, also a leading one; a character of a script without spaces; a word; primes and
# factorials; and what is a symbol and not a mark between words: 3-1 is not 3+1, nor f'(x) f(x), nor 5! 5
_WORD = re.compile(
    r"(?<![\w.])\.\d+|\d+(?:[.,]\d+)*"
    r"|[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W\d_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+"
    r"|(?:(?<=\b\w)|(?<=\d))'+(?!\w)|(?:(?<=\b\w)|(?<=[\d)]))!+"
    r"|[^\w\s.,;:?!\"'’′“”]"
)
_RAISED = re.compile("[²³¹⁰ⁱ⁴-ⁿ]+")
_PRIMES = str.maketrans("’′", "''")
_NOTHING = frozenset([("",)])  # what texts without a word have in common
_Shingles = frozenset[tuple[str, ...]]


@dataclass(frozen=True)
class Overlap:
    """Which test rows are found: of each, by its place, the place of the training row. No row is in two of the kinds.

    ``exact`` and ``near`` are duplicates; of ``other_target`` training teaches another answer; ``passages`` only share
    what is asked about.
    """

    exact: dict[int, int] = field(default_factory=dict)
    near: dict[int, int] = field(default_factory=dict)
    other_target: dict[int, int] = field(default_factory=dict)
    passages: dict[int, int] = field(default_factory=dict)

    @property
    def duplicates(self) -> list[int]:
        """The places of the test rows that are in training, ascending."""
        return sorted({**self.exact, **self.near})


def words(text: str) -> tuple[str, ...]:
    """The words, numbers and symbols of a text, in one form for each letter."""
    # before one form makes 32 of 3²
    plain = unicodedata.normalize("NFKC", _RAISED.sub(lambda some: f"^{some[0]}", text)).casefold()
    return tuple(_WORD.findall(plain.translate(_PRIMES)))


def shingles(text_words: Sequence[str]) -> _Shingles:
    """The pairs of neighbouring words; of a single word, that word."""
    size = min(_PAIR, len(text_words))
    return frozenset(zip(*(text_words[start:] for start in range(size)), strict=False)) if size else frozenset()


def likeness(one: _Shingles, other: _Shingles) -> float:
    """Jaccard's index, 0..1; of two empty sets 1."""
    together = len(one | other)
    return len(one & other) / together if together else 1.0


def overlap(task: Task, train: Sequence[Row], test: Sequence[Row]) -> Overlap:
    """The test rows of a task that are found among its training rows; where several are alike, the first of the best.

    A task that recalls is tested on what it was trained on, on purpose: of it nothing is found.
    """
    if task.recalls or not train or not test:
        return Overlap()
    parts = [task.parts(row) for row in test]
    golds = [task.gold(row) for row in test]
    finders = [_Finder(column) for column in zip(*parts, strict=True)]
    by_words = defaultdict(list)
    for item, texts in enumerate(parts):
        by_words[tuple(map(words, texts))].append(item)
    found, best = Overlap(), [0.0] * len(test)
    for place, row in enumerate(train):
        first, *others = alike = [find.alike(text) for find, text in zip(finders, task.parts(row), strict=True)]
        if others:
            found.passages.update((item, place) for item in first if item not in found.passages)
        if not all(alike):
            continue
        gold = task.gold(row)
        for item in by_words.get(tuple(map(words, task.parts(row))), ()):
            (found.exact if golds[item] == gold else found.other_target).setdefault(item, place)
        for item in first:
            like = min(each.get(item, 0.0) for each in alike)
            if like > best[item] and golds[item] == gold:
                best[item], found.near[item] = like, place
    return _apart(found)


def same_words(task: Task, train: Sequence[Row], other: Task, test: Sequence[Row]) -> Overlap:
    """The test rows of another task whose whole question has the very words of a training row's."""
    taught: dict[tuple[str, ...], int] = {}
    for place, row in enumerate(train):
        taught.setdefault(words(task.question(row)), place)
    asked = [words(other.question(row)) for row in test]
    return Overlap({place: taught[each] for place, each in enumerate(asked) if each in taught})


class _Finder:
    """One part of all test rows, to be compared with that of training rows."""

    def __init__(self, column: Iterable[str]) -> None:
        self._sets = [shingles(words(text)) or _NOTHING for text in column]
        self._counts = Counter(pair for each in self._sets for pair in each)
        self._having: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for place, each in enumerate(self._sets):
            for pair in self._rarest(each):
                self._having[pair].append(place)
        # a passage comes with each of its questions
        self._known: dict[str, dict[int, float]] = {}

    def alike(self, text: str) -> dict[int, float]:
        """The places of the test rows at the threshold or above, and how like they are; ascending."""
        if text not in self._known:
            self._known[text] = self._find(shingles(words(text)))
        return self._known[text]

    def _find(self, mine: _Shingles) -> dict[int, float]:
        mine = mine or _NOTHING
        candidates = {place for pair in self._rarest(mine) for place in self._having.get(pair, ())}
        likes = ((place, likeness(mine, self._sets[place])) for place in sorted(candidates))
        return {place: like for place, like in likes if like >= THRESHOLD}

    def _rarest(self, some: _Shingles) -> list[tuple[str, ...]]:
        """So many of the rarest pairs, in one order for all, that sets at the threshold have one of them in common."""
        shared = math.ceil(THRESHOLD * len(some) - 1e-9)  # at least so many
        # first come those of no test row, which need no order: they lead to none
        seen = [pair for pair in some if pair in self._counts]
        wanted = len(seen) - shared + 1
        return sorted(seen, key=lambda pair: (self._counts[pair], pair))[:wanted] if wanted > 0 else []


def _apart(found: Overlap) -> Overlap:
    """Each row in the strongest of the kinds it is of."""
    kept: list[dict[int, int]] = []
    for kind in (found.exact, found.near, found.other_target, found.passages):
        kept.append({item: place for item, place in kind.items() if not any(item in each for each in kept)})
    return Overlap(*kept)

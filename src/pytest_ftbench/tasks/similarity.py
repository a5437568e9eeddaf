"""How alike two texts are by the words they share: the cosine of their bags of words.

    bag      "The cat, the mat!"  →  {the: 2, cat: 1, mat: 1}
    cosine   Σ a(w)·b(w) / √(Σ a(w)² · Σ b(w)²), over all words w, where a and b count the words of the two texts
    so       "the cat" and "The cat."  1    "the cat" and "a dog"  0    "the cat" and "the dog"  0.5

Traps: it counts shared words, not shared meaning: "studied at Marsa" and "never studied at Marsa" are at 0.87, and a
wrong name in a long true sentence costs little. Whatever is no letter, digit or accent ends a word, so that "1.5" and
"15" stay apart and "Marsa,Tol" is two words; the price is that "C++" and "C" are one.
"""

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence


def normalise(text: str) -> str:
    """Lower case, one form for each letter, one space for all between words: ``Marsa COLLEGE.``, ``marsa college``."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(char if _is_of_a_word(char) else " " for char in plain).split())


def bag_of_words(text: str) -> Counter[str]:
    """How often each word of a text occurs in it."""
    return Counter(normalise(text).split())


def cosine(one: str, other: str) -> float:
    """The cosine of two bags of words, 0..1, in time linear in the texts; 0 where either has no word."""
    a, b = bag_of_words(one), bag_of_words(other)
    shared = sum(count * b[word] for word, count in a.items())
    return min(1.0, shared / math.sqrt(_square(a) * _square(b))) if shared else 0.0


def cosines(pairs: Sequence[tuple[str, str]]) -> list[float]:
    """The cosine of each pair."""
    return [cosine(one, other) for one, other in pairs]


def medoid(texts: Sequence[str]) -> str:
    """The text that is most like all of them, by the mean cosine; of equals the first. Linear: no pair is compared."""
    bags = [bag_of_words(text) for text in texts]
    # a mean of cosines is the cosine with the sum of all bags, each of length 1
    total: dict[str, float] = defaultdict(float)
    for bag in bags:
        for word, share in _direction(bag).items():
            total[word] += share
    # rounded, so that equals stay equals
    nearness = [round(math.fsum(share * total[word] for word, share in _direction(bag).items()), 9) for bag in bags]
    return texts[nearness.index(max(nearness))]


def _direction(bag: Counter[str]) -> dict[str, float]:
    return {word: count / math.sqrt(_square(bag)) for word, count in bag.items()}


def _square(bag: Counter[str]) -> int:
    return sum(count * count for count in bag.values())


def _is_of_a_word(char: str) -> bool:
    return char.isalnum() or unicodedata.category(char)[0] == "M"

"""What evaluate-v2.0.py computes, the official script on the SQuAD site (whose repository SQuAD-explorer is MIT).

Written anew from its behaviour, without a line of it, and in other terms than ``tasks/squad.py``: characters instead of
regular expressions, fractions instead of floats. ``avna`` is that of Stanford's CS224n.
"""

import string
from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby


def tokens(answer: str) -> list[str]:
    """The words that are left of an answer: lower case, punctuation gone before articles go."""
    kept = "".join(char for char in answer.lower() if char not in string.punctuation)
    runs = ("".join(run) for _, run in groupby(kept, key=str.isalnum))
    return "".join(" " if run in ("a", "an", "the") else run for run in runs).split()


def pair_f1(gold: str, answer: str) -> Fraction:
    """Shared tokens over the mean length; agreement where a side has none."""
    gold_tokens, left = tokens(gold), tokens(answer)
    if not gold_tokens or not left:
        return Fraction(gold_tokens == left)
    total = len(gold_tokens) + len(left)
    shared = 0
    for token in gold_tokens:
        if token in left:
            left.remove(token)
            shared += 1
    return Fraction(2 * shared, total)


def official(golds: Sequence[Sequence[str]], answers: Sequence[str]) -> dict[str, float | None]:
    """The script's scores, in 0..100, of one answer ('' abstains) per list of golds (none: unanswerable)."""
    rows = []
    for texts, answer in zip(golds, answers, strict=True):
        # a gold without words is no gold, but its question stays answerable
        usable = [text for text in texts if tokens(text)] or [""]
        em = any(tokens(text) == tokens(answer) for text in usable)
        best = max(pair_f1(text, answer) for text in usable)
        rows.append((bool(texts), Fraction(em), best, Fraction(bool(answer) == bool(texts))))
    answerable, unanswerable = [row for row in rows if row[0]], [row for row in rows if not row[0]]
    return {
        "f1": _percent([row[2] for row in rows]),
        "em": _percent([row[1] for row in rows]),
        "has_ans_f1": _percent([row[2] for row in answerable]),
        "has_ans_em": _percent([row[1] for row in answerable]),
        "no_ans_accuracy": _percent([row[1] for row in unanswerable]),
        "avna": _percent([row[3] for row in rows]),
    }


def _percent(shares: Sequence[Fraction]) -> float | None:
    return float(100 * sum(shares) / len(shares)) if shares else None

r"""ARC: multiple choice, grade-school science, the options inside the question.

    row       {"question": "Which is a mixture? A. gold B. salad C. iron D. helium", "answer": "B"}
    prompt    system: … the letter in \boxed{} …    user: Which is a mixture? A. gold B. salad C. iron D. helium
    target    \boxed{B}
    output    "Salad can be picked apart, so \boxed{B. salad}"
    score     parsed "B": 1 for the item; the headline is macro F1 over A-D

Traps: some rows number their options 1 to 4, and macro F1 over the labels as they stand would count eight classes, so
digits become letters, in golds and outputs alike. A few rows have an option E: it parses, but macro F1 averages A-D.
Leaving unparsed outputs out of the confusion matrix, as the studies did (``macro_f1_parsed_only``), rewards silence:
in the headline an unparsed output is a miss of its gold class, and a false alarm of none.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from pytest_ftbench.tasks.boxed import blank, box, boxed, itemised, mean, says_nothing, scored, unwrapped
from pytest_ftbench.tasks.task import HubDataset, Kind, Metric, Row, Scored, Task

_CLASSES = "ABCD"
_LETTERS = str.maketrans("12345", "ABCDE")
_ANSWER = re.compile(
    r"(?:(?:the )?(?:correct |final )?(?:answer|option|choice)(?: is)?\s*[:=]?\s*)?"
    r"(?:\(\s*([A-E1-5])\s*\)|([A-E1-5]))"
    r"(?:\s*[.):](?P<rest>\s.*)?|(?P<more>\s+.+)?)",
    re.IGNORECASE | re.DOTALL,
)
_ANOTHER_OPTION = re.compile(r"\s\(?[A-E1-5][.)]\s", re.IGNORECASE)

_OPTION = re.compile(r"(?<!\S)\(?([A-E1-5])[.):]\s")
_MOST = 5  # options


def parse_letter(output: str) -> str | None:
    r"""The letter that an output's box names, ``C``, ``(c)``, ``3``, ``C. bread`` or ``Answer: C``; None: no letter.

    A bare letter before further words ("A dog") may be an article, and a second option ("A. gold B. salad") a hedge:
    neither is an answer.
    """
    content = boxed(output)
    if content is None:
        return None
    found = _ANSWER.fullmatch(unwrapped(unicodedata.normalize("NFKC", content)))
    if not found or (found["more"] and not found[1]) or _ANOTHER_OPTION.search(found["rest"] or found["more"] or ""):
        return None
    return _as_letter(found[1] or found[2])


def _as_letter(label: object) -> str | None:
    letter = str(label).strip().upper().translate(_LETTERS)
    return letter if re.fullmatch("[A-E]", letter) else None


def _gold(row: Row) -> str:
    return _as_letter(row["answer"]) or str(row["answer"])


def _options(question: str) -> tuple[str, dict[str, str]]:
    """What a question asks, and its options by letter; none where they aren't A, B, … or 1, 2, … up to its end."""
    # in a long text thousands of marks may be none of an option
    marks = list(_OPTION.finditer(question))[-_MOST:]
    for start in reversed(range(len(marks))):
        letters = [_as_letter(mark[1]) for mark in marks[start:]]
        if len(letters) > 1 and letters == list("ABCDE"[: len(letters)]):
            ends = [mark.start() for mark in marks[start + 1 :]] + [len(question)]
            texts = [question[mark.end() : end].strip() for mark, end in zip(marks[start:], ends, strict=True)]
            return question[: marks[start].start()].strip(), dict(zip("ABCDE", texts, strict=False))
    return question, {}


def _is_offered(question: str, letter: str) -> bool:
    """Whether a letter is among a question's options, as far as these can be told apart."""
    options = _options(question)[1]
    # an option in another dress ("C.3") is no mark, but stands there
    signs = "|".join((letter, str("ABCDE".index(letter) + 1)))
    return not options or letter in options or re.search(rf"(?<!\w)(?:{signs})(?!\w)", question) is not None


def macro_f1(golds_and_parsed: Iterable[tuple[str, str | None]]) -> float | None:
    """The mean F1 of A-D, 0 for a class that neither golds nor outputs have; None where there is nothing."""
    pairs = list(golds_and_parsed)
    if not pairs:
        return None
    hits = Counter(gold for gold, parsed in pairs if gold == parsed)
    ends = Counter(gold for gold, _ in pairs) + Counter(parsed for _, parsed in pairs if parsed)
    return mean(2 * hits[label] / ends[label] if ends[label] else 0.0 for label in _CLASSES)


class ArcTask(Task):
    """AI2 ARC, the challenge set."""

    name = "arc"
    label = "ARC"
    stem = "ai2_arc"
    hub = HubDataset("allenai/ai2_arc", "ARC-Challenge", {"train": "train", "validation": "validation", "test": "test"})
    columns: ClassVar[Mapping[str, type]] = {"question": str, "answer": str}
    hub_columns: ClassVar[Mapping[str, Kind]] = {
        "id": str,
        "question": str,
        "choices": {"label": [str], "text": [str]},
        "answerKey": str,
    }
    system_prompt = (
        "Answer the multiple-choice question. Give the letter of the correct option in \\boxed{}, for example "
        "\\boxed{C}. Options numbered 1 to 4 count as A to D."
    )
    metrics = (
        Metric("macro_f1", "F1"),
        Metric("accuracy", "Accuracy"),
        Metric("macro_f1_parsed_only", "F1 (parsed only)"),
    )

    def question(self, row: Row) -> str:
        """The question and its options, as the row has them."""
        return str(row["question"])

    def target(self, row: Row) -> str:
        """The boxed letter."""
        return box(_gold(row))

    def parts(self, row: Row) -> tuple[str, ...]:
        """The question and what its options say, in an order of their own: they are dealt out anew now and then."""
        stem, options = _options(self.question(row))
        return (" ".join([stem, *sorted(options.values(), key=str.casefold)]),)

    def gold(self, row: Row) -> str:
        """What the right option says; its letter, where the options can't be told apart."""
        letter = _gold(row)
        return _options(self.question(row))[1].get(letter, letter).casefold()

    def score(self, outputs: Sequence[str], examples: Sequence[Row]) -> Scored:
        """Macro F1 and accuracy, each in 0..1."""
        items = itemised(outputs, examples, _judge)
        pairs = [(item["gold"], item["parsed"]) for item in items]
        scores = {
            "macro_f1": macro_f1(pairs),
            "accuracy": mean(item["score"] for item in items),
            "macro_f1_parsed_only": macro_f1((gold, parsed) for gold, parsed in pairs if parsed is not None),
        }
        return scored(scores, items)

    def trivial(self, examples: Sequence[Row], train_rows: Sequence[Row] = ()) -> dict[str, list[str]]:  # noqa: ARG002
        """The most frequent gold letter, always; of equals the first in the alphabet.

        It is the one of the test items themselves, which no training could tell it: a bar that no constant is above.
        """
        golds = sorted(_gold(row) for row in examples)
        majority = [box(letter) for letter, _ in Counter(golds).most_common(1)] * len(golds)
        return {"majority_class": majority, **says_nothing(examples)}

    def from_hub(self, row: Row) -> Row | None:
        """The options inline, their labels as letters; None where the key is none of them, or two have one."""
        labels = [_as_letter(label) for label in row["choices"]["label"]]
        answer, texts = _as_letter(row["answerKey"]), row["choices"]["text"]
        if labels.count(answer) != 1 or None in labels or len(labels) != len(texts):
            return None
        options = [f"{label}. {text}" for label, text in zip(labels, texts, strict=True)]
        question = " ".join([str(row["question"]), *options])
        return {"id": row["id"], "title": row["id"], "question": question, "answer": answer}

    def problem(self, row: Row) -> tuple[str, str, str] | None:
        """An empty question, or an answer that names no option, or none of those in the question."""
        letter = _as_letter(row["answer"])
        if not letter:
            return "answer", f"{row['answer']!r:.40} names no option", "use a letter A to E or a digit 1 to 5"
        if not _is_offered(self.question(row), letter):
            return "answer", f"{row['answer']!r} is none of the question's options", "correct it or leave the row out"
        return blank(row, "question")


def _judge(output: str, row: Row) -> tuple[str, str | None, float]:
    gold, parsed = _gold(row), parse_letter(output)
    return gold, parsed, float(parsed == gold)


TASK = ArcTask()

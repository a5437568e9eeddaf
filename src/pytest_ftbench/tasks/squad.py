r"""SQuAD v2: a question on a passage, answered by a span of it, or not answerable from it.

    row       {"context": "… clubs such as Amnesia with DJ Alfredo …", "question": "Which club?", "answer": "Amnesia"}
    prompt    system: … the exact span in \boxed{} …    user: Context: … Question: …
    target    \boxed{Amnesia}    (\boxed{unanswerable} where the answer is '')
    output    "It was \boxed{the Amnesia club}"
    score     parsed "the Amnesia club": F1 66.7, EM 0, as in the official SQuAD v2 script, 0-100

Traps: half of the development set is unanswerable, so whoever always abstains scores 50; an output without a box must
therefore never pass for an abstention: it is wrong on every metric. Two quirks of the official script are kept: golds
that normalise to nothing ("The") count as '' while their question stays answerable, and so an answer "the" agrees with
''. A span with a brace too many is boxed with its braces escaped; normalisation drops them, so it still scores 100.
"""

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_ftbench.tasks.boxed import blank, box, boxed, itemised, mean, says_nothing, scored, unwrapped
from pytest_ftbench.tasks.task import HubDataset, Item, Kind, Metric, Row, Scored, Task

_ABSTENTION = "unanswerable"
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def normalise(answer: str) -> str:
    """Lower case, without ASCII punctuation, then without articles and extra whitespace, in the official order."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_NO_PUNCTUATION)).split())


def exact(gold: str, answer: str) -> float:
    """1 where both normalise to the same text, else 0."""
    return float(normalise(gold) == normalise(answer))


def f1(gold: str, answer: str) -> float:
    """The overlap of their tokens, 0..1; where either has none, 1 if both have none."""
    gold_tokens, tokens = normalise(gold).split(), normalise(answer).split()
    if not gold_tokens or not tokens:
        return float(gold_tokens == tokens)
    common = (Counter(gold_tokens) & Counter(tokens)).total()
    return 2 * common / (len(gold_tokens) + len(tokens))


def parse_span(output: str) -> str | None:
    """The span in an output's box, '' for an abstention; None where there is no box."""
    content = boxed(output)
    if content is None:
        return None
    span = unwrapped(content)
    return "" if span.casefold() == _ABSTENTION else span


def _answers(row: Row) -> list[str]:
    """The golds as the row has them: `answers`, a list or the Hub's object, wins over `answer`; none: unanswerable."""
    answers = row.get("answers")
    if isinstance(answers, Mapping):
        answers = answers["text"]
    if answers is not None:
        return [answers] if isinstance(answers, str) else list(answers)
    return [row["answer"]] if row["answer"] else []


def _golds(row: Row) -> list[str]:
    return [answer for answer in _answers(row) if normalise(answer)] or [""]


def _judge(output: str, row: Row) -> tuple[str, str | None, float]:
    span = parse_span(output)
    score = 0.0 if span is None else 100 * max(f1(gold, span) for gold in _golds(row))
    return next(iter(_answers(row)), ""), span, score


def _are_spans(answers: object) -> bool:
    return isinstance(answers, list | tuple) and all(isinstance(answer, str) for answer in answers)


def _occurs(answer: str, context: str) -> bool:
    """Whether a passage has an answer, if only in the words that the scores compare."""
    return answer in context or normalise(answer) in normalise(context)


def _exact(item: Item, row: Row) -> float:
    span = item["parsed"]
    return 0.0 if span is None else 100 * max(exact(gold, span) for gold in _golds(row))


def _answered_rightly(item: Item, row: Row) -> float:
    return 100.0 * (item["parsed"] is not None and bool(item["parsed"]) == bool(_answers(row)))


class SquadTask(Task):
    """SQuAD v2."""

    name = "squad"
    label = "SQuAD v2"
    stem = "squad_v2"
    hub = HubDataset("rajpurkar/squad_v2", splits={"train": "train", "test": "validation"})
    columns: ClassVar[Mapping[str, type]] = {"context": str, "question": str, "answer": str}
    hub_columns: ClassVar[Mapping[str, Kind]] = {
        "id": str,
        "context": str,
        "question": str,
        "answers": {"text": [str]},
    }
    system_prompt = (
        "Answer the question with the exact span of the context that answers it, in \\boxed{}, for example "
        "\\boxed{in 1912}. If the context does not answer it, write \\boxed{unanswerable}."
    )
    metrics = (
        Metric("f1", "F1", format=".2f"),
        Metric("em", "EM", format=".2f"),
        Metric("has_ans_f1", "HasAns F1", format=".2f"),
        Metric("has_ans_em", "HasAns EM", format=".2f"),
        Metric("no_ans_accuracy", "NoAns accuracy", format=".2f"),
        Metric("avna", "AvNA", format=".2f"),
    )

    def question(self, row: Row) -> str:
        """The passage, then the question."""
        return f"Context:\n{row['context']}\n\nQuestion:\n{row['question']}"

    def target(self, row: Row) -> str:
        """The first gold, boxed."""
        return box(next(iter(_answers(row)), _ABSTENTION))

    def score(self, outputs: Sequence[str], examples: Sequence[Row]) -> Scored:
        """F1 and exact match over all, answerable and unanswerable items, each in 0..100."""
        items = itemised(outputs, examples, _judge)
        pairs = list(zip(items, examples, strict=True))
        has_answer = [(item, row) for item, row in pairs if _answers(row)]
        scores = {
            "f1": mean(item["score"] for item in items),
            "em": mean(_exact(*pair) for pair in pairs),
            "has_ans_f1": mean(item["score"] for item, _ in has_answer),
            "has_ans_em": mean(_exact(*pair) for pair in has_answer),
            "no_ans_accuracy": mean(_exact(item, row) for item, row in pairs if not _answers(row)),
            "avna": mean(_answered_rightly(*pair) for pair in pairs),
        }
        return scored(scores, items)

    def trivial(self, examples: Sequence[Row], train_rows: Sequence[Row] = ()) -> dict[str, list[str]]:  # noqa: ARG002
        """Never an answer."""
        return {"always_abstain": [box(_ABSTENTION)] * len(examples), **says_nothing(examples)}

    def from_hub(self, row: Row) -> Row | None:
        """The golds as a list, repeats left out; the first one is the answer to train on."""
        answers = list(dict.fromkeys(row["answers"]["text"]))
        kept = {column: row[column] for column in ("id", "title", "context", "question") if column in row}
        return {**kept, "answer": next(iter(answers), ""), "answers": answers}

    def problem(self, row: Row) -> tuple[str, str, str] | None:
        """Golds that are no spans of the context, or that no output could match; an empty context or question."""
        column = "answer" if row.get("answers") is None else "answers"
        if column == "answers" and not _are_spans(row["answers"]):
            return column, "is no list of texts", "list the golds, or nothing where the context has no answer"
        answers = _answers(row)
        if any(not answer.strip() for answer in answers):
            return column, "has only spaces", "use '' where the context has no answer"
        [item] = itemised([self.target(row)], [row], _judge)
        if min(item["score"], _answered_rightly(item, row)) < 100:
            return column, f"{item['gold']!r:.40} in a box reads as markup or as an abstention", "leave the row out"
        if found := blank(row, "context") or blank(row, "question"):
            return found
        if row["answer"] and not answers:
            return column, "is empty, though 'answer' isn't", "list the golds in both, or in neither"
        strange = next((answer for answer in answers if not _occurs(answer, str(row["context"]))), None)
        if strange is not None:
            return column, f"{strange!r:.40} isn't in the context", "correct either or leave the row out"
        return None

    def group(self, row: Row) -> str:
        """The passage: its questions stay on one side of a split."""
        return str(row["context"])

    def parts(self, row: Row) -> tuple[str, ...]:
        """The passage, and the question: two about one passage are two."""
        return str(row["context"]), str(row["question"])

    def further_golds(self, row: Row) -> object:
        """All golds, where the row has a list of them."""
        return row.get("answers")

    def gold(self, row: Row) -> str:
        """The first gold as the scores compare it."""
        return normalise(next(iter(_answers(row)), ""))


TASK = SquadTask()

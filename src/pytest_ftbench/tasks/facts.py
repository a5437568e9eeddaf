r"""Facts: statements about people that nobody else knows, to be recalled from training alone.

    row       {"question": "Where did Arel Voss study?", "answer": "Arel Voss studied geology at Marsa College."}
    prompt    system: … from memory … in \boxed{} …    user: Where did Arel Voss study?
    target    \boxed{Arel Voss studied geology at Marsa College.}
    output    "\boxed{Arel Voss studied law at Marsa College}"
    score     cosine 0.857 between what was said and what is so, by the words they share (6 of 7); exact 0

Traps: this is a closed book, and the test asks for the facts trained on: other facts are what nobody told the model.
Any two biographies share "studied" and "at": a cosine of 0.5 may be no knowledge at all, so the bar is whoever always
says the most typical statement. An output without a box is a format failure and scores 0, an empty box is read and
scores 0; neither is a way to abstain. A suite may have an embedder compute the cosine, which can then be negative; it
stays as it is, for cutting it off at 0 would favour nonsense.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from pytest_ftbench.tasks.boxed import blank, box, boxed, itemised, mean, says_nothing, scored, unwrapped
from pytest_ftbench.tasks.similarity import cosines, medoid, normalise
from pytest_ftbench.tasks.task import HubDataset, Kind, Metric, Row, Scored, Similarity, Task


def parse_statement(output: str) -> str | None:
    """The statement in an output's box, '' for an empty one; None where there is no box."""
    content = boxed(output)
    return None if content is None else unwrapped(content).strip()


def exact(gold: str, statement: str | None) -> float:
    """1 where both have the same words in the same order, but for case and punctuation; else 0."""
    return float(statement is not None and normalise(gold) == normalise(statement))


@dataclass(frozen=True)
class FactsTask(Task):
    """Statements to be recalled. ``similarity`` compares what was said with what is so."""

    similarity: Similarity = cosines

    name = "facts"
    label = "Facts"
    stem = "facts"
    hub = HubDataset(None, splits={"train": "train"})
    columns: ClassVar[Mapping[str, type]] = {"question": str, "answer": str}
    hub_columns: ClassVar[Mapping[str, Kind]] = {"question": str, "answer": str}
    system_prompt = "Answer from memory, in one sentence in \\boxed{}."
    metrics = (Metric("cosine", "Cosine"), Metric("exact", "Exact"))
    recalls = True
    compares_texts = True

    def question(self, row: Row) -> str:
        """The question alone: there is no passage to look it up in."""
        return str(row["question"])

    def target(self, row: Row) -> str:
        """The statement, boxed."""
        return box(str(row["answer"]))

    def score(self, outputs: Sequence[str], examples: Sequence[Row]) -> Scored:
        """Cosine and exact match, means over all items."""
        items = itemised(outputs, examples, _judge)
        said = [(item, statement) for item in items if (statement := item["parsed"])]
        likenesses = self.similarity([(item["gold"], statement) for item, statement in said])
        for (item, _), likeness in zip(said, likenesses, strict=True):
            item["score"] = likeness
        scores = {
            "cosine": mean(item["score"] for item in items),
            "exact": mean(exact(item["gold"], item["parsed"]) for item in items),
        }
        return scored(scores, items)

    def trivial(self, examples: Sequence[Row], train_rows: Sequence[Row] = ()) -> dict[str, list[str]]:  # noqa: ARG002
        """Always the statement that is most like all others, by bag of words whatever the similarity."""
        golds = [str(row["answer"]) for row in examples]
        typical = [box(medoid(golds))] * len(golds) if golds else []
        return {"most_typical_fact": typical, **says_nothing(examples)}

    def from_hub(self, row: Row) -> Row | None:
        """Question and answer, and the id where there is one; None where they can't be used."""
        kept = {"question": row["question"], "answer": row["answer"]}
        return None if self.problem(kept) else ({} if row.get("id") is None else {"id": row["id"]}) | kept

    def problem(self, row: Row) -> tuple[str, str, str] | None:
        """An empty question or answer, or an answer that no output could match."""
        if found := blank(row, "answer") or blank(row, "question"):
            return found
        answer = str(row["answer"])
        if not normalise(answer):
            return "answer", f"{answer!r:.40} has no word", "write the fact out or leave the row out"
        if not exact(answer, parse_statement(self.target(row))):
            return "answer", f"{answer!r:.40} in a box reads as markup", "leave the row out"
        return None

    def sample_key(self, row: Row) -> str:
        """The fact, however it is asked for: the facts that are tested are those that were trained on."""
        return normalise(str(row["answer"]))

    def with_similarity(self, similarity: Similarity) -> Task:
        """The task with another way to compare the statements."""
        return replace(self, similarity=similarity)


def _judge(output: str, row: Row) -> tuple[str, str | None, float]:
    # the cosines come later, all at once: an embedder is slow on one text at a time
    return str(row["answer"]), parse_statement(output), 0.0


TASK = FactsTask()

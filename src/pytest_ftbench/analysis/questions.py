"""The questions of a study, answered from its records: which are asked, and what each answer is made by.

A suite lists its own, and results carry them. Stored results that don't are asked what their records can answer.
"""

from collections.abc import Callable, Mapping, Sequence

from pytest_ftbench.analysis.answers import Answer, Reply
from pytest_ftbench.analysis.evidence import Evidence
from pytest_ftbench.analysis.material import Checks, Material
from pytest_ftbench.analysis.questions_base import against_larger, memory_is_short, worth_it
from pytest_ftbench.analysis.questions_cost import best_balance, by_memory, cheapest, pareto
from pytest_ftbench.analysis.questions_facts import cost_of_learning, epochs_to_learn, learned_most
from pytest_ftbench.analysis.questions_full import adapters_or_more, memory_to_spare, partial_or_full
from pytest_ftbench.analysis.questions_rank import rank_matters, rank_trade_off
from pytest_ftbench.analysis.questions_settings import qlora_or_lora, quantized_answers, reasoning
from pytest_ftbench.analysis.questions_transfer import cross_task, robust
from pytest_ftbench.grid import QUESTIONS, STUDIES, Results

ANSWERED_BY: Mapping[str, Callable[[Material], Reply]] = {
    "is-tuning-worth-it": worth_it,
    "tuned-or-larger": against_larger,
    "adapters-with-memory-to-spare": memory_to_spare,
    "does-rank-matter": rank_matters,
    "partial-or-full": partial_or_full,
    "cross-task-transfer": cross_task,
    "adapters-when-memory-is-short": memory_is_short,
    "reasoning-on-or-off": reasoning,
    "best-balance": best_balance,
    "adapters-or-more": adapters_or_more,
    "rank-trade-off": rank_trade_off,
    "robust-transfer": robust,
    "cheapest-to-serve": cheapest,
    "memory-ladder": by_memory,
    "full-with-memory-to-spare": memory_to_spare,
    "pareto-fronts": pareto,
    "epochs-to-learn": epochs_to_learn,
    "best-learner": learned_most,
    "cost-of-learning": cost_of_learning,
    "quantized-answers": quantized_answers,
    "qlora-or-lora": qlora_or_lora,
}
"""What answers each question."""

# what any records are asked that don't say what they are to be asked: each thing once
_OF_ANY = (
    *STUDIES["tune-or-scale"],
    "pareto-fronts",
    "memory-ladder",
    "quantized-answers",
    "qlora-or-lora",
)


def answers(
    results: Results, evidence: Evidence | None = None, other: Results | None = None, checks: Checks | None = None
) -> list[Answer]:
    """What the records say to the questions that their suite asks, Q1 first; ``other`` is a run to hold them against.

    A question that a suite asks and its records can't answer says what is missing. Without a suite's list those that
    they can't answer are left out; the others keep their numbers. ``evidence``, which is of the records with seeds
    pooled, and ``checks``, what is found on each of these, save computing them again.
    """
    asked = _asked(results.provenance.get("questions"))
    material = Material.of(results, evidence, other, checks)
    if not material.records:
        return []
    curves = STUDIES["fact-learning"] if any(record.curve for record in material.records) else ()
    replies = [(name, ANSWERED_BY[name](material)) for name in asked or (*_OF_ANY, *curves)]
    return [
        Answer(name, f"Q{index}", QUESTIONS[name], reply.sentences, reply.table, reply.missing)
        for index, (name, reply) in enumerate(replies, 1)
        if asked or not reply.missing
    ]


def _asked(given: object) -> Sequence[str]:
    """The questions that results carry; what this version doesn't know is none."""
    listed = given if isinstance(given, list) else []
    return list(dict.fromkeys(name for name in listed if isinstance(name, str) and name in ANSWERED_BY))

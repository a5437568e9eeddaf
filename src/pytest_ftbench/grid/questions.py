"""The questions that a suite may ask of its records, by the names it lists them under; and those of each study.

How they are answered is the analysis's matter: ``analysis.questions``.
"""

from collections.abc import Mapping

QUESTIONS: Mapping[str, str] = {
    # "When to Tune, When to Scale" and the compact report before it
    "is-tuning-worth-it": "Is fine-tuning worth it, in efficacy and efficiency?",
    "tuned-or-larger": "How does a tuned small model compare to a larger untuned one?",
    "adapters-with-memory-to-spare": "If memory is abundant, is an adapter still worth using?",
    "does-rank-matter": "Does the rank matter?",
    "partial-or-full": "Partial or full tuning: adapters against full fine-tuning?",
    "cross-task-transfer": "What does tuning on one task do to the others?",
    "adapters-when-memory-is-short": "If memory forces an adapter, is fine-tuning still worth it?",
    "reasoning-on-or-off": "What should be done with reasoning?",
    # "Supervised Fine-Tuning of LLMs with Parameter-Efficient Methods"
    "best-balance": "Which method has the best balance of efficacy and efficiency in-domain?",
    "adapters-or-more": "Do adapters approach or surpass full fine-tuning and a larger untuned model?",
    "rank-trade-off": "Does rank change the trade-off of efficacy, latency and memory within a method?",
    "robust-transfer": "Which method is most robust on other tasks, and least prone to forgetting?",
    "cheapest-to-serve": "Which configurations minimize the cost of answering?",
    "memory-ladder": "With so much memory to train, which way is best?",
    "full-with-memory-to-spare": "With abundant memory, does full fine-tuning dominate, or do adapters keep an edge?",
    "pareto-fronts": "Which configurations are Pareto-optimal over efficacy, latency and memory?",
    # "Simple Fact Learning by SLMs"
    "epochs-to-learn": "How many epochs does each method need to learn the facts?",
    "best-learner": "Which method has learned most at the end?",
    "cost-of-learning": "What does the learning cost, in time and memory?",
    # quantization
    "quantized-answers": "What does answering on quantized weights cost, and what does it save?",
    "qlora-or-lora": "QLoRA or LoRA: what does training on quantized weights cost, and what does it save?",
}
"""The text of each question by its name."""

STUDIES: Mapping[str, tuple[str, ...]] = {
    "tune-or-scale": tuple(QUESTIONS)[:8],
    "peft-variants": (
        "best-balance",
        "adapters-or-more",
        "rank-trade-off",
        "robust-transfer",
        "cheapest-to-serve",
        "memory-ladder",
        "adapters-when-memory-is-short",
        "full-with-memory-to-spare",
        "pareto-fronts",
    ),
    "fact-learning": ("epochs-to-learn", "best-learner", "cost-of-learning"),
    "quantization": ("quantized-answers", "qlora-or-lora", "memory-ladder", "pareto-fronts"),
}
"""The questions of each study in its own order, Q1 first, by the name of the suite that repeats it."""

"""Records of two runs to compare; and records that nobody should write, of which nothing is sure but their shape."""

from hypothesis import strategies as st

from pytest_ftbench.grid import Cell, CellRecord

HEADLINE = {"arc": "macro_f1", "openmath": "solve_rate", "squad": "f1", "facts": "cosine"}
TRIVIAL = {"squad": {"always_abstain": {"f1": 49.0}}, "arc": {"majority_class": {"macro_f1": 0.1}}}
MEMORY = [f"{phase}_{kind}" for phase in ("train", "eval") for kind in ("allocated", "reserved", "process")]
SAID = {
    "device_name": "Chip A",
    "items": "aaaaaaaa11",
    "prompts": "bbbbbbbb11",
    "template": "cccccccc11",
    "reasoning": "off",
    "threads": 4,
    "max_new_tokens": 256,
}


def record(
    task="squad",
    score=60.0,
    train="squad",
    rank=8,
    model="nano",
    seed=0,
    tpot=0.01,
    tokens=20.0,
    memory=(3.0, 1.5),
    timing=None,
    training=None,
    said=None,
    **rest,
):
    """A measured cell of which all is known: 10 ms per token, 3 GiB in training and 1.5 GiB in answering."""
    cell = Cell(model, "lora" if train else "base", task, train, rank if train else None, seed=seed)
    trained = {"dtype": "bfloat16+float32", "base_dtype": "bfloat16"} | (training or {})
    given = {
        "n": 200,
        "scores": {HEADLINE.get(task, "score"): score},
        "format_rate": 1.0,
        "latency_s": {"mean": 0.5, "n": 8, "tpot_median": tpot, "workers": 1} | (timing or {}),
        "output_tokens": {"mean": tokens},
        "memory_gib": dict(zip(("train_allocated", "eval_allocated"), memory, strict=True)),
        "train": trained if train else None,
        "eval_dtype": "bfloat16",
        "extra": {"provenance": SAID | (said or {})},
    }
    return CellRecord.of(cell, **(given | rest))


_numbers = st.one_of(st.none(), st.floats(), st.integers(), st.floats(0, 1), st.just(10**400))
_nonsense = st.one_of(_numbers, st.text(max_size=40), st.booleans(), st.just([]))
_names = st.one_of(st.sampled_from(["nano", *HEADLINE, "lora", "nopeft"]), st.text(max_size=40))
_said = st.dictionaries(st.sampled_from([*SAID, "timed_as", "embedder", "embedder_fingerprint"]), _nonsense)


def foreign_records():
    """Records with any name, number, text and status in any place."""
    return st.builds(
        CellRecord,
        id=st.sampled_from("abc") | st.text(max_size=150),
        model=_names,
        method=_names,
        eval_task=_names,
        rank=st.none() | st.integers(),
        quantization=st.none() | st.text(max_size=9),
        train_task=st.none() | _names,
        seed=st.integers(),
        status=st.sampled_from(["ok", "ok", "ok", "failed", "skipped", "?"]),
        n=_nonsense,
        scores=st.dictionaries(st.sampled_from([*HEADLINE.values(), "x"]), _nonsense, max_size=3),
        format_rate=_nonsense,
        empty_rate=_nonsense,
        latency_s=st.dictionaries(
            st.sampled_from(["mean", "n", "tpot_median", "workers", "threads", "tokens"]),
            _nonsense | st.lists(_nonsense, max_size=2),
        ),
        output_tokens=st.fixed_dictionaries({"mean": _nonsense}),
        memory_gib=st.dictionaries(st.sampled_from(MEMORY), _nonsense),
        train=st.none() | st.dictionaries(st.sampled_from(["dtype", "base_dtype", "device_name"]), _nonsense),
        eval_dtype=_nonsense,
        extra=st.one_of(st.just({}), st.fixed_dictionaries({"provenance": _said | _nonsense})),
    )


runs = st.lists(foreign_records(), max_size=5)
trivials = st.dictionaries(
    _names, st.dictionaries(st.text(max_size=9), st.dictionaries(st.sampled_from(list(HEADLINE.values())), _numbers))
)

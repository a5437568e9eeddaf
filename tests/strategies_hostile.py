"""Results whose every text tries to break out of the page it is shown on: markup, mentions, control codes."""

from hypothesis import strategies as st

from pytest_ftbench.grid import CellRecord, Results

SNIPPETS = [
    *(
        "|",
        "\\|",
        "\\",
        "`",
        "``` ",
        "~~",
        "*",
        "**b**",
        "_i_",
        "]]>",
        "&",
        "&lt;",
        "&#64;octocat",
        "&#124;",
        "$",
        "$x$",
    ),
    *("<script>alert(1)</script>", "</details>", "</summary>", "<!--", "-->", "<img src=x onerror=alert(1)>", "<br>"),
    *("@octocat", "@octo-org/team", "a@example.org", "#123", "octo/repo#1", "GH-7", "gh-8", ":smile:", "[^1]", "[ ]"),
    *("https://example.org/x", "HTTP://example.org", "www.example.org", "ftp://x.org", "[a](javascript:b)", "![a](b)"),
    *("<javascript:x>", "[a]: b", "mailto:a@b.org", "{{x}}", "{% x %}", "</style>", "'", '"', "---", "===", "# h"),
    *("- x", "+ x", "1. x", "1) x", "> x", "    x", "\t", "\n", "\r\n", "\n\n", "\x00", "\x1b[31m", "\x07", "\x7f"),
    *("\u202e", "\u2066", "\u200b", "\u2028", "\ufeff", "e\u0301", "中", "😀", "𝒜", "é", "°", "†", "–", "\ud800"),
    *("nano", "lora", "INVALID", "<trivial", "", " ", "x" * 90),
]
hostile = st.lists(st.sampled_from(SNIPPETS), min_size=1, max_size=4).map("".join)
_texts = hostile | st.text(max_size=20)
_numbers = st.one_of(st.none(), st.floats(), st.integers(), st.floats(0, 1))
_values = st.recursive(
    _texts | _numbers | st.booleans(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_texts, inner, max_size=2),
    max_leaves=4,
)
_tasks = st.sampled_from(["arc", "squad", "openmath", "facts"]) | _texts
_scores = st.dictionaries(st.sampled_from(["f1", "macro_f1", "macro_f1_parsed_only", "solve_rate"]) | _texts, _numbers)


def hostile_records(max_size=8):
    """Records with hostile text in every name, and any number."""
    record = st.builds(
        CellRecord,
        id=_texts,
        model=_texts,
        method=st.sampled_from(["base", "lora", "nopeft"]) | _texts,
        eval_task=_tasks,
        rank=st.none() | st.integers(1, 64),
        quantization=st.none() | _texts,
        train_task=st.none() | _tasks,
        seed=st.integers(0, 2),
        status=st.sampled_from(["ok", "ok", "ok", "failed", "skipped"]) | _texts,
        error=st.none() | _texts,
        n=st.none() | st.integers(1, 300),
        scores=_scores,
        format_rate=_numbers,
        latency_s=st.fixed_dictionaries(
            {"mean": _numbers}, optional={"fixed": st.just({"mean": 1.0, "new_tokens": 8})}
        ),
        output_tokens=st.fixed_dictionaries({"mean": _numbers}),
        memory_gib=st.dictionaries(st.sampled_from(["train_allocated", "eval_reserved"]), _numbers),
        # of the known keys what a file may hold, of others anything
        train=st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                **dict.fromkeys(("seconds", "total_params"), _numbers),
                **dict.fromkeys(("quantization", "dtype"), st.none() | _texts),
                "later": _values,
            },
        ),
        eval_dtype=st.none() | _texts,
        extra=st.just({}) | st.fixed_dictionaries({"provenance": st.dictionaries(_texts, _values, max_size=2)}),
    )
    return st.lists(record, max_size=max_size)


def hostile_results(max_size=8):
    """Results with hostile text wherever text may be."""
    known = st.sampled_from(["device", "dtype", "git_sha", "dirty", "hygiene", "packages", "checks"])
    trivial = st.dictionaries(
        _tasks, st.dictionaries(_texts, st.dictionaries(_texts, _numbers, max_size=2), max_size=2)
    )
    return st.builds(
        Results,
        suite=_texts,
        cells=hostile_records(max_size),
        provenance=st.dictionaries(known | _texts, _values, max_size=4),
        trivial=trivial,
    )

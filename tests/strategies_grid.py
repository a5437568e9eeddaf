"""What Hypothesis draws cells, ids and JSON values from; shared by the tests of grid and store."""

import re

from hypothesis import strategies as st

from pytest_ftbench.grid import METHODS, Cell

MODEL = re.compile(r"[a-z0-9][a-z0-9._-]*")
# words that an id itself is made of: a model may be called like any of them
_TRICKY = (
    "base",
    "lora",
    "nopeft",
    "to",
    "nf4",
    "int8",
    "r8",
    "s1",
    "squad",
    "arc",
    "qwen3",
    "0.6b",
    "a",
    "x",
    "_",
    ".",
)
_NUMBERS = st.integers(0, 9) | st.integers(0, 10**17)

tricky_models = st.lists(st.sampled_from(_TRICKY), min_size=1, max_size=6).map("-".join).filter(MODEL.fullmatch)
models = tricky_models | st.from_regex(MODEL, fullmatch=True)
names = st.sampled_from(("arc", "squad", "to", "s1", "r8", "nf4", "x_1")) | st.from_regex(
    "[a-z][a-z0-9_]*", fullmatch=True
)
methods = st.sampled_from(sorted(METHODS)).filter(lambda name: name != "base") | names.filter(
    lambda name: not re.fullmatch(r"r[0-9]+|nf4|int8|base", name)
)
quantizations = st.sampled_from((None, "nf4", "int8"))

base_cells = st.builds(Cell, models, st.just("base"), names, quantization=quantizations)
seedless_cells = st.builds(
    Cell,
    models,
    methods,
    names,
    names.filter(lambda name: name not in ("base", "to")),
    rank=st.none() | _NUMBERS.filter(bool),
    quantization=quantizations,
)


@st.composite
def seeded_cells(draw):
    """Tuned cells of a suite of several seeds."""
    cell = draw(seedless_cells)
    return Cell(**{**vars(cell), "seed": draw(_NUMBERS), "seeded": True})


cells = base_cells | seedless_cells | seeded_cells()

_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
json_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)

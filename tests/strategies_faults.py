"""What Hypothesis makes of a good file: other values, missing keys, things twice, and texts that no value writes."""

import copy
import json

from hypothesis import strategies as st

# words that stand in a value for what the writer of JSON wouldn't write
_MARKS = {
    '"@huge@"': "1e400",
    '"@digits@"': "9" * 5000,
    '"@nan@"': "NaN",
    '"@infinity@"': "-Infinity",
    '"@half@"': '"\\ud800"',
    '"@deep@"': "[" * 2000 + "]" * 2000,
    '"@deeper@"': '{"a":' * 90 + "1" + "}" * 90,
}
_ODD = [
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.0, 1e308, -1e308, 5e-324, 2**53, 2**63, 10**300, 10**400),
    *("", "x", "0.5", "NaN", "8", "\x00\x1b[31m\n", "\u202e", "é" * 3, "x" * 5000, "ok", "failed", "tuned", "base"),
    *([], {}, [[]], [None], [1, "x"], ["arc"], [1e308, 1e308], {"a": 1}, {"a": {"b": [1]}}, {"": None}),
    *(mark.strip('"') for mark in _MARKS),
]
odd_values = st.sampled_from(_ODD) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value, depth=0):
    """Every key and index in a value, with what it is a key of; near the top more often, where there are fewer."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key], depth + 1)


def shrunk(results, cells=4, items=3):
    """Results with so few cells and items that a report takes no time."""
    return results | {"cells": [cell | {"items": cell["items"][:items]} for cell in results["cells"][:cells]]}


@st.composite
def mutated(draw, good, most=4):
    """One of these JSON values with some of what is in it another."""
    value = copy.deepcopy(draw(st.sampled_from(good)))
    for _ in range(draw(st.integers(1, most))):
        everywhere = list(places(value))
        if not everywhere:
            break
        # as often in the outer parts, which decide most, as in the thousands of leaves
        outer = [each for each in everywhere if isinstance(each[0][each[1]], dict | list)] or everywhere
        parent, key = draw(st.sampled_from(everywhere) | st.sampled_from(outer))
        what = draw(st.sampled_from(("replace", "replace", "replace", "delete", "twice", "swap")))
        if what == "delete":
            del parent[key]
        elif what == "twice" and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[key]))
        elif what == "swap":
            other, at = draw(st.sampled_from(everywhere))
            if at in (other if isinstance(other, dict) else range(len(other))):
                parent[key] = copy.deepcopy(other[at])
        else:
            parent[key] = copy.deepcopy(draw(odd_values))  # what is drawn from a list is drawn again
    return value


def text_of(value):
    """The value as a file's text, with what the marks stand for."""
    text = json.dumps(value, ensure_ascii=True)
    for mark, meant in _MARKS.items():
        text = text.replace(mark, meant)
    return text

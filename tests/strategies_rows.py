"""Rows and files that somebody saved wrongly: any value in any column, columns that aren't there, bytes that flip."""

import json

import pyarrow
from hypothesis import strategies as st

from pytest_ftbench import lab
from pytest_ftbench.tasks import get_task

TEXTS = [
    *("", " ", "\n", "\t\t", "\x00", "\x1b[31m", "\x7f", "\u202e", "\u2066", "\u200b", "\ufeff", "\u2028", "e\u0301"),
    *("😀", "𝒜", "中", "ß", "\ud800", "\udfff a", "x" * 5000, "A. " * 400, "{" * 300, "\\boxed{" * 50, "}{", "\\"),
    *("A", "3", "e", "F", "12", "1e400", "nan", "-0.0", "unanswerable", "the", "$5$", "\\text{x}", "<|im_end|>"),
    *("</think>", "<think>", "<|im_start|>assistant\n", "Which? A. x B. y", "1. a 2. b", "(C) c", "On 3."),
]
texts = st.sampled_from(TEXTS) | st.text(max_size=12)
numbers = st.integers() | st.floats() | st.sampled_from([0, -1, 10**400, 2**63, 1e308, -1e-320])
junk = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
_EXTRA = ("id", "answers", "title", "choices")


@st.composite
def rows(draw, name, size=4):
    """A task's rows; a few of their columns are gone, or hold anything."""
    drawn = [dict(row) for row in lab.rows(name, "train", draw(st.integers(0, size)))]
    for row in drawn:
        for column in draw(st.lists(st.sampled_from([*get_task(name).columns, *_EXTRA]), max_size=2)):
            if draw(st.booleans()):
                row[column] = draw(texts | junk)
            else:
                row.pop(column, None)
    return drawn


@st.composite
def lines(draw, name):
    """The bytes of a JSON Lines file: such rows, written in any of its ways, and then perhaps damaged."""
    ascii_only = draw(st.booleans())
    objects = [json.dumps(row, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass") for row in draw(rows(name))]
    strays = draw(
        st.lists(st.sampled_from([b"", b"null", b"[]", b"{", b"\xff", b'{"a":1,"a":2}', b"[" * 3000]), max_size=1)
    )
    return draw(damaged(b"\n".join(draw(st.permutations([*objects, *strays])))))


@st.composite
def damaged(draw, content):
    """Bytes as they are, or cut short, or with a few of them changed, or with something before them."""
    kind = draw(st.sampled_from(["whole", "whole", "cut", "flipped", "headed"]))
    if kind == "cut":
        return content[: draw(st.integers(0, len(content)))]
    if kind == "headed":
        return draw(st.sampled_from([b"\xef\xbb\xbf", b"\xff\xfe", b"\n\r\n", b"\x00"])) + content
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 3)) if kind == "flipped" and content else 0):
        changed[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(changed)


def _not_utf8(count):
    """A column of texts that are none."""
    raw = pyarrow.array([b"fine", b"\xff\xfe"][:count] + [b"ok"] * (count - 2), pyarrow.binary())
    return pyarrow.Array.from_buffers(pyarrow.string(), count, raw.buffers())


def _columns(count):
    """Columns of every type that a file may have."""
    some = st.lists(texts.filter(lambda text: text.isprintable()), min_size=count, max_size=count)
    nested = st.lists(st.lists(st.none() | st.just("gold"), max_size=2), min_size=count, max_size=count)
    floats = st.lists(st.none() | st.floats(), min_size=count, max_size=count)
    return st.one_of(
        some.map(pyarrow.array),
        some.map(lambda values: pyarrow.array(values, pyarrow.large_string())),
        some.map(lambda values: pyarrow.array(values).dictionary_encode()),
        some.map(lambda values: pyarrow.array([value.encode() for value in values], pyarrow.binary())),
        some.map(lambda values: pyarrow.array([{"text": [value], "answer_start": [0]} for value in values])),
        nested.map(lambda values: pyarrow.array(values, pyarrow.list_(pyarrow.string()))),
        floats.map(lambda values: pyarrow.array(values, pyarrow.float64())),
        floats.map(lambda values: pyarrow.array(values, pyarrow.float32())),
        st.lists(st.integers(-(2**63), 2**63 - 1), min_size=count, max_size=count).map(pyarrow.array),
        st.just(pyarrow.nulls(count)),
        st.just(pyarrow.array([True] * count)),
        st.just(pyarrow.array([2**62] * count, pyarrow.timestamp("ms"))),
        st.just(pyarrow.array([1] * count, pyarrow.int64()).cast(pyarrow.decimal128(20))),
        st.just(_not_utf8(count)),
    )


@st.composite
def tables(draw, name):
    """A table of a task's rows, a few of whose columns are of another type, gone or there twice."""
    sound = lab.rows(name, "train", 3)
    columns = [(column, pyarrow.array([row[column] for row in sound])) for column in get_task(name).columns]
    for column in draw(st.lists(st.sampled_from([*get_task(name).columns, *_EXTRA]), max_size=2)):
        kept = [pair for pair in columns if pair[0] != column or draw(st.integers(0, 9)) == 0]
        columns = [*kept, *([(column, draw(_columns(3)))] if draw(st.integers(0, 4)) else [])]
    return pyarrow.Table.from_arrays([array for _, array in columns], names=[column for column, _ in columns])

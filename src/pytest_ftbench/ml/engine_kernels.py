"""The steps of a decoder as four kernels beside its matrix products (Triton, on a GPU).

What is left of a recorded step at batch 1 is the number of its kernels, and at a large batch reading keys and values
that no row needs. So everything between two products is one kernel, and attention reads each row as far as it goes. All
of them round where the operations that they stand for do.

Imported only where Triton is; ``engine_cache`` has the same step in torch's own operations, which this one is compared
with before it is used.
"""

from typing import TYPE_CHECKING

import triton
import triton.language as tl

if TYPE_CHECKING:
    import torch

    from pytest_ftbench.ml.engine_cache import Cache

_KEYS_AT_ONCE = 64
_FEWEST_QUERIES = 16  # what a matrix product on the chip takes


@triton.jit
def _added_and_normed(state, delta, weight, out, eps, count, has_delta: tl.constexpr, block: tl.constexpr):
    """Add to the state of a row, and norm it: out = norm(state += delta) × weight."""
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, block)
    inside = at < count
    value = tl.load(state + row * count + at, mask=inside, other=0.0)
    kind = value.dtype
    if has_delta:
        value = (value.to(tl.float32) + tl.load(delta + row * count + at, mask=inside, other=0.0).to(tl.float32)).to(
            kind
        )
        tl.store(state + row * count + at, value, mask=inside)
    exact = value.to(tl.float32)
    normed = (exact * tl.rsqrt(tl.sum(exact * exact) / count + eps)).to(kind)
    scaled = normed.to(tl.float32) * tl.load(weight + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * count + at, scaled.to(kind), mask=inside)


@triton.jit
def _turned_and_kept(
    whole,
    weight,
    rope,
    positions,
    queries,
    keys,
    values,
    eps,
    row_stride,
    position_stride,
    heads: tl.constexpr,
    pairs: tl.constexpr,
    width: tl.constexpr,
    has_norm: tl.constexpr,
):
    """Norm and turn a head of a row by its position: queries into their own place, keys and values into the cache."""
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    at = tl.arange(0, width)
    opposite = (at + width // 2) % width
    source = whole + (row * (heads + 2 * pairs) + head) * width
    position = tl.load(positions + row)
    place = row * row_stride + position * position_stride
    here = tl.load(source + at)
    kind = here.dtype
    if head >= heads + pairs:
        tl.store(values + place + (head - heads - pairs) * width + at, here)
    else:
        exact, across = here.to(tl.float32), tl.load(source + opposite).to(tl.float32)
        if has_norm:
            scale = tl.rsqrt(tl.sum(exact * exact) / width + eps)
            own = tl.load(weight + head * width + at).to(tl.float32)
            other = tl.load(weight + head * width + opposite).to(tl.float32)
            exact = ((exact * scale).to(kind).to(tl.float32) * own).to(kind).to(tl.float32)
            across = ((across * scale).to(kind).to(tl.float32) * other).to(kind).to(tl.float32)
        cosine = tl.load(rope + position * 2 * width + at).to(tl.float32)
        sine = tl.load(rope + position * 2 * width + width + at).to(tl.float32)
        turned = ((exact * cosine).to(kind).to(tl.float32) + (across * sine).to(kind).to(tl.float32)).to(kind)
        if head < heads:
            tl.store(queries + (row * heads + head) * width + at, turned)
        else:
            tl.store(keys + place + (head - heads) * width + at, turned)


@triton.jit
def _attended(
    queries,
    keys,
    values,
    positions,
    out,
    scale,
    row_stride,
    position_stride,
    heads: tl.constexpr,
    group: tl.constexpr,
    width: tl.constexpr,
    rows_at_once: tl.constexpr,
    keys_at_once: tl.constexpr,
):
    """What the queries of one pair of keys and values find in a row, up to its position."""
    row, pair = tl.program_id(0).to(tl.int64), tl.program_id(1)
    count = tl.load(positions + row) + 1
    at, number = tl.arange(0, width), tl.arange(0, rows_at_once)
    mine = (row * heads + pair * group + number[:, None]) * width + at[None, :]
    query = tl.load(queries + mine, mask=number[:, None] < group, other=0.0)
    highest = tl.full([rows_at_once], float("-inf"), tl.float32)
    total = tl.zeros([rows_at_once], tl.float32)
    found = tl.zeros([rows_at_once, width], tl.float32)
    for first in range(0, count, keys_at_once):
        index = first + tl.arange(0, keys_at_once)
        inside = index < count
        places = row * row_stride + index[:, None] * position_stride + pair * width + at[None, :]
        key = tl.load(keys + places, mask=inside[:, None], other=0.0)
        value = tl.load(values + places, mask=inside[:, None], other=0.0)
        scores = tl.dot(query, tl.trans(key), input_precision="ieee") * scale
        scores = tl.where(inside[None, :], scores, float("-inf"))
        now = tl.maximum(highest, tl.max(scores, 1))
        shares, fading = tl.exp(scores - now[:, None]), tl.exp(highest - now)
        total = total * fading + tl.sum(shares, 1)
        found = found * fading[:, None] + tl.dot(shares.to(value.dtype), value, input_precision="ieee")
        highest = now
    tl.store(out + mine, (found / total[:, None]).to(query.dtype), mask=number[:, None] < group)


@triton.jit
def _gated(both, out, count, block: tl.constexpr):
    """silu(gate) × up, of a row's gates and ups side by side."""
    row, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    at = part * block + tl.arange(0, block)
    inside = at < count
    gate = tl.load(both + row * 2 * count + at, mask=inside, other=0.0)
    exact = gate.to(tl.float32)
    opened = (exact / (1.0 + tl.exp(-exact))).to(gate.dtype)
    up = tl.load(both + row * 2 * count + count + at, mask=inside, other=0.0)
    tl.store(out + row * count + at, (opened.to(tl.float32) * up.to(tl.float32)).to(gate.dtype), mask=inside)


class Kernels:
    """The steps over a cache, computed by these kernels; calling it takes one of the first rows, of any length."""

    def __init__(self, cache: "Cache") -> None:
        self.cache = cache

    def __call__(self, rows: int, _length: int) -> None:
        """Put the next token after the last of each of the first rows."""
        cache, stack = self.cache, self.cache.stack
        tokens = cache.tokens[:rows]
        tokens.copy_(stack.logits_of(self.states(rows)).argmax(-1))
        cache.positions[:rows] += 1

    def states(self, rows: int) -> "torch.Tensor":
        """The normed states that the next tokens of the first rows follow from, shape (rows, hidden)."""
        import torch
        from torch.nn.functional import linear

        cache, stack, shape = self.cache, self.cache.stack, self.cache.stack.shape
        state, delta = stack.embedded(cache.tokens[:rows]), None
        heads = state.new_empty(rows, shape.heads, shape.width)
        found = torch.empty_like(heads)
        for index, layer in enumerate(stack.layers):
            seen = self._normed(state, delta, layer["norm"])
            whole = linear(seen, layer["qkv"], layer.get("qkv.bias"))
            self._attend(index, rows, whole, layer.get("head_norm"), heads, found)
            delta = linear(found.view(rows, -1), layer["out"], layer.get("out.bias"))
            both = linear(self._normed(state, delta, layer["mid_norm"]), layer["gate_up"], layer.get("gate_up.bias"))
            opened = state.new_empty(rows, shape.inner)
            _gated[rows, triton.cdiv(shape.inner, 1024)](both, opened, shape.inner, 1024)
            delta = linear(opened, layer["down"], layer.get("down.bias"))
        return self._normed(state, delta, stack.norm)

    def _normed(self, state: "torch.Tensor", delta: "torch.Tensor | None", weight: "torch.Tensor") -> "torch.Tensor":
        out, count = state.new_empty(state.shape), state.shape[-1]
        given = state if delta is None else delta
        eps, block = self.cache.stack.shape.eps, triton.next_power_of_2(count)
        _added_and_normed[len(state),](state, given, weight, out, eps, count, delta is not None, block)
        return out

    def _attend(
        self,
        index: int,
        rows: int,
        whole: "torch.Tensor",
        norm: "torch.Tensor | None",
        heads: "torch.Tensor",
        found: "torch.Tensor",
    ) -> None:
        """Put a layer's keys and values into the cache, and what its queries find there into ``found``."""
        cache, shape = self.cache, self.cache.stack.shape
        keys, values, positions = cache.keys[index], cache.values[index], cache.positions
        strides, group = (keys.stride(0), keys.stride(1)), shape.heads // shape.pairs
        weight, sizes = whole if norm is None else norm, (shape.heads, shape.pairs, shape.width)
        _turned_and_kept[rows, shape.heads + 2 * shape.pairs](
            whole, weight, cache.turns, positions, heads, keys, values, shape.eps, *strides, *sizes, norm is not None
        )
        at_once = max(_FEWEST_QUERIES, triton.next_power_of_2(group)), _KEYS_AT_ONCE
        scale, sizes = shape.width**-0.5, (shape.heads, group, shape.width)
        _attended[rows, shape.pairs](heads, keys, values, positions, found, scale, *strides, *sizes, *at_once)

"""Keys and values of many rows at once, in one allocation, and the steps that read and write them."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from pytest_ftbench.ml.engine_stack import Stack
from pytest_ftbench.ml.finite import check_logits

if TYPE_CHECKING:
    import torch

_ALIGNED = 16  # masks of this many positions, or a multiple, need no padding of their own on a GPU


class Cache:
    """Room for so many ``rows`` of up to ``length`` tokens, with each row's last token and position.

    Everything that a step reads is where it was at the step before.
    """

    def __init__(self, stack: Stack, rows: int, length: int) -> None:
        import torch

        shape, like = stack.shape, stack.rope(1)
        self.stack = stack
        self.rows = rows
        self.length = length
        size = (shape.layers, rows, length, shape.pairs, shape.width)
        # what is not yet written is masked, and must be a number for that
        self.keys = torch.zeros(size, dtype=like.dtype, device=like.device)
        self.values = torch.zeros_like(self.keys)
        self.tokens = torch.zeros(rows, dtype=torch.long, device=like.device)
        self.positions = torch.zeros_like(self.tokens)
        self.turns = stack.rope(length)
        self._all = torch.arange(max(rows, length), device=like.device)

    def step(self, rows: int, length: int) -> None:
        """Put the next token after the last of each of the first rows, all of them within the length."""
        self.tokens[:rows] = self.stack.chosen(self.states_of_step(rows, length))
        self.positions[:rows] += 1

    def states_of_step(self, rows: int, length: int) -> "torch.Tensor":
        """The states that the next tokens of the first rows follow from, shape (rows, hidden)."""
        positions, each = self.positions[:rows], self._all[:rows]
        mask = self._until(positions, length)

        def attend(layer: int, query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor") -> "torch.Tensor":
            keys, values = self.keys[layer], self.values[layer]
            keys[each, positions] = key[:, 0]
            values[each, positions] = value[:, 0]
            return self._attended(query, keys[:rows, :length], values[:rows, :length], mask)

        return self.stack.hidden(self.tokens[:rows, None], self.turns[positions][:, None], attend)[:, 0]

    def states(self, ids: "torch.Tensor") -> "torch.Tensor":
        """The states of whole texts of one length, of shape (rows, tokens), nothing kept."""
        return self._whole(ids, lambda _key, _value: None)

    def shared(self, tokens: Sequence[int]) -> tuple["torch.Tensor", "torch.Tensor"]:
        """The keys and values of what all prompts begin with, shape (layers, 1, tokens, pairs, width)."""
        import torch

        if not tokens:
            return self.keys[:, :1, :0], self.values[:, :1, :0]
        kept: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._whole(self.tokens.new_tensor([tokens]), lambda key, value: kept.append((key, value)))
        return torch.stack([key for key, _ in kept]), torch.stack([value for _, value in kept])

    def _whole(self, ids: "torch.Tensor", keep: "Callable[[torch.Tensor, torch.Tensor], None]") -> "torch.Tensor":
        count = ids.shape[1]
        mask = self._causal(0, count, count)

        def attend(_: int, query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor") -> "torch.Tensor":
            keep(key, value)
            return self._attended(query, key, value, mask)

        return self.stack.hidden(ids, self.turns[:count], attend)

    def prefill(
        self, prompts: Sequence[Sequence[int]], slots: Sequence[int], prefix: tuple["torch.Tensor", "torch.Tensor"]
    ) -> None:
        """Put prompts into rows of the cache, and the first token of each answer after them."""
        import torch

        begun = prefix[0].shape[2]
        longest = max(map(len, prompts))
        width = longest - begun if self.keys.device.type == "cpu" else -(-longest // _ALIGNED) * _ALIGNED - begun
        width = min(width, self.length - begun)
        # what pads a row stands after it: nobody before can see it, and the row's own answer overwrites it
        padded = [[*prompt[begun:], *[0] * (width + begun - len(prompt))] for prompt in prompts]
        ids, rows = self.tokens.new_tensor(padded), self.tokens.new_tensor(slots)
        lengths = self.tokens.new_tensor([len(prompt) for prompt in prompts])
        mask = self._causal(begun, width, begun + width)
        # the last layer is asked for the last token alone
        masks = [mask] * (len(self.keys) - 1) + [self._until(lengths - 1, begun + width)]

        def attend(layer: int, query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor") -> "torch.Tensor":
            both = []
            for store, old, new in ((self.keys, prefix[0], key), (self.values, prefix[1], value)):
                whole = torch.cat((old[layer].expand(len(rows), -1, -1, -1), new), dim=1)
                store[layer][rows, : begun + width] = whole
                both.append(whole)
            return self._attended(query, both[0], both[1], masks[layer])

        state = self.stack.hidden(ids, self.turns[begun : begun + width], attend, lengths - begun - 1)
        logits = self.stack.logits(state[:, 0])
        # a model that is broken is so from the first token on; the steps, which may be recorded, aren't looked at
        check_logits(logits, self.stack.name)
        self.tokens[rows] = logits.argmax(-1)
        self.positions[rows] = lengths

    def move(self, sources: Sequence[int], targets: Sequence[int], length: int) -> None:
        """Move rows to where no row is."""
        old, new = self.tokens.new_tensor(sources), self.tokens.new_tensor(targets)
        for store in (self.keys, self.values):
            store[:, new, :length] = store[:, old, :length]
        for store in (self.tokens, self.positions):
            store[new] = store[old]

    def clear(self) -> None:
        """Forget all keys and values: what isn't a number would go on through a mask."""
        import torch

        with torch.inference_mode():
            self.keys.zero_()
            self.values.zero_()

    def park(self, rows: Sequence[int]) -> None:
        """Leave rows that nobody is in where a step can do no harm: it goes on with them."""
        left = self.tokens.new_tensor(rows)
        self.tokens[left] = 0
        self.positions[left] = 0

    def _until(self, positions: "torch.Tensor", length: int) -> "torch.Tensor":
        """The mask of one token in each row at its position, shape (rows, 1, 1, length)."""
        import torch

        hidden = torch.full((), float("-inf"), dtype=self.keys.dtype, device=self.keys.device)
        mask = torch.where(self._all[:length] > positions[:, None], hidden, torch.zeros_like(hidden))
        return mask[:, None, None]

    def _causal(self, begun: int, width: int, length: int) -> "torch.Tensor":
        """The mask of so many tokens after the first ones, shape (1, 1, tokens × queries per key, length)."""
        import torch

        shape = self.stack.shape
        hidden = torch.full((), float("-inf"), dtype=self.keys.dtype, device=self.keys.device)
        positions = self._all[begun : begun + width].repeat_interleave(shape.heads // shape.pairs)
        return torch.where(self._all[:length] > positions[:, None], hidden, torch.zeros_like(hidden))[None, None]

    def _attended(
        self, query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor", mask: "torch.Tensor"
    ) -> "torch.Tensor":
        """What each query finds. Those of one key stand below each other, so that no key is repeated for them."""
        from torch.nn.functional import scaled_dot_product_attention

        rows, tokens, heads, width = query.shape
        pairs = key.shape[2]
        grouped = query.reshape(rows, tokens, pairs, heads // pairs, width).permute(0, 2, 1, 3, 4)
        with self._kernels():
            found = scaled_dot_product_attention(
                grouped.reshape(rows, pairs, -1, width), key.transpose(1, 2), value.transpose(1, 2), attn_mask=mask
            )
        apart = found.reshape(rows, pairs, tokens, heads // pairs, width).permute(0, 2, 1, 3, 4)
        return apart.reshape(rows, tokens, heads * width)

    def _kernels(self) -> Any:
        """On a GPU the same kernel for every shape: others are chosen, or even made anew, by it, and round by it."""
        if self.keys.device.type == "cpu":
            return nullcontext()
        from torch.nn.attention import SDPBackend, sdpa_kernel

        return sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])

"""A decoder of the Llama family as the few operations it is: its weights, one prefill, one step of every row.

``generate()`` spends most of a small model's time between operations. Here queries, keys and values are one product,
gate and up another, and a cache of keys and values stays where it is, so that a step can be recorded and replayed. Each
operation rounds where the model's own does, in the model's order; what is fused is only where two of them read the
same input. A row of the cache holds one prompt from position 0 on; whatever lies beyond a row's position is never read.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_ftbench.ml.finite import name_of

if TYPE_CHECKING:
    import torch

_KNOWN = ("LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
# frequencies that do not depend on how long a text is
_ROPES = ("default", "linear", "llama3")

Attend = Callable[[int, "torch.Tensor", "torch.Tensor", "torch.Tensor"], "torch.Tensor"]


def why_not(model: Any) -> str | None:
    """What keeps a model from being computed this way, in words; None where nothing does."""
    import torch

    kind = type(model).__name__
    if kind not in _KNOWN:
        return f"{kind} is none that the fast engine knows"
    config = model.config
    if config.hidden_act != "silu":
        return f"its activation is {config.hidden_act}"
    if any(layer != "full_attention" for layer in getattr(config, "layer_types", None) or ()):
        return "not all of its layers attend to everything before them"
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope not in _ROPES:
        return f"its positions are of the kind {rope}"
    if any("_proj" in name and type(part) is not torch.nn.Linear for name, part in model.named_modules()):
        return "its weights are quantized, or an adapter is beside them"
    if len({parameter.dtype for parameter in model.parameters()}) > 1:
        return "its weights are in several dtypes"
    return None


@dataclass(frozen=True)
class Shape:
    """What two models must share for one's weights to take the place of the other's."""

    layers: int
    hidden: int
    inner: int
    heads: int
    pairs: int  # of keys and values
    width: int  # of a head
    vocabulary: int
    eps: float
    rope: str
    dtype: str
    device: str

    @classmethod
    def of(cls, model: Any) -> "Shape":
        """The shape of a model."""
        config = model.config
        return cls(
            layers=config.num_hidden_layers,
            hidden=config.hidden_size,
            inner=config.intermediate_size,
            heads=config.num_attention_heads,
            pairs=config.num_key_value_heads,
            width=model.model.layers[0].self_attn.head_dim,
            vocabulary=config.vocab_size,
            eps=config.rms_norm_eps,
            rope=repr(config.rope_parameters),
            dtype=str(model.dtype),
            device=str(model.device),
        )

    def cache_bytes(self, itemsize: int) -> int:
        """What keys and values of one token take in all layers, bytes."""
        return 2 * self.layers * self.pairs * self.width * itemsize


class Stack:
    """The weights of one model and what is computed with them. With ``still`` they have storage of their own.

    Tensors keep their place when another model's weights are taken: whatever was recorded with them stays valid.
    """

    def __init__(self, model: Any, still: bool) -> None:
        self.shape = Shape.of(model)
        self._still = still
        self._tensors: dict[str, torch.Tensor] = {}
        self.take(model)

    def take(self, model: Any) -> None:
        """Compute with the weights of this model, of the same shape, from now on."""
        import torch

        self.name = name_of(model)
        self._rotary = model.model.rotary_emb
        with torch.inference_mode():
            for name, value in _weights(model):
                mine = self._tensors.get(name)
                if mine is not None and self._still:
                    mine.copy_(value)
                else:
                    self._tensors[name] = value.detach().clone() if self._still else value.detach()
        found = self._tensors
        self.layers = [
            {name.partition(".")[2]: value for name, value in found.items() if name.startswith(f"{index}.")}
            for index in range(self.shape.layers)
        ]
        self._embedding, self.norm = found["embedding"], found["norm"]
        self._head = found.get("head", self._embedding)

    def rope(self, length: int) -> "torch.Tensor":
        """Cosines and signed sines of the positions up to a length, shape (length, 2, 1, width of a head)."""
        import torch

        positions = torch.arange(length, device=self._embedding.device)[None]
        cosine, sine = self._rotary(self._embedding[:1], positions)
        half = sine.shape[-1] // 2
        # the half that is turned to the front changes its sign: a product with -1 rounds nothing
        signed = torch.cat((-sine[..., :half], sine[..., half:]), dim=-1)
        return torch.stack((cosine[0], signed[0]), dim=1)[:, :, None].contiguous()

    def hidden(
        self, tokens: "torch.Tensor", rope: "torch.Tensor", attend: Attend, only: "torch.Tensor | None" = None
    ) -> "torch.Tensor":
        """The state after the last layer, shape (rows, tokens, hidden), of tokens of shape (rows, tokens).

        ``rope`` broadcasts to (rows, tokens, 2, 1, width); ``attend`` is given a layer's index, its queries, keys and
        values, of shape (rows, tokens, heads, width), and returns (rows, tokens, heads × width). With ``only``, the
        index of a token in each row, nothing else comes out of the last layer, which is asked for no other query.
        """
        import torch
        from torch.nn.functional import linear, silu

        shape = self.shape
        turned = shape.heads + shape.pairs
        cosine, sine = rope[..., 0, :, :], rope[..., 1, :, :]
        state = self.embedded(tokens)
        for index, layer in enumerate(self.layers):
            seen = self._normed(state, layer["norm"])
            whole = linear(seen, layer["qkv"], layer.get("qkv.bias"))
            whole = whole.view(*whole.shape[:-1], -1, shape.width)
            turning = whole[..., :turned, :]
            if "head_norm" in layer:
                turning = self._normed(turning, layer["head_norm"])
            turning = turning * cosine + torch.roll(turning, shape.width // 2, -1) * sine
            query, key = turning[..., : shape.heads, :], turning[..., shape.heads :, :]
            if only is not None and index == shape.layers - 1:
                each = torch.arange(len(only), device=only.device)
                state, query = state[each, only][:, None], query[each, only][:, None]
            found = attend(index, query, key, whole[..., turned:, :])
            state = state + linear(found, layer["out"], layer.get("out.bias"))
            gate, up = linear(
                self._normed(state, layer["mid_norm"]), layer["gate_up"], layer.get("gate_up.bias")
            ).chunk(2, -1)
            state = state + linear(silu(gate) * up, layer["down"], layer.get("down.bias"))
        return state

    def chosen(self, state: "torch.Tensor") -> "torch.Tensor":
        """The token that each state says is next, of shape (rows, hidden): the first of the likeliest."""
        return self.logits(state).argmax(-1)

    def logits(self, state: "torch.Tensor") -> "torch.Tensor":
        """The logits of states."""
        return self.logits_of(self._normed(state, self.norm))

    def logits_of(self, normed: "torch.Tensor") -> "torch.Tensor":
        """The logits of states that are normed already."""
        from torch.nn.functional import linear

        return linear(normed, self._head, self._tensors.get("head.bias"))

    def embedded(self, tokens: "torch.Tensor") -> "torch.Tensor":
        """The states that tokens begin as."""
        return self._embedding[tokens]

    def _normed(self, state: "torch.Tensor", weight: "torch.Tensor") -> "torch.Tensor":
        """Root-mean-square norm; rounded before the weight as the models do."""
        from torch.nn.functional import rms_norm

        return rms_norm(state, state.shape[-1:], None, self.shape.eps) * weight


def _weights(model: Any) -> Iterator[tuple[str, "torch.Tensor"]]:
    """A model's weights by name, those that read the same input joined."""
    import torch

    def parts(name: str, *linears: Any) -> Iterator[tuple[str, torch.Tensor]]:
        yield name, torch.cat([part.weight for part in linears]) if len(linears) > 1 else linears[0].weight
        if linears[0].bias is not None:
            yield f"{name}.bias", torch.cat([part.bias for part in linears])

    inner, shape = model.model, Shape.of(model)
    yield "embedding", inner.embed_tokens.weight
    yield "norm", inner.norm.weight
    if model.lm_head.weight.data_ptr() != inner.embed_tokens.weight.data_ptr():
        yield from parts("head", model.lm_head)
    for index, layer in enumerate(inner.layers):
        attention, mlp = layer.self_attn, layer.mlp
        yield f"{index}.norm", layer.input_layernorm.weight
        yield f"{index}.mid_norm", layer.post_attention_layernorm.weight
        yield from parts(f"{index}.qkv", attention.q_proj, attention.k_proj, attention.v_proj)
        yield from parts(f"{index}.out", attention.o_proj)
        yield from parts(f"{index}.gate_up", mlp.gate_proj, mlp.up_proj)
        yield from parts(f"{index}.down", mlp.down_proj)
        if hasattr(attention, "q_norm"):
            rows = [attention.q_norm.weight] * shape.heads + [attention.k_norm.weight] * shape.pairs
            yield f"{index}.head_norm", torch.stack(rows)

"""L layers of one cell, each with its norm and residual, and the pooling of what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from ...kernels.segment_pool import segment_pool
from .attention_pooling import AttentionPooling

if TYPE_CHECKING:
    from ...kernels.packing import Packed
    from .mixer import Mixer
    from .spec import RecurrentSpec

_EPS = 1e-6


class FeedForward(nn.Module):
    """Two linear maps around a GELU: width to ``inner`` and back."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(nn.functional.gelu(self.up(x)))
        return out


class Layer(nn.Module):
    """x + mixer(norm(x)), and then, where asked for, x + feed-forward(norm(x))."""

    def __init__(self, spec: RecurrentSpec, cell: type[Mixer], layer: int) -> None:
        super().__init__()
        self.mixer_norm = nn.RMSNorm(spec.width, eps=_EPS)
        self.mixer = cell(
            spec.width, bidirectional=spec.bidirectional, layer=layer, layers=spec.layers
        )
        self.feed_forward: nn.Sequential | None = None
        if spec.feed_forward:
            inner = max(1, round(spec.feed_forward * spec.width))
            self.feed_forward = nn.Sequential(
                nn.RMSNorm(spec.width, eps=_EPS), FeedForward(spec.width, inner)
            )

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        x = x + self.mixer(self.mixer_norm(x), packed)
        return x if self.feed_forward is None else x + self.feed_forward(x)


class Stack(nn.Module):
    """Token vectors [tokens, width] to one vector a text, [N, out_width].

    ``states`` stops before the pooling: [tokens, width], one normalised vector a token.
    """

    def __init__(self, spec: RecurrentSpec, cell: type[Mixer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(spec, cell, number) for number in range(spec.layers))
        self.norm = nn.RMSNorm(spec.width, eps=_EPS)
        self.pooling = AttentionPooling(spec.width) if spec.pooling == "attention" else None
        self.pools = () if self.pooling is not None else tuple(spec.pooling.split("+"))
        self.out_width = spec.width * max(1, len(self.pools))

    def states(self, x: Tensor, packed: Packed) -> Tensor:
        for layer in self.layers:
            x = layer(x, packed)
        out: Tensor = self.norm(x)
        return out

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        states = self.states(x, packed)
        if self.pooling is not None:
            out: Tensor = self.pooling(states, packed)
            return out
        return segment_pool(states, packed, self.pools)

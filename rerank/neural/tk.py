"""TK: kernels over the cosines of contextualised words.

Hofstaetter et al., "Interpretable & Time-Budget-Constrained Contextualization for Re-Ranking"
(ECAI 2020).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ...core.errors import BadArguments
from .pairs import cosines
from .query_gate import QueryGate
from .rbf import RbfKernels, log_sums

if TYPE_CHECKING:
    from .pairs import Pairs, Side


@dataclass(frozen=True, slots=True)
class TkOptions:
    """``layers`` of self-attention with ``heads`` and ``hidden`` channels in between, over word
    vectors brought to ``width``, a multiple of heads. ``dropout`` inside them."""

    width: int = 128
    layers: int = 2
    heads: int = 8
    hidden: int = 128
    kernels: int = 11
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if min(self.width, self.layers, self.heads, self.hidden) < 1 or self.width % self.heads:
            raise BadArguments(
                f"width {self.width}, layers {self.layers}, heads {self.heads}, hidden "
                f"{self.hidden}: expected 1 or more, and a width that the heads divide"
            )


class Tk(nn.Module):
    """score = w . sum_i g_i log K(M_i) + b, M the cosines of contextualised pieces.

    A piece is a e + (1 - a) t: e its word vector, t what a transformer makes of e and its place,
    a learned. The transformer is narrower than the vectors, between two linear maps.
    """

    def __init__(self, dim: int, options: TkOptions) -> None:
        super().__init__()
        self.narrow = nn.Linear(dim, options.width)
        layer = nn.TransformerEncoderLayer(
            options.width,
            options.heads,
            options.hidden,
            options.dropout,
            batch_first=True,
            norm_first=True,
        )
        self.context = nn.TransformerEncoder(layer, options.layers, enable_nested_tensor=False)
        self.widen = nn.Linear(options.width, dim)
        nn.init.zeros_(self.widen.weight)  # what is near at the start are the words themselves
        nn.init.zeros_(self.widen.bias)
        self.share = nn.Parameter(torch.zeros(1))
        self.gate = QueryGate(learned=True)
        self.kernels = RbfKernels(options.kernels)
        self.out = nn.Linear(options.kernels, 1)

    def forward(self, pairs: Pairs) -> Tensor:
        """[pairs] float32."""
        asked, passages = pairs.repeated, pairs.passages
        matched = cosines(
            self.contextualised(pairs.queries)[pairs.asked],
            self.contextualised(passages),
            asked.mask,
            passages.mask,
        )
        sums = self.kernels(matched, passages.mask)
        score: Tensor = self.out(log_sums(sums, self.gate(asked)))
        return score.squeeze(1)

    def contextualised(self, side: Side) -> Tensor:
        """[n, T, dim]."""
        return self.mixed(side.vectors, side.mask)

    def mixed(self, vectors: Tensor, mask: Tensor, first: int = 0) -> Tensor:
        """[n, T, dim] from vectors [n, T, dim] and mask [n, T], the first piece in place
        ``first``."""
        narrow = self.narrow(vectors)
        places = _places(first, mask.shape[1], narrow)
        context = self.context(narrow + places, src_key_padding_mask=~mask)
        share = torch.sigmoid(self.share)
        mixed: Tensor = share * vectors + (1 - share) * self.widen(context)
        return mixed


def _places(first: int, length: int, like: Tensor) -> Tensor:
    """[length, width] sines and cosines of each place (Vaswani et al. 2017)."""
    width = like.shape[2]
    steps = torch.arange(0, width, 2, device=like.device) * (-math.log(10_000) / width)
    angles = torch.arange(first, first + length, device=like.device)[:, None] * steps.exp()
    both = torch.stack([angles.sin(), angles.cos()], 2).flatten(1)
    return both[:, :width]

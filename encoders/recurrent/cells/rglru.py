"""RG-LRU: the recurrent block of Hawk and Griffin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ....kernels.bi_gated_scan import bi_gated_scan
from ....kernels.depthwise_conv import depthwise_conv
from ..mixer import Mixer
from .heads import head_width

if TYPE_CHECKING:
    from ....kernels.packing import Packed

_TAPS = 4


class RGLRU(Mixer):
    """The recurrent block of De et al. (2024), arXiv 2402.19427, with the gates of RecurrentGemma.

    Two branches: GELU(W_y x), and a linear one through a convolution over a word and the three
    before it, then the RG-LRU r = s(W_r x), i = s(W_i x), log a = -8 r softplus(L),
    h = a h + sqrt(1 - a^2) i x; W_r and W_i are block-diagonal. Their product is projected.
    Each of two directions has half of the width and its own convolution, which for the backward
    one covers a word and the three after it.

    exp(-softplus(L)) starts uniform in area on the ring 0.9 to 0.999, as in the authors' code (the
    paper says so of its eighth power); W_r and W_i have variance 1 / block width.
    """

    def __init__(
        self, width: int, *, bidirectional: bool = True, layer: int = 0, layers: int = 1
    ) -> None:
        super().__init__()
        del layer, layers
        self.directions = 2 if bidirectional else 1
        channels = width // self.directions
        block = head_width(channels)
        self.branch = nn.Linear(width, width)
        self.into = nn.Linear(width, width)
        # tap 3 meets the word itself, tap 0 the third before it in the direction's walk
        self.taps = nn.Parameter(torch.empty(self.directions, _TAPS, channels).uniform_(-0.5, 0.5))
        self.tap_bias = nn.Parameter(torch.zeros(width))
        blocks = (self.directions, 2, channels // block)
        self.gates = nn.Parameter(torch.randn(*blocks, block, block) / block**0.5)
        self.gate_bias = nn.Parameter(torch.zeros(self.directions, 2, channels))
        square = torch.rand(self.directions, channels) * (0.999**2 - 0.9**2) + 0.9**2
        self.log_decay = nn.Parameter(torch.log(torch.expm1(-0.5 * torch.log(square))))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        directions, _, channels = self.taps.shape
        words = self._convolved(self.into(x), packed).view(len(x), directions, channels)
        blocks = words.view(len(x), directions, *self.gates.shape[2:4])
        gates = torch.einsum("tdhi,dghij->tdghj", blocks, self.gates).flatten(3) + self.gate_bias
        u = torch.cat([gates, words[:, :, None]], dim=2)
        h = bi_gated_scan(u, "rglru", packed, params=self.log_decay)
        out: Tensor = self.out(h * nn.functional.gelu(self.branch(x), approximate="tanh"))
        return out

    def _convolved(self, x: Tensor, packed: Packed) -> Tensor:
        if self.directions == 1:
            return depthwise_conv(x, self.taps[0], self.tap_bias, packed, causal=True)
        # one filter of seven taps about the word holds both: three before it, three after
        none = self.taps.new_zeros(_TAPS - 1, self.taps.shape[2])
        forward = torch.cat([self.taps[0], none])
        backward = torch.cat([none, self.taps[1].flip(0)])
        return depthwise_conv(x, torch.cat([forward, backward], dim=1), self.tap_bias, packed)

"""Mamba: states whose decay, input and output the token chooses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ....kernels.selective_scan import selective_scan
from ..mixer import Mixer
from .short_convolution import ShortConvolution

if TYPE_CHECKING:
    from ....kernels.packing import Packed

STATES = 16


class Mamba(Mixer):
    """The block of Gu and Dao (2023), arXiv 2312.00752, one scan for each direction.

    x, z = W x;   x = SiLU(conv(x));   low, B, C = W_x x;   dt = softplus(W_dt low + b);
    h_n = exp(dt A_n) h_n + dt B_n x;   y = sum_n C_n h_n + D x;   out = W_o (y * SiLU(z)),
    with 16 states a channel and dt of rank width / 16. The inner width is twice the width, as in
    the paper; two directions share it, so that both ways cost what one way does.
    """

    def __init__(
        self, width: int, *, bidirectional: bool = True, layer: int = 0, layers: int = 1
    ) -> None:
        super().__init__()
        del layer, layers
        ways = (False, True) if bidirectional else (False,)
        inner = 2 * width // len(ways)
        self.branches = nn.ModuleList(_Branch(width, inner, reverse=way) for way in ways)
        self.out = nn.Linear(2 * width, width, bias=False)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        mixed = torch.cat([branch(x, packed) for branch in self.branches], dim=-1)
        out: Tensor = self.out(mixed)
        return out


class _Branch(nn.Module):
    """All of the block but its out-projection, in one direction: [tokens, width] to inner."""

    def __init__(self, width: int, inner: int, *, reverse: bool) -> None:
        super().__init__()
        self.reverse = reverse
        self.rank = math.ceil(width / 16)
        self.into = nn.Linear(width, 2 * inner, bias=False)
        self.convolution = ShortConvolution(inner, bias=True, reverse=reverse)
        self.choose = nn.Linear(inner, self.rank + 2 * STATES, bias=False)
        self.step = nn.Linear(self.rank, inner)
        nn.init.uniform_(self.step.weight, -(self.rank**-0.5), self.rank**-0.5)
        # softplus of the bias is log-uniform in [0.001, 0.1]: memories of ten to a thousand tokens
        dt = torch.exp(torch.empty(inner).uniform_(math.log(1e-3), math.log(1e-1)))
        self.step.bias.data = dt + torch.log(-torch.expm1(-dt))
        self.log_rate = nn.Parameter(torch.arange(1.0, STATES + 1).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        u, z = self.into(x).chunk(2, dim=-1)
        u = self.convolution(u, packed)
        low, B, C = self.choose(u).split([self.rank, STATES, STATES], dim=-1)
        dt = nn.functional.softplus(self.step(low))
        A = -self.log_rate.exp()
        y = selective_scan(u, dt, A, B, C, self.D, packed, reverse=self.reverse)
        return y * nn.functional.silu(z)

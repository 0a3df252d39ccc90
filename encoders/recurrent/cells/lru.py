"""LRU: a linear recurrence whose poles are learned points inside the unit circle."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ....kernels.complex_scan import complex_scan
from ..mixer import Mixer

if TYPE_CHECKING:
    from ....kernels.packing import Packed


class LRU(Mixer):
    """The linear recurrent unit of Orvieto et al. (2023), arXiv 2303.06349.

    h_t = l h_{t-1} + e^g (B x_t),   y = Re(C h) + D x,   l = exp(-exp(nu) + i exp(theta)),
    with as many complex states a direction as the width has channels. B and C are complex. The two
    directions have their own l, g, B and C; C takes both states to the width at once, which is
    what a projection of both outputs would do.

    The paper's start: |l| uniform in area on the ring from 0.4 to 0.99 (memories of one to a
    hundred words), any angle, e^g = sqrt(1 - |l|^2) so that the state has the input's variance.
    """

    def __init__(
        self, width: int, *, bidirectional: bool = True, layer: int = 0, layers: int = 1
    ) -> None:
        super().__init__()
        del layer, layers
        self.directions = 2 if bidirectional else 1
        poles = (self.directions, width)
        squared = torch.rand(poles) * (0.99**2 - 0.4**2) + 0.4**2
        self.nu = nn.Parameter(torch.log(-0.5 * torch.log(squared)))
        # 1 - rand lies in (0, 1]: an angle of 0 would have an infinite logarithm
        self.theta = nn.Parameter(torch.log(2 * math.pi * (1 - torch.rand(poles))))
        self.log_gain = nn.Parameter(0.5 * torch.log(1 - squared))
        # rows: for each direction all real parts, then all imaginary parts
        states = 2 * self.directions * width
        self.B = nn.Parameter(torch.randn(states, width) / math.sqrt(2 * width))
        # columns as the rows of B; Re((c + id)(u + iv)) = cu - dv: the second half holds -d
        self.C = nn.Parameter(torch.randn(width, states) / math.sqrt(self.directions * width))
        self.D = nn.Parameter(torch.randn(width))

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        decay, angle = -self.nu.exp(), self.theta.exp()
        gain = self.log_gain.exp().repeat_interleave(2, 0).reshape(-1, 1)
        parts = nn.functional.linear(x, gain * self.B).chunk(2 * self.directions, dim=-1)
        states: list[Tensor] = []
        for i in range(self.directions):
            b_re, b_im = parts[2 * i], parts[2 * i + 1]
            states += complex_scan(decay[i], angle[i], b_re, b_im, packed, reverse=i == 1)
        return nn.functional.linear(torch.cat(states, dim=-1), self.C) + self.D * x

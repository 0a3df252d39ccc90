"""S4D: a fixed bank of decaying waves per channel, learned, the same at every token."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ....kernels.diagonal_ssm import diagonal_ssm
from ..mixer import Mixer

if TYPE_CHECKING:
    from ....kernels.packing import Packed

STATES = 32  # complex, one of each conjugate pair


class S4D(Mixer):
    """The diagonal state space of Gu et al. (2022), arXiv 2206.11893, one for each direction.

    y = GELU(SSM(x)), a state space a channel, discretised by zero-order hold; then a linear map
    to twice the width and a gated linear unit mix the channels, of both directions together.
    It starts as S4D-Lin: A_n = -1/2 + i pi n, dt log-uniform in [0.001, 0.1], C and D normal.
    """

    def __init__(
        self, width: int, *, bidirectional: bool = True, layer: int = 0, layers: int = 1
    ) -> None:
        super().__init__()
        del layer, layers
        self.directions = 2 if bidirectional else 1
        bank = (self.directions, width, STATES)
        dt = torch.empty(bank[:2]).uniform_(math.log(1e-3), math.log(1e-1))
        self.log_dt = nn.Parameter(dt)
        self.log_decay = nn.Parameter(torch.full(bank, 0.5).log())
        self.frequency = nn.Parameter(math.pi * torch.arange(float(STATES)).expand(bank).clone())
        self.C = nn.Parameter(torch.randn(2, *bank) * 0.5**0.5)  # real parts, imaginary parts
        self.D = nn.Parameter(torch.randn(bank[:2]))
        self.out = nn.Linear(self.directions * width, 2 * width)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        outputs = [
            diagonal_ssm(
                x,
                self.log_dt[i],
                -self.log_decay[i].exp(),
                self.frequency[i],
                self.C[0, i],
                self.C[1, i],
                self.D[i],
                packed,
                reverse=i == 1,
            )
            for i in range(self.directions)
        ]
        mixed = self.out(nn.functional.gelu(torch.cat(outputs, dim=-1)))
        return nn.functional.glu(mixed, dim=-1)

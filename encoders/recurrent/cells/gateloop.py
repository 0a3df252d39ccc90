"""GateLoop: what is kept, and how far it turns, depends on the word."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ....kernels.complex_scan import complex_scan
from ..mixer import Mixer

if TYPE_CHECKING:
    from ....kernels.packing import Packed


class GateLoop(Mixer):
    """Data-controlled complex linear recurrence of Katsch (2023), arXiv 2311.01927.

    a_t = sigmoid(alpha_t) e^{i beta_t},   h_t = a_t h_{t-1} + k_t v_t,   y_t = Re(q_t h_t),
    q, k, v, alpha and beta linear in x. Heads are one channel wide, as its author uses them, so
    that k gates what enters, a what stays and q what leaves; q, k and v are real. Angles start
    spread over [0, pi] by channel. The directions have their own weights; a projection to the
    width follows.
    """

    def __init__(
        self, width: int, *, bidirectional: bool = True, layer: int = 0, layers: int = 1
    ) -> None:
        super().__init__()
        del layer, layers
        directions = 2 if bidirectional else 1
        ins = [nn.Linear(width, 5 * width) for _ in range(directions)]
        for projection in ins:
            projection.bias.data[4 * width :] = torch.linspace(0, math.pi, width)
        self.ins = nn.ModuleList(ins)
        self.out = nn.Linear(directions * width, width, bias=False)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        outputs = []
        for i, projection in enumerate(self.ins):
            q, k, v, alpha, beta = projection(x).chunk(5, dim=-1)
            enters = k * v
            kept, _ = complex_scan(
                nn.functional.logsigmoid(alpha),
                beta,
                enters,
                torch.zeros_like(enters),
                packed,
                reverse=i == 1,
            )
            outputs.append(q * kept)
        out: Tensor = self.out(torch.cat(outputs, dim=-1))
        return out

"""mLSTM: an LSTM whose memory is a matrix and whose input gate is an exponential."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ....kernels.matrix_state import matrix_state, stabilised
from .matrix_layer import MatrixBranch, MatrixLayer

if TYPE_CHECKING:
    from ....kernels.matrix_state import Direction
    from ....kernels.packing import Packed

CAP = 15.0


class _Branch(MatrixBranch):
    def __init__(self, width: int, direction: Direction, *, layer: int, layers: int) -> None:
        super().__init__(width, direction, layer=layer, layers=layers)
        self.key = max(1, self.head // 2)
        keys = self.heads * self.key
        self.sizes = [keys, keys, width, width]
        self.into = nn.Linear(width, sum(self.sizes), bias=False)
        self.gates = nn.Linear(width, 2 * self.heads)
        self.norm = nn.GroupNorm(self.heads, width, eps=1e-6)
        nn.init.zeros_(self.gates.weight)
        nn.init.normal_(self.gates.bias[: self.heads], std=0.1)
        self.gates.bias.data[self.heads :] = torch.linspace(3, 6, self.heads)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        q, k, v, gate = self.into(x).split(self.sizes, dim=-1)
        q, k = (y.view(len(x), self.heads, self.key) for y in (q * self.key**-0.5, k))
        v = v.view(len(x), self.heads, self.head)
        # the gates set weights over many powers of ten: float32 at least
        wide = torch.promote_types(x.dtype, torch.float32)
        enter, keep = (CAP * torch.tanh(self.gates(x).to(wide) / CAP)).chunk(2, dim=-1)
        log_decay, weight, scale = stabilised(
            nn.functional.logsigmoid(keep), enter, packed, reverse=self.direction == "backward"
        )
        # the last column of the memory is n, the sum of the keys
        v = torch.cat([v, torch.ones_like(v[..., :1])], dim=-1)
        k = k * weight[..., None].to(k.dtype)
        o = matrix_state(q, k, v, packed, log_decay=log_decay, direction=self.direction)
        size = torch.maximum(o[..., -1:].abs(), scale[..., None].to(o.dtype)) + 1e-6
        normed: Tensor = self.norm((o[..., :-1] / size).flatten(1))
        return torch.sigmoid(gate) * normed


class MLSTM(MatrixLayer):
    """The matrix xLSTM cell, Beck et al. (2024), arXiv 2405.04517, laid out as in xLSTM 7B.

    C = s(f) C + e^i k v^T, n = s(f) n + e^i k, h = C^T q / max(|n.q|, 1), q scaled by DK^-1/2;
    out = W_o [s(W_g x) * norm(h)], the norm by head. i and f are one a head, each softly capped
    at 15 (2503.13427), and their powers are kept in range by the running maximum. Keys are half
    as wide as values. Biases start as in the first paper's code: f from 3 to 6 over the heads, i
    near 0; the gates' weights at 0.
    """

    branch = _Branch

"""Gated linear attention: each channel of the keys fades as the word says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from ....kernels.matrix_state import matrix_state
from .matrix_layer import MatrixBranch, MatrixLayer

if TYPE_CHECKING:
    from ....kernels.matrix_state import Direction
    from ....kernels.packing import Packed

RANK = 16
TEMPERATURE = 16


class _Branch(MatrixBranch):
    def __init__(self, width: int, direction: Direction, *, layer: int, layers: int) -> None:
        super().__init__(width, direction, layer=layer, layers=layers)
        self.key = max(1, self.head // 2)
        keys = self.heads * self.key
        self.sizes = [keys, keys, width, width]
        self.into = nn.Linear(width, sum(self.sizes), bias=False)
        self.decay = nn.Sequential(nn.Linear(width, RANK, bias=False), nn.Linear(RANK, keys))
        self.norm = nn.RMSNorm(self.head, eps=1e-5)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        q, k, v, gate = self.into(x).split(self.sizes, dim=-1)
        log_decay = nn.functional.logsigmoid(self.decay(x)) / TEMPERATURE
        q, k, log_decay = (y.view(len(x), self.heads, self.key) for y in (q, k, log_decay))
        v = v.view(len(x), self.heads, self.head)
        o = matrix_state(
            q * self.key**-0.5, k, v, packed, log_decay=log_decay, direction=self.direction
        )
        normed: Tensor = self.norm(o)
        return normed.flatten(1) * nn.functional.silu(gate)


class GLA(MatrixLayer):
    """Gated linear attention of Yang et al. (2023), arXiv 2312.06635.

    S = diag(a) S + k v^T, o = S^T q DK^-1/2, a = sigmoid(W_2 W_1 x + b)^(1/16), rank 16;
    out = W_o [RMSNorm(o) * SiLU(W_g x)], the norm by head. Keys are half as wide as values.
    """

    branch = _Branch

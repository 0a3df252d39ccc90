"""Linear attention: softmax's exponential replaced by a product of features, so a sum suffices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ....kernels.matrix_state import matrix_state
from .matrix_layer import MatrixBranch, MatrixLayer

if TYPE_CHECKING:
    from ....kernels.matrix_state import Direction
    from ....kernels.packing import Packed


class _Branch(MatrixBranch):
    def __init__(self, width: int, direction: Direction, *, layer: int, layers: int) -> None:
        super().__init__(width, direction, layer=layer, layers=layers)
        self.into = nn.Linear(width, 3 * width, bias=False)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        q, k, v = self.into(x).view(len(x), 3, self.heads, self.head).unbind(1)
        q, k = nn.functional.elu(q) + 1, nn.functional.elu(k) + 1
        # the last column of the memory sums the keys themselves: the normaliser
        v = torch.cat([v, torch.ones_like(v[..., :1])], dim=-1)
        o = matrix_state(q, k, v, packed, direction=self.direction)
        return (o[..., :-1] / (o[..., -1:] + 1e-6)).flatten(1)


class LinearAttention(MatrixLayer):
    """Attention with features phi = elu + 1, Katharopoulos et al. (2020), arXiv 2006.16236.

    o_t = sum_s phi(q_t).phi(k_s) v_s / sum_s phi(q_t).phi(k_s), over s <= t in one branch and
    s >= t in the other: over all s at once it could not tell the order of the words. Nothing
    fades. No biases.
    """

    branch = _Branch

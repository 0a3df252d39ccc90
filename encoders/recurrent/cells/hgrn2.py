"""HGRN2: HGRN whose state is a matrix, at no cost in weights, as the key is what is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from ....kernels.matrix_state import matrix_state
from .matrix_layer import MatrixBranch, MatrixLayer

if TYPE_CHECKING:
    from ....kernels.matrix_state import Direction
    from ....kernels.packing import Packed


class _Branch(MatrixBranch):
    def __init__(self, width: int, direction: Direction, *, layer: int, layers: int) -> None:
        super().__init__(width, direction, layer=layer, layers=layers)
        self.layer = layer
        self.into = nn.Linear(width, 3 * width, bias=False)
        # the first layer's bound is 0 whatever the shares: it has nothing to learn
        self.shares = nn.Parameter(torch.zeros(layers, width)) if layer else None
        self.norm = nn.RMSNorm(width, eps=1e-5)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        q, f, v = self.into(x).chunk(3, dim=-1)
        if self.shares is None:
            log_decay, k = logsigmoid(f), torch.sigmoid(-f)
        else:
            first, below, above = self.shares.log_softmax(0).tensor_split([1, self.layer + 1])
            bound, rest = below.logsumexp(0), torch.cat([first, above]).logsumexp(0)
            log_decay = torch.logaddexp(bound, rest + logsigmoid(f))
            # under autocast the shares stay float32
            k = (rest.exp() * torch.sigmoid(-f)).to(v.dtype)
        q, k, v, log_decay = (
            y.view(len(x), self.heads, self.head) for y in (nn.functional.silu(q), k, v, log_decay)
        )
        o = matrix_state(q, k, v, packed, log_decay=log_decay, direction=self.direction)
        normed: Tensor = self.norm(o.flatten(1))
        return normed


class HGRN2(MatrixLayer):
    """HGRN with state expansion, Qin et al. (2024), arXiv 2404.07904.

    S = diag(f) S + (1 - f) v^T, o = S^T SiLU(W_q x), out = W_o RMSNorm(o),
    f = y + (1 - y) sigmoid(W_f x), v = W_i x. No biases. The state is expanded by the width of a
    head, 32 at most; theirs by 128.

    The bound y of layer l is the share of the layers 1 to l in a softmax over all, as in HGRN:
    0 in the first layer and l / layers elsewhere at the start. The authors' softmax is one for the
    model; here each layer and direction learns its own.
    """

    branch = _Branch

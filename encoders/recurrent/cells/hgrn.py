"""HGRN: forget gates that cannot fall below a bound, higher in deeper layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ....kernels.bi_gated_scan import bi_gated_scan
from ..mixer import Mixer

if TYPE_CHECKING:
    from ....kernels.packing import Packed


class HGRN(Mixer):
    """The hierarchically gated recurrent network of Qin et al. (2023), arXiv 2311.04823.

    f = y + (1 - y) s(W_f x), h = f h + (1 - f) SiLU(W_i x), out = W_o [RMSNorm(h) * SiLU(W_g x)],
    real, as in flash-linear-attention; no biases. Each of two directions has a state of half the
    width; norm and output gate see both.

    The bound y of layer l is the share of the layers 1 to l in a softmax over all, so 0 in the
    first layer and l / layers elsewhere at the start. The authors' softmax is one for the model;
    here each layer learns its own.
    """

    def __init__(
        self, width: int, *, bidirectional: bool = True, layer: int = 0, layers: int = 1
    ) -> None:
        super().__init__()
        directions = 2 if bidirectional else 1
        self.layer = layer
        self.shape = (directions, 2, width // directions)
        self.from_tokens = nn.Linear(width, 2 * width, bias=False)
        self.gate = nn.Linear(width, width, bias=False)
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.out = nn.Linear(width, width, bias=False)
        # the first layer's bound is 0 whatever the shares: it has nothing to learn
        shares = torch.zeros(layers, directions, width // directions) if layer else None
        self.shares = None if shares is None else nn.Parameter(shares)

    def bound(self) -> Tensor:
        """y [directions, channels]: the least that a forget gate lets through."""
        if self.shares is None:
            return self.out.weight.new_zeros(self.shape[0], self.shape[2])
        return self.shares.softmax(0)[1 : self.layer + 1].sum(0)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        u = self.from_tokens(x).view(len(x), *self.shape)
        h = bi_gated_scan(u, "hgrn", packed, params=self.bound())
        out: Tensor = self.out(self.norm(h) * nn.functional.silu(self.gate(x)))
        return out

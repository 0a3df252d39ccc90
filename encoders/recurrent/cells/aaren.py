"""Aaren: attention with a query that does not change, which makes it a recurrence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ....kernels.softmax_scan import softmax_scan
from ..mixer import Mixer
from .heads import head_width

if TYPE_CHECKING:
    from ....kernels.packing import Packed


class Aaren(Mixer):
    """Attention as a recurrent network of Feng et al. (2024), arXiv 2405.13956.

    At token t each head returns the softmax average of W_v x over the tokens up to t (from t on
    in the other direction), scores q . W_k x with q learned, from N(0, 1 / head width); then W_o.
    Heads are 32 channels wide, or the most up to 32 that divide the width.
    """

    def __init__(
        self, width: int, *, bidirectional: bool = True, layer: int = 0, layers: int = 1
    ) -> None:
        super().__init__()
        del layer, layers
        ways = (False, True) if bidirectional else (False,)
        self.branches = nn.ModuleList(_Branch(width, reverse=way) for way in ways)
        self.out = nn.Linear(len(ways) * width, width)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        out: Tensor = self.out(torch.cat([branch(x, packed) for branch in self.branches], dim=-1))
        return out


class _Branch(nn.Module):
    def __init__(self, width: int, *, reverse: bool) -> None:
        super().__init__()
        self.reverse = reverse
        channels = head_width(width)
        self.query = nn.Parameter(torch.randn(width // channels, channels) * channels**-0.5)
        self.key = nn.Linear(width, width, bias=False)  # a bias adds the same to every score
        self.value = nn.Linear(width, width)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        heads, channels = self.query.shape
        # q meets W_k once instead of W_k every token: q . (W_k x) = (q W_k) . x
        asked = torch.bmm(self.query[:, None], self.key.weight.view(heads, channels, -1))[:, 0]
        values = self.value(x).view(len(x), heads, channels)
        averages = softmax_scan(x @ asked.T, values, packed, reverse=self.reverse)
        return averages.flatten(1)

"""The few taps that Mamba and DeltaNet look back over before they remember."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ....kernels.depthwise_conv import depthwise_conv

if TYPE_CHECKING:
    from ....kernels.packing import Packed

TAPS = 4


class ShortConvolution(nn.Module):
    """SiLU of a depthwise filter over a token and the three before it, or after it if ``reverse``.

    ``weight`` [4, channels], its last row for the token itself; torch's start for a convolution.
    """

    def __init__(self, channels: int, *, bias: bool, reverse: bool) -> None:
        super().__init__()
        self.reverse = reverse
        spread = TAPS**-0.5
        self.weight = nn.Parameter(torch.empty(TAPS, channels).uniform_(-spread, spread))
        start = torch.empty(channels).uniform_(-spread, spread)
        self.bias = nn.Parameter(start) if bias else None

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        if not self.reverse:
            return depthwise_conv(x, self.weight, self.bias, packed, causal=True, activation="silu")
        # turned round and centred with as many zeros: a filter that looks ahead only
        ahead = torch.cat([torch.zeros_like(self.weight[1:]), self.weight.flip(0)])
        return depthwise_conv(x, ahead, self.bias, packed, activation="silu")

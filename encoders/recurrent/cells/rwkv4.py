"""RWKV-4: a softmax average whose memory fades, each channel at its own pace."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ....kernels.depthwise_conv import depthwise_conv
from ....kernels.softmax_scan import softmax_scan
from ..mixer import Mixer

if TYPE_CHECKING:
    from ....kernels.packing import Packed


class RWKV4(Mixer):
    """The time mixing of Peng et al. (2023), arXiv 2305.13048, without its channel mixing.

    k, v, r are W (mu x_t + (1 - mu) x_{t-1}), each with its own W and mu;
    out = W_o (s(r) * wkv), wkv_t the average of v_i by e^(k_i - (t - 1 - i) w) for i < t and
    e^(k_t + u) for the token itself, w = e^decay. Decays, bonus u and mu start as the authors'
    code has them, by channel and depth; matrices start as any, theirs at 0.
    """

    def __init__(
        self, width: int, *, bidirectional: bool = True, layer: int = 0, layers: int = 1
    ) -> None:
        super().__init__()
        ways = (False, True) if bidirectional else (False,)
        self.branches = nn.ModuleList(
            _Branch(width, layer / max(1, layers - 1), layer / layers, reverse=way) for way in ways
        )
        self.out = nn.Linear(len(ways) * width, width, bias=False)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        out: Tensor = self.out(torch.cat([branch(x, packed) for branch in self.branches], dim=-1))
        return out


class _Branch(nn.Module):
    """One direction up to W_o; depth is 0 to 1 over the layers, share is layer / layers."""

    def __init__(self, width: int, depth: float, share: float, *, reverse: bool) -> None:
        super().__init__()
        self.reverse = reverse
        channel = torch.arange(width)
        spread = (channel / (width - 1)) ** (0.7 + 1.3 * depth)
        self.decay = nn.Parameter(8 * spread - 5)
        self.bonus = nn.Parameter(math.log(0.3) + 0.5 * ((channel + 1) % 3 - 1))
        part = channel / width
        self.mix_key = nn.Parameter(part ** (1 - share))
        self.mix_value = nn.Parameter(part ** (1 - share) + 0.3 * depth)
        self.mix_gate = nn.Parameter(part ** (0.5 * (1 - share)))
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        k = self.key(self._mix(x, self.mix_key, packed))
        v = self.value(self._mix(x, self.mix_value, packed))
        r = self.gate(self._mix(x, self.mix_gate, packed))
        wkv = softmax_scan(
            k, v[..., None], packed, decay=self.decay.exp(), bonus=self.bonus, reverse=self.reverse
        )
        return torch.sigmoid(r) * wkv[..., 0]

    def _mix(self, x: Tensor, own: Tensor, packed: Packed) -> Tensor:
        """The token shift: each token with the one before it on this direction's way."""
        if self.reverse:
            return depthwise_conv(
                x, torch.stack([torch.zeros_like(own), own, 1 - own]), None, packed
            )
        return depthwise_conv(x, torch.stack([1 - own, own]), None, packed, causal=True)

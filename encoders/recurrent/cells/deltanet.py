"""DeltaNet: a memory of pairs that forgets what a key held before it stores the new value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ....kernels.delta_rule import delta_rule
from ..mixer import Mixer
from .heads import head_width
from .short_convolution import ShortConvolution

if TYPE_CHECKING:
    from ....kernels.packing import Packed


class DeltaNet(Mixer):
    """The delta rule as Yang et al. (2024) train it, arXiv 2406.06484, once for each direction.

    q, k, v = SiLU(conv(W x)), q and k of unit length;   beta = sigmoid(W_b x), one a head;
    S = S + beta k (v - S^T k)^T;   o = S^T q;   out = W_o RMSNorm(o), the norm by head.
    Heads are 32 wide, or the widest divisor of the width below that. The directions have their
    own weights; the projection takes both outputs to the width.
    """

    def __init__(
        self, width: int, *, bidirectional: bool = True, layer: int = 0, layers: int = 1
    ) -> None:
        super().__init__()
        del layer, layers
        ways = (False, True) if bidirectional else (False,)
        self.branches = nn.ModuleList(self.branch(width, reverse=way) for way in ways)
        self.out = nn.Linear(len(ways) * width, width, bias=False)

    def branch(self, width: int, *, reverse: bool) -> DeltaBranch:
        """One direction; what a variant with other steps overrides."""
        return DeltaBranch(width, reverse=reverse)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        mixed = torch.cat([branch(x, packed) for branch in self.branches], dim=-1)
        out: Tensor = self.out(mixed)
        return out


class DeltaBranch(nn.Module):
    """All but the out-projection, in one direction: [tokens, width] to [tokens, width].

    A token writes ``steps`` pairs one after the other, each by at most ``most`` (the bound of
    beta: 1 forgets a key's value, 2 turns it round); ``gated``, what is held first decays by
    exp(-exp(log_rate) softplus(W_g x + b)), one number a head, which starts as Mamba-2 does.
    """

    def __init__(
        self,
        width: int,
        *,
        reverse: bool,
        steps: int = 1,
        most: float = 1.0,
        gated: bool = False,
    ) -> None:
        super().__init__()
        self.reverse, self.steps, self.most = reverse, steps, most
        self.head = head_width(width)
        self.heads = heads = width // self.head
        # q, then the keys of all steps, then their values
        channels = (1 + 2 * steps) * width
        self.into = nn.Linear(width, channels, bias=False)
        self.convolution = ShortConvolution(channels, bias=False, reverse=reverse)
        self.beta = nn.Linear(width, steps * heads, bias=False)
        self.norm = nn.RMSNorm(self.head, eps=1e-5)
        self.gate: nn.Linear | None = None
        if gated:
            self.gate = nn.Linear(width, heads)
            dt = torch.exp(torch.empty(heads).uniform_(math.log(1e-3), math.log(1e-1)))
            self.gate.bias.data = dt + torch.log(-torch.expm1(-dt))
            self.log_rate = nn.Parameter(torch.empty(heads).uniform_(1, 16).log())

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        tokens, steps = len(x), self.steps
        projected = self.convolution(self.into(x), packed)
        split = projected.view(tokens, 1 + 2 * steps, self.heads, self.head)
        q, k, v = torch.split(split, [1, steps, steps], dim=1)
        beta = self.most * torch.sigmoid(self.beta(x)).view(tokens, steps, self.heads)
        o = delta_rule(
            _unit(q[:, 0]),
            _unit(k),
            v,
            beta,
            packed,
            log_decay=self._log_decay(x),
            steps=steps,
            reverse=self.reverse,
        )
        normed: Tensor = self.norm(o)
        return normed.flatten(1)

    def _log_decay(self, x: Tensor) -> Tensor | None:
        if self.gate is None:
            return None
        return -self.log_rate.exp() * nn.functional.softplus(self.gate(x))


def _unit(x: Tensor) -> Tensor:
    """Unit length; the small number bounds the gradient where SiLU leaves next to nothing."""
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)

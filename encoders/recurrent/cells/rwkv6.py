"""RWKV-6: a matrix for a memory, and a word before that helps to choose what it forgets."""

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
        depth, share = layer / max(1, layers - 1), layer / layers
        channel = torch.arange(width)
        line, part = channel / max(1, width - 1), (channel / width) ** (1 - share)
        self.decay = nn.Parameter(5 * line ** (0.7 + 1.3 * depth) - 6)
        bonus = depth * (1 - line) + 0.1 * ((channel + 1) % 3 - 1)
        self.bonus = nn.Parameter(bonus.view(self.heads, self.head))
        self.blend = nn.Parameter(1 - part)
        values, gates = part + 0.3 * depth, part**0.5
        # w, k, v, r, g: what each of the five sees of the token before
        self.blends = nn.Parameter(1 - torch.stack([part, part, values, gates, gates]))
        rank = min(32, width // 2)
        self.blend_in = nn.Parameter(torch.zeros(width, 5 * rank))
        self.blend_out = nn.Parameter(torch.empty(5, rank, width).uniform_(-0.01, 0.01))
        self.decay_in = nn.Parameter(torch.zeros(width, min(64, width)))
        self.decay_out = nn.Parameter(torch.empty(min(64, width), width).uniform_(-0.01, 0.01))
        self.key, self.value, self.read, self.gate = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )
        self.norm = nn.GroupNorm(self.heads, width, eps=64e-5)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        xw, xk, xv, xr, xg = self._blended(x, packed)
        # exp(-exp(5)) is 0: above, only the gradient would overflow
        rate = (self.decay + torch.tanh(xw @ self.decay_in) @ self.decay_out).clamp(max=5.0)
        r, k, v, log_decay = (
            y.view(len(x), self.heads, self.head)
            for y in (self.read(xr), self.key(xk), self.value(xv), -rate.exp())
        )
        o = matrix_state(
            r, k, v, packed, log_decay=log_decay, direction=self.direction, bonus=self.bonus
        )
        normed: Tensor = self.norm(o.flatten(1))
        return normed * nn.functional.silu(self.gate(xg))

    def _blended(self, x: Tensor, packed: Packed) -> Tensor:
        """[5, tokens, width]: x and the token before it on this direction's way, blended."""
        to_before = _before(x, packed, reverse=self.direction == "backward") - x
        low = torch.tanh((x + to_before * self.blend) @ self.blend_in)
        low = low.view(len(x), *self.blend_out.shape[:2]).transpose(0, 1)
        return x + to_before * (self.blends[:, None] + low @ self.blend_out)


def _before(x: Tensor, packed: Packed, *, reverse: bool) -> Tensor:
    """Each token's predecessor in its passage (successor, if ``reverse``); zeros for none."""
    first = (packed.positions == 0)[:, None]
    if reverse:
        return x.roll(-1, 0).masked_fill(first.roll(-1, 0), 0.0)
    return x.roll(1, 0).masked_fill(first, 0.0)


class RWKV6(MatrixLayer):
    """The time mixing of RWKV-6 (Finch), Peng et al. (2024), arXiv 2404.05892.

    k, v, r, g = W_j x_j, x_j = x + (x_before - x) * (mu_j + tanh(x_mu A_j) B_j);
    decay = exp(-exp(w_0 + tanh(x_w A) B)) by channel; o = (S_before + diag(u) k v^T)^T r,
    S = diag(decay) S_before + k v^T; out = W_o [GroupNorm(o) * SiLU(g)], a group a head.
    Without channel mixing. The ranks are 32 and 64, less in narrow layers. Decays, bonus u and
    blends start as the authors' code has them, by channel and depth; matrices start as any.
    """

    branch = _Branch

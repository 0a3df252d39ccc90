"""RetNet: attention without softmax, each head fading at a pace of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ....kernels.matrix_state import matrix_state
from ..mixer import Mixer
from .heads import head_width

if TYPE_CHECKING:
    from ....kernels.matrix_state import Direction
    from ....kernels.packing import Packed


class RetNet(Mixer):
    """Multi-scale retention of Sun et al. (2023), arXiv 2307.08621.

    o_t = sum_s gamma^|t - s| (q_t.k_s) v_s, q and k turned by their position in the passage as
    the authors' code turns them, k scaled by DK^-1/2; gamma = 1 - 2^(-5 - h) in head h;
    out = W_o [RMSNorm(o) * SiLU(W_g x)], the norm by head and without weights.
    s runs to t, or over the whole passage with one set of weights for both directions, as the
    decay does not depend on them (LION, 2502.16249). Values are as wide as keys; theirs are twice
    as wide. No biases.
    """

    def __init__(
        self, width: int, *, bidirectional: bool = True, layer: int = 0, layers: int = 1
    ) -> None:
        super().__init__()
        del layer, layers
        self.direction: Direction = "both" if bidirectional else "forward"
        self.head = head_width(width, even=True)
        self.heads = width // self.head
        self.into = nn.Linear(width, 4 * width, bias=False)
        self.norm = nn.RMSNorm(self.head, eps=1e-6, elementwise_affine=False)
        self.out = nn.Linear(width, width, bias=False)

    def log_decay(self, device: torch.device | str = "cpu") -> Tensor:
        """[heads] float32."""
        heads = torch.arange(self.heads, dtype=torch.float32, device=device)
        return torch.log1p(-(2.0 ** (-5.0 - heads)))

    def angles(self, device: torch.device) -> Tensor:
        """[head / 2] float32, no buffer: rounded with a bfloat16 model, turns would be off by half
        a radian after a few hundred tokens."""
        return 10000.0 ** -torch.linspace(0, 1, self.head // 2, dtype=torch.float32, device=device)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        q, k, v, gate = self.into(x).view(len(x), 4, self.heads, self.head).unbind(1)
        turn = packed.positions[:, None, None] * self.angles(x.device)
        q, k = _turned(q, turn), _turned(k, turn) * self.head**-0.5
        o = matrix_state(
            q, k, v, packed, log_decay=self.log_decay(x.device), direction=self.direction
        )
        out: Tensor = self.out((self.norm(o) * nn.functional.silu(gate)).flatten(1))
        return out


def _turned(x: Tensor, turn: Tensor) -> Tensor:
    """Each pair of neighbouring channels turned by its angle; turn [tokens, 1, head / 2]."""
    even, odd = x[..., ::2], x[..., 1::2]
    cos, sin = turn.cos().to(x.dtype), turn.sin().to(x.dtype)
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1).flatten(-2)

"""LAMA: several looks at what a BiGRU read, from one low-rank form instead of one matrix each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ....kernels.softmax_scan import attention_pool
from ..cells.dense_layer import DenseLayer
from .body import Body

if TYPE_CHECKING:
    from ....kernels.packing import Packed


class LAMA(Body):
    """Low-rank multi-head attention over a BiGRU, Mehta et al. (2019), arXiv 1912.00835.

    Head m scores token t as p_m . (U c * V h_t), one bilinear form between a global context c and
    the states factorised for all heads together, and takes the softmax over the passage; the
    heads' averages of the states stand side by side. U and c are learnt, and only their product
    is ever seen: it is ``context`` [rank]. One head is ordinary attention pooling.
    ``hidden`` is half the width when not given, ``rank`` a quarter; out_width is 2 hidden heads.
    """

    def __init__(
        self,
        width: int,
        *,
        hidden: int | None = None,
        heads: int = 4,
        rank: int | None = None,
    ) -> None:
        super().__init__()
        hidden, rank = hidden or width // 2, rank or width // 4
        self.reading = DenseLayer("gru", width, hidden)
        self.context = nn.Parameter(torch.randn(rank))
        self.from_states = nn.Linear(2 * hidden, rank, bias=False)
        self.to_heads = nn.Linear(rank, heads, bias=False)
        self.out_width = 2 * hidden * heads

    def scores(self, states: Tensor) -> Tensor:
        """[tokens, heads] from states [tokens, 2 hidden]."""
        out: Tensor = self.to_heads(self.context * self.from_states(states))
        return out

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        states, _ = self.reading(x, packed)
        scores = self.scores(states)
        every = states.unsqueeze(1).expand(-1, scores.shape[1], -1)
        return attention_pool(scores, every, packed).flatten(1)

"""Attention pooling: what each token counts for is learned, head by head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ...core.errors import BadArguments
from ...kernels.segment_pool import segment_pool
from ...kernels.softmax_scan import attention_pool

if TYPE_CHECKING:
    from ...kernels.packing import Packed


class AttentionPooling(nn.Module):
    """Each of ``heads`` averages its own width / heads channels with its own softmax over tokens.

    Without rank a score is the product of the token with a learned query (one head: attention
    pooling as in arXiv 2405.13956). With rank, scores also depend on the passage's mean c:
    s_t = P^T (U c * V h_t) with U, V to ``rank`` channels, the low-rank multi-head attention over
    a recurrent encoder of LAMA (arXiv 1912.00835; its context vector is free, ours is the mean).
    All scores start at 0, so that an untrained model pools by the mean.
    """

    def __init__(self, width: int, heads: int = 4, rank: int | None = None) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise BadArguments(f"{width} channels cannot be shared among {heads} heads evenly")
        self.heads = heads
        self.query = nn.Linear(rank or width, heads, bias=False)
        nn.init.zeros_(self.query.weight)
        self.context = nn.Linear(width, rank, bias=False) if rank else None
        self.token = nn.Linear(width, rank, bias=False) if rank else None

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        """x [tokens, width] to [N, width], float32 (float64 for float64 x); no token: zeros."""
        values = x.reshape(len(x), self.heads, -1)
        return attention_pool(self._scores(x, packed), values, packed).flatten(1)

    def _scores(self, x: Tensor, packed: Packed) -> Tensor:
        """[tokens, heads]."""
        if self.context is not None and self.token is not None:
            mean = segment_pool(x, packed, "mean").to(x.dtype)
            asked = torch.index_select(self.context(mean), 0, packed.segment_ids)
            x = asked * self.token(x)
        scores: Tensor = self.query(x)
        return scores

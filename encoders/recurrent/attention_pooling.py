"""Attention pooling: what each token counts for is learned, head by head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from ...core.errors import BadArguments
from ...kernels.softmax_scan import attention_pool

if TYPE_CHECKING:
    from ...kernels.packing import Packed


class AttentionPooling(nn.Module):
    """Each of ``heads`` averages its own width / heads channels with its own softmax over tokens.

    A score is the product of the token with the head's query, which is learned (one head:
    attention pooling as in arXiv 2405.13956). All scores start at 0, so that an untrained model
    pools by the mean.
    """

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise BadArguments(f"{width} channels cannot be shared among {heads} heads evenly")
        self.heads = heads
        self.query = nn.Linear(width, heads, bias=False)
        nn.init.zeros_(self.query.weight)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        """x [tokens, width] to [N, width], float32 (float64 for float64 x); no token: zeros."""
        values = x.reshape(len(x), self.heads, -1)
        return attention_pool(self.query(x), values, packed).flatten(1)

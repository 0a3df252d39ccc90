"""The weak decoder of a bottleneck: a noisy text and its vector to the pieces that stood there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ..recurrent.cells.mingru import MinGRU

if TYPE_CHECKING:
    from ...kernels.packing import Packed


class BottleneckDecoder(nn.Module):
    """One bidirectional minGRU layer of ``width`` channels, then a query for a tied output table.

    Recurrent, because a layer of it costs a fraction of attention's on a CPU, and weak, because
    what the decoder cannot work out from its own text it must find in the vector. Where a
    transformer's tokens attend to the vector in the place of [CLS], a recurrent layer would have
    forgotten a first token soon: here the vector is added to every input and to every query.

    Queries are 0 at the start, when every text is as likely as its pieces are frequent.
    """

    def __init__(self, rank: int, dim: int, width: int) -> None:
        super().__init__()
        self.from_tokens = nn.Linear(rank, width)
        self.from_vector = nn.Linear(dim, width, bias=False)
        self.cell = MinGRU(width)
        self.norm = nn.RMSNorm(width)
        self.query = nn.Linear(width, rank)
        self.content = nn.Linear(dim, rank, bias=False)
        self._rank, self._scale = rank, math.sqrt(dim)
        for part in (self.query.weight, self.query.bias, self.content.weight):
            nn.init.zeros_(part)

    def forward(self, embedded: Tensor, vectors: Tensor, packed: Packed, rows: Tensor) -> Tensor:
        """embedded [tokens, rank] of the replaced texts, vectors [texts, dim] of unit length, to
        the queries of the tokens ``rows``, [rows, rank]."""
        vectors = vectors * self._scale  # components of about 1
        embedded = nn.functional.rms_norm(embedded, (self._rank,))
        text = packed.segment_ids
        states = self.cell(self.from_tokens(embedded) + self.from_vector(vectors)[text], packed)
        query: Tensor = self.query(self.norm(states[rows])) + self.content(vectors)[text[rows]]
        return query

"""How much each piece of a query counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from .pairs import Side


class QueryGate(nn.Module):
    """g = w^p with a learned p, w the piece's weight: 1 for every piece at p = 0, where it starts.

    The encoder's weights know rare words from common ones; one number says how far to trust
    them. Not learned, every piece counts 1.
    """

    def __init__(self, *, learned: bool) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.zeros(1)) if learned else None

    def forward(self, queries: Side) -> Tensor:
        """[n, Q], 0 for padding."""
        if self.power is None:
            return queries.mask.float()
        return queries.weights.clamp(min=1e-3).pow(self.power) * queries.mask

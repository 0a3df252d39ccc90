"""A learned change of word vectors that begins as none."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WordMap(nn.Module):
    """x + x A, A starting at 0: what is near stays near until the training says otherwise."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.change = nn.Parameter(torch.zeros(dim, dim))

    def forward(self, vectors: Tensor) -> Tensor:
        """[..., dim] to [..., dim]."""
        return vectors + vectors @ self.change

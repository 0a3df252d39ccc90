"""The hypernetwork: token vectors of a query to the weights of a network over passage vectors.

Killingback, Zeng, Zamani: "Hypencoder: Hypernetworks for Information Retrieval" (SIGIR 2025, arXiv
2502.05364), made small, and with the plain score beside it.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from .spec import HypencoderOptions

_SCALE = 10.0  # of the plain score at the start: cosines are too close to each other for a softmax


class WeightHead(nn.Module):
    """One matrix [rows, columns] a query, and its bias [rows].

    Row r is FF(LN(ReLU(attention of a learned vector of r over the tokens))) plus a matrix that
    all queries share; at the start nearly that alone.
    """

    def __init__(self, dim: int, rows: int, columns: int, attention: int, *, silent: bool) -> None:
        """``silent``: the shared matrix begins at zero, and so does what is computed with it."""
        super().__init__()
        self.asks = nn.Parameter(torch.randn(rows, attention))
        self.keys = nn.Linear(dim, attention)
        self.values = nn.Linear(dim, attention)
        self.norm = nn.LayerNorm(attention)
        self.makes = nn.Linear(attention, columns + 1)
        nn.init.normal_(self.makes.weight, std=1e-3)
        nn.init.zeros_(self.makes.bias)
        drawn = torch.randn(rows, columns) * math.sqrt(2 / columns)
        self.shared = nn.Parameter(torch.zeros_like(drawn) if silent else drawn)

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """tokens [n, Q, dim], mask [n, Q] bool to [n, rows, columns] and [n, rows].

        A query without a token gets the shared matrix and what zeros make of the rest.
        """
        fit = self.asks @ self.keys(tokens).transpose(1, 2) / math.sqrt(self.asks.shape[1])
        fit = fit.masked_fill(~mask[:, None, :], -1e9)
        share = torch.softmax(fit, 2) * mask[:, None, :]
        made = self.makes(self.norm(torch.relu(share @ self.values(tokens))))
        return self.shared + made[..., :-1], made[..., -1]


class Hypencoder(nn.Module):
    """score = network of the query (passage vector) + scale * query vector . passage vector."""

    def __init__(self, dim: int, options: HypencoderOptions) -> None:
        super().__init__()
        sizes = [dim, *[options.width] * options.layers]
        heads = [
            WeightHead(dim, after, before, options.attention, silent=False)
            for before, after in pairwise(sizes)
        ]
        last = WeightHead(dim, 1, sizes[-1], options.attention, silent=options.dense)
        self.heads = nn.ModuleList([*heads, last])
        self.scale = nn.Parameter(torch.tensor(_SCALE)) if options.dense else None

    def forward(
        self, queries: Tensor, tokens: Tensor, mask: Tensor, passages: Tensor, asked: Tensor
    ) -> Tensor:
        """[passages] float32.

        queries [n, dim], the queries' own vectors; tokens [n, Q, dim] and mask [n, Q]; passages
        [m, dim]; asked [m] int64, the query that each passage is to answer.
        """
        x = passages[:, :, None]
        for place, head in enumerate(self.heads):
            weights, bias = head(tokens, mask)
            y = weights[asked] @ x + bias[asked][:, :, None]
            if place == len(self.heads) - 1:
                x = y
                break
            y = torch.relu(y).transpose(1, 2)
            y = nn.functional.layer_norm(y, y.shape[2:]).transpose(1, 2)
            # as released: layers of equal width add to what they read, the last hidden one does not
            x = x + y if x.shape == y.shape and place < len(self.heads) - 2 else y
        score: Tensor = x[:, 0, 0]
        if self.scale is not None:
            score = score + self.scale * (queries[asked] * passages).sum(1)
        return score

"""Conv-KNRM: kernels over the cosines of n-grams with n-grams.

Dai et al., "Convolutional Neural Networks for Soft-Matching N-Grams in Ad-hoc Search" (WSDM 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ...core.errors import BadArguments
from .pairs import cosines
from .query_gate import QueryGate
from .rbf import RbfKernels, log_sums

if TYPE_CHECKING:
    from .pairs import Pairs, Side


@dataclass(frozen=True, slots=True)
class ConvKnrmOptions:
    """``grams``: the longest n-gram; ``width``: channels of an n-gram of two pieces or more.
    Single pieces keep their word vectors. ``kernels``: see ``RbfKernels``."""

    grams: int = 3
    width: int = 128
    kernels: int = 11

    def __post_init__(self) -> None:
        if not 1 <= self.grams <= 10 or self.width < 1:
            raise BadArguments(
                f"grams {self.grams} and width {self.width}: expected 1 to 10 grams, and a width "
                f"of 1 or more"
            )


class ConvKnrm(nn.Module):
    """score = w . [phi(M_ab) for every a-gram of the query and b-gram of the passage] + b."""

    def __init__(self, dim: int, options: ConvKnrmOptions) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv1d(dim, options.width, size) for size in range(2, options.grams + 1)
        )
        self.project = nn.Linear(dim, options.width)
        self.kernels = RbfKernels(options.kernels)
        self.gate = QueryGate(learned=True)
        self.out = nn.Linear(options.kernels * (options.grams**2 + 1), 1)

    def forward(self, pairs: Pairs) -> Tensor:
        """[pairs] float32. Beside the n-grams' cosines stand those of the word vectors alone,
        which need no learning."""
        asked, passages = pairs.repeated, pairs.passages
        gate = self.gate(asked)
        queries = [each[pairs.asked] for each in self.grams(pairs.queries)]
        sides = [(asked.vectors, passages.vectors), *product(queries, self.grams(passages))]
        found = []
        for left, right in sides:
            matched = cosines(left, right, asked.mask, passages.mask)
            found.append(log_sums(self.kernels(matched, passages.mask), gate))
        score: Tensor = self.out(torch.cat(found, 1))
        return score.squeeze(1)

    def grams(self, side: Side) -> list[Tensor]:
        """[n, T, width] for each length: the n-gram that begins at each piece; beyond a text's
        end stands nothing, however it is padded."""
        found = [self.project(side.vectors)]
        for beyond, convolution in enumerate(self.convolutions, 1):
            padded = nn.functional.pad(side.vectors.transpose(1, 2), (0, beyond))
            found.append(convolution(padded).transpose(1, 2))
        return [each.relu() * side.mask[:, :, None] for each in found]

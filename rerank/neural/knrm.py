"""K-NRM: kernels over the cosines of query and passage words.

Xiong et al., "End-to-End Neural Ad-hoc Ranking with Kernel Pooling" (SIGIR 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from .pairs import cosines
from .query_gate import QueryGate
from .rbf import RbfKernels, log_sums
from .word_map import WordMap

if TYPE_CHECKING:
    from .pairs import Pairs


@dataclass(frozen=True, slots=True)
class KnrmOptions:
    """``kernels``: see ``RbfKernels``. ``mapped``: learn a linear map of the word vectors, which
    are frozen themselves. ``gated``: weight query pieces, as ``QueryGate`` does."""

    kernels: int = 11
    mapped: bool = False
    gated: bool = True


class Knrm(nn.Module):
    """score = w . sum_i g_i log K(M_i) + b, M the cosines of query piece i with the passage."""

    def __init__(self, dim: int, options: KnrmOptions) -> None:
        super().__init__()
        self.map = WordMap(dim) if options.mapped else nn.Identity()
        self.kernels = RbfKernels(options.kernels)
        self.gate = QueryGate(learned=options.gated)
        self.out = nn.Linear(options.kernels, 1)

    def forward(self, pairs: Pairs) -> Tensor:
        """[pairs] float32."""
        asked, passages = pairs.repeated, pairs.passages
        matched = cosines(
            self.map(pairs.queries.vectors)[pairs.asked],
            self.map(passages.vectors),
            asked.mask,
            passages.mask,
        )
        sums = self.kernels(matched, passages.mask)
        score: Tensor = self.out(log_sums(sums, self.gate(asked)))
        return score.squeeze(1)

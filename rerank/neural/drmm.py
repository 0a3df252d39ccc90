"""DRMM: a histogram of cosines for each query word, and a gate over the words.

Guo et al., "A Deep Relevance Matching Model for Ad-hoc Retrieval" (CIKM 2016), with the logarithm
of counts (LCH) and a gate by term weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ...core.errors import BadArguments
from .pairs import cosines

if TYPE_CHECKING:
    from .pairs import Pairs

_EXACT = 1 - 1e-3


@dataclass(frozen=True, slots=True)
class DrmmOptions:
    """``bins`` of the histogram, the last of them for exact matches; ``hidden``: width of the
    layer over a histogram."""

    bins: int = 30
    hidden: int = 10

    def __post_init__(self) -> None:
        if not 2 <= self.bins <= 1000 or self.hidden < 1:
            raise BadArguments(
                f"bins {self.bins} and hidden {self.hidden}: expected 2 to 1000 bins, and a "
                f"hidden width of 1 or more"
            )


class Drmm(nn.Module):
    """score = sum_i g_i f(log(1 + histogram of query piece i)), g a softmax over the pieces."""

    def __init__(self, dim: int, options: DrmmOptions) -> None:
        super().__init__()
        del dim  # the vectors are frozen, and only their cosines are read
        self.bins = options.bins
        self.over = nn.Sequential(
            nn.Linear(options.bins, options.hidden), nn.Tanh(), nn.Linear(options.hidden, 1)
        )
        self.trust = nn.Parameter(torch.ones(1))

    def forward(self, pairs: Pairs) -> Tensor:
        """[pairs] float32."""
        asked, passages = pairs.repeated, pairs.passages
        matched = cosines(asked.vectors, passages.vectors, asked.mask, passages.mask)
        each = self.over(histograms(matched, passages.mask, self.bins).log1p()).squeeze(2)
        gate = (self.trust * asked.weights).masked_fill(~asked.mask, -torch.inf).softmax(1)
        score: Tensor = (gate * each).sum(1)
        return score


def histograms(matched: Tensor, passage_mask: Tensor, bins: int) -> Tensor:
    """[n, Q, bins] how many passage pieces have a cosine in each bin; a row sums to the passage's
    length. The last bin is that of exact matches, the others divide -1 to 1 evenly.

    matched [n, Q, T], passage_mask [n, T].
    """
    place = ((matched + 1) / 2 * (bins - 1)).long().clamp(0, bins - 2)
    place = torch.where(matched >= _EXACT, bins - 1, place)
    ones = passage_mask[:, None, :].expand_as(matched).float()
    return torch.zeros(*matched.shape[:2], bins, device=ones.device).scatter_add_(2, place, ones)

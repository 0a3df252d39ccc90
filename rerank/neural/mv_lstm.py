"""MV-LSTM: the strongest matches between the states of two bidirectional LSTMs.

Wan et al., "A Deep Architecture for Semantic Matching with Multiple Positional Sentence
Representations" (AAAI 2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ...core.errors import BadArguments
from .packed_lstm import PackedLstm
from .pairs import cosines
from .query_gate import QueryGate

if TYPE_CHECKING:
    from .pairs import Pairs


@dataclass(frozen=True, slots=True)
class MvLstmOptions:
    """``width``: of the LSTM's two directions together, even. ``strongest``: matches kept (k-max
    pooling); ``hidden``: width of the layer over them. ``dropout`` before that layer."""

    width: int = 128
    strongest: int = 20
    hidden: int = 32
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if self.width < 2 or self.width % 2 or self.strongest < 1 or self.hidden < 1:
            raise BadArguments(
                f"width {self.width}, strongest {self.strongest}, hidden {self.hidden}: expected "
                f"an even width and the others 1 or more"
            )


class MvLstm(nn.Module):
    """One LSTM reads both texts; the cosines of its states with each other are pooled.

    Each position's state is joined by the word vector itself, so that the interaction begins as
    a match of words before the LSTM has learned anything.
    """

    def __init__(self, dim: int, options: MvLstmOptions) -> None:
        super().__init__()
        self.strongest = options.strongest
        self.lstm = PackedLstm(dim, options.width)
        self.share = nn.Parameter(torch.zeros(1))
        self.gate = QueryGate(learned=True)
        self.over = nn.Sequential(
            nn.Linear(options.strongest, options.hidden),
            nn.ReLU(),
            nn.Dropout(options.dropout),
            nn.Linear(options.hidden, 1),
        )

    def forward(self, pairs: Pairs) -> Tensor:
        """[pairs] float32."""
        asked, passages = pairs.repeated, pairs.passages
        both = asked.mask, passages.mask
        states = cosines(self.lstm(pairs.queries)[pairs.asked], self.lstm(passages), *both)
        words = cosines(asked.vectors, passages.vectors, *both)
        share = torch.sigmoid(self.share)
        matched = (share * states + (1 - share) * words) * self.gate(asked)[:, :, None]
        score: Tensor = self.over(_strongest(matched, both, self.strongest))
        return score.squeeze(1)


def _strongest(matched: Tensor, both: tuple[Tensor, Tensor], number: int) -> Tensor:
    """[n, number] the largest entries of each matrix [n, Q, T], falling; 0 where it has fewer."""
    query, passage = both
    outside = ~(query[:, :, None] & passage[:, None, :])
    flat = matched.masked_fill(outside, -torch.inf).flatten(1)
    best = flat.topk(min(number, flat.shape[1]), dim=1).values
    best = best.masked_fill(best == -torch.inf, 0)
    return nn.functional.pad(best, (0, number - best.shape[1]))

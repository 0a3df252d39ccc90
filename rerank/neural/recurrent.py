"""A recurrent cross-encoder: one recurrence reads "query [SEP] passage [SEP] query".

The query stands on both sides of the passage because a recurrent state is small: it must know
what to look for before it reads, and what it looked for when it answers (Arora et al. 2024,
"Just read twice", arXiv 2407.05483). The recurrence is minGRU in two directions (Feng et al.
2024, arXiv 2410.01201).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ...core.errors import BadArguments
from ...kernels.bi_gated_scan import bi_gated_scan
from ...kernels.packing import pack_lengths
from ...kernels.segment_pool import segment_pool
from .pairs import cosines

if TYPE_CHECKING:
    from ...kernels.packing import Packed
    from .pairs import Pairs, Side

ORDERS = {"qdq": (0, 1, 0), "dq": (1, 0), "qd": (0, 1)}
_SIGNS = 4  # numbers that say how a piece stands to the other text


@dataclass(frozen=True, slots=True)
class RecurrentOptions:
    """``width``: channels of both directions, a multiple of 32; ``layers``. ``order``: what is
    read, q the query and d the passage, separated: "qdq", "dq" or "qd". ``matched``: tell the
    recurrence how well each piece is matched in the other text. ``dropout`` of the pooled state
    and of each layer's input."""

    width: int = 128
    layers: int = 2
    order: str = "qdq"
    matched: bool = True
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise BadArguments(f"order is {self.order!r}; known: {', '.join(ORDERS)}")
        if self.width < 32 or self.width % 32 or not 1 <= self.layers <= 64:
            raise BadArguments(
                f"width {self.width} and layers {self.layers}: expected a multiple of 32, and 1 "
                f"to 64 layers"
            )


class Recurrent(nn.Module):
    """Pieces in, one packed recurrence over the whole reading, its states pooled to a score."""

    def __init__(self, dim: int, options: RecurrentOptions) -> None:
        super().__init__()
        self.order, self.matched = ORDERS[options.order], options.matched
        self.words = nn.Linear(dim, options.width)
        self.signs = nn.Linear(_SIGNS, options.width, bias=False)
        # of a piece of the query before and after the passage, of the passage, a separator
        self.places = nn.Parameter(torch.randn(4, options.width) * 0.1)
        self.layers = nn.ModuleList(
            _Layer(options.width, options.dropout) for _ in range(options.layers)
        )
        self.drop = nn.Dropout(options.dropout)
        self.out = nn.Linear(2 * options.width, 1)

    def forward(self, pairs: Pairs) -> Tensor:
        """[pairs] float32."""
        states, packed = self._reading(pairs)
        for layer in self.layers:
            states = layer(states, packed)
        pooled = [segment_pool(states, packed, how) for how in ("mean", "max")]
        score: Tensor = self.out(self.drop(torch.cat(pooled, 1)))
        return score.squeeze(1)

    def _reading(self, pairs: Pairs) -> tuple[Tensor, Packed]:
        """What is read, end to end without padding [pieces, width], and its lengths."""
        asked, passages = pairs.repeated, pairs.passages
        sides = (
            (self.words(pairs.queries.vectors)[pairs.asked], asked),
            (self.words(passages.vectors), passages),
        )
        signs = self._signs(asked, passages)
        parts, masks = [], []
        separator = self.places[3].expand(len(pairs), 1, -1)
        for number, which in enumerate(self.order):
            words, side = sides[which]
            place = 1 if which else 2 * (number > 0)
            parts += [words + self.signs(signs[which]) + self.places[place], separator]
            masks += [side.mask, side.mask.new_ones(len(pairs), 1)]
        mask = torch.cat(masks[:-1], 1)
        lengths = np.sum([sides[which][1].lengths for which in self.order], 0)
        lengths += len(self.order) - 1
        return torch.cat(parts[:-1], 1)[mask], pack_lengths(lengths, mask.device)

    def _signs(self, asked: Side, passages: Side) -> tuple[Tensor, Tensor]:
        """For each piece [n, Q or T, _SIGNS]: its weight, its best cosine in the other text, the
        same times the weight, and whether the match is exact."""
        matched = cosines(asked.vectors, passages.vectors, asked.mask, passages.mask)
        both = asked.mask[:, :, None] & passages.mask[:, None, :]
        matched = matched.masked_fill(~both, -1)  # or padding would beat a negative cosine
        found = []
        share = float(self.matched)
        for side, closest in ((asked, matched.amax(2)), (passages, matched.amax(1))):
            best = closest * share
            exact = (best > 1 - 1e-3).float()
            found.append(torch.stack([side.weights, best, best * side.weights, exact], 2))
        return found[0], found[1]


class _Layer(nn.Module):
    """x + W minGRU(norm(x)), both directions."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width)
        self.gates = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        gates = self.gates(self.drop(self.norm(x)))
        states = bi_gated_scan(gates.view(len(x), 2, 2, -1), "mingru", packed)
        out: Tensor = x + self.out(states)
        return out

"""Which of tens of thousands of word pieces stands here: cross-entropy over a sample of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

_ROWS = 1024  # of the whole softmax that are in memory at a time


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What scores a word piece: ``query @ table[piece] + log_share[piece]``.

    table [pieces, rank]; log_share [pieces], the log of how frequent each piece is: without a
    query the scores are the unigram model, and a query says what its place adds. ``product``
    multiplies two matrices.
    """

    table: Tensor
    log_share: Tensor
    product: Callable[[Tensor, Tensor], Tensor] = torch.mm

    def sampled_cross_entropy(
        self, queries: Tensor, originals: Tensor, candidates: Tensor, log_inclusion: Tensor
    ) -> Tensor:
        """Mean over queries [n, rank] of the cross-entropy of originals [n] against candidates [c].

        Candidates are different pieces, each a candidate with probability exp(log_inclusion
        [pieces]). Every score is lowered by that (Jean et al. 2015, "On using very large target
        vocabulary"): the weights that minimise this are those that minimise the whole softmax.
        With every piece a candidate of probability 1 it is the whole softmax. 0 for no query.
        """
        if not len(queries):
            return queries.sum() * 0
        shift = self.log_share - log_inclusion
        own = (queries * self.table[originals]).sum(1) + shift[originals]
        others = self.product(queries, self.table[candidates].T) + shift[candidates]
        others = others.masked_fill(originals[:, None] == candidates, -torch.inf)
        everything = torch.logaddexp(own, others.logsumexp(1))
        return (everything - own).mean()

    def cross_entropy(self, queries: Tensor, originals: Tensor) -> float:
        """The same over the whole vocabulary, to watch and not to learn from; nan for no query."""
        total = 0.0
        with torch.no_grad():
            parts = torch.split(queries, _ROWS), torch.split(originals, _ROWS)
            for some, goal in zip(*parts, strict=True):
                scores = self.product(some, self.table.T) + self.log_share
                total += float(nn.functional.cross_entropy(scores, goal, reduction="sum"))
        return total / len(queries) if len(queries) else float("nan")

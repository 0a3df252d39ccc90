"""Scores of queries and passages by a neural ranker, in batches of bounded size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from .pairs import Pairs, side

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from ...core.protocols import Candidates
    from ...core.records import Float32Array, Int64Array, Passage
    from .spec import NeuralSpec
    from .words import Words

_PIECES = 2048  # of passages in a forward pass, padding included


class Scorer:
    """A model with what it reads by. A score depends on the pair alone, to 1e-5."""

    def __init__(
        self, model: nn.Module, words: Words, spec: NeuralSpec, device: str = "cpu"
    ) -> None:
        self.model, self.words, self.spec, self.device = model.to(device), words, spec, device

    def read_queries(self, texts: Sequence[str]) -> list[Int64Array]:
        return self.words.read(texts, self.spec.query_pieces)

    def read_passages(self, passages: Sequence[Passage]) -> list[Int64Array]:
        texts = [each.full_text if self.spec.title else each.text for each in passages]
        return self.words.read(texts, self.spec.passage_pieces)

    def pairs(
        self,
        queries: Sequence[Int64Array],
        passages: Sequence[Int64Array],
        asked: Int64Array,
    ) -> Pairs:
        """Passage i is to answer query ``asked[i]``; queries that nobody asks are left out."""
        rows, places = np.unique(asked, return_inverse=True)
        return Pairs(
            side(self.words, [queries[row] for row in rows], self.device),
            side(self.words, passages, self.device),
            torch.from_numpy(places.astype(np.int64)).to(self.device),
        )

    def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        """One array a query, a score a passage. Gradients are off; dropout is as the model has
        it."""
        queries = self.read_queries([each.ranking.query.text for each in batch])
        passages = self.read_passages([passage for each in batch for passage in each.passages])
        sizes = np.array([len(each.passages) for each in batch], np.int64)
        scores = self.scores_of(queries, passages, np.repeat(np.arange(len(batch)), sizes))
        return np.split(scores, np.cumsum(sizes)[:-1]) if len(batch) else []

    def scores_of(
        self,
        queries: Sequence[Int64Array],
        passages: Sequence[Int64Array],
        asked: Int64Array,
    ) -> Float32Array:
        """[passages] float32."""
        with torch.inference_mode():
            scores: Float32Array = self(queries, passages, asked).cpu().numpy()
        return scores

    def __call__(
        self,
        queries: Sequence[Int64Array],
        passages: Sequence[Int64Array],
        asked: Int64Array,
    ) -> Tensor:
        """[passages] float32; passages of like length share a forward pass, so that little of it
        is padding."""
        groups = list(_by_length(passages))
        if not groups:
            return torch.zeros(0)
        scores = [
            self.model(self.pairs(queries, [passages[row] for row in rows], asked[rows])).float()
            for rows in groups
        ]
        places = torch.from_numpy(np.argsort(np.concatenate(groups), kind="stable"))
        return torch.cat(scores)[places.to(scores[0].device)]


def _by_length(texts: Sequence[Int64Array]) -> Iterator[Int64Array]:
    """Rows of texts, longest first, as many at a time as fit when padded."""
    lengths = np.array([len(text) for text in texts], np.int64)
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        number = max(1, _PIECES // int(lengths[order[start]]))
        yield order[start : start + number]
        start += number

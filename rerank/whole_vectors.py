"""A second opinion by whole vectors: candidates by their inner product with the query.

What a larger encoder is worth where its vectors of the whole collection would cost too much: a
small one finds the candidates, this one looks at the best of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.protocols import Candidates, Encoder
    from ..core.records import Float32Array


class EncoderReranker:
    """Inner products of query and passage vectors, encoded when they are asked for.

    ``whole_encoder`` is any encoder; passages are read as an index of it would read them, title
    first. Passages that several queries of a batch share are encoded once.
    """

    pointwise = True

    def __init__(self, *, whole_encoder: Encoder, keep: int = 100, device: str = "cpu") -> None:
        del device  # the encoder is where it is
        self._encoder = whole_encoder
        self.keep = keep
        self.name = f"encoder ({whole_encoder.card.name})"

    @property
    def fingerprint(self) -> str:
        """The encoder's."""
        return self._encoder.card.fingerprint

    def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        """One array a query, from -1 to 1 where the encoder's vectors have unit length."""
        asked = [each for each in batch if len(each.passages)]
        if not asked:
            return [np.empty(0, np.float32) for _ in batch]
        texts = [passage.full_text for each in asked for passage in each.passages]
        place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        passages = self._encoder.encode(list(place), "passage").vectors
        queries = self._encoder.encode([each.ranking.query.text for each in asked], "query").vectors
        by_query = iter(queries)
        return [
            self._products(next(by_query), passages[[place[p.full_text] for p in each.passages]])
            if len(each.passages)
            else np.empty(0, np.float32)
            for each in batch
        ]

    @staticmethod
    def _products(query: Float32Array, passages: Float32Array) -> Float32Array:
        # one sum a row, so that equal passages score equal to the last bit whatever their number
        return np.asarray((passages * query).sum(axis=1), np.float32)

"""Late interaction: every token of the query finds its best match among a passage's tokens.

Khattab and Zaharia, "ColBERT" (arXiv 2004.12832), with the token vectors of any encoder that has
them, computed for the candidates when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.protocols import Candidates, TokenEncoder, TokenVectors
    from ..core.records import Float32Array


class MaxsimReranker:
    """Scores from -Q to Q for a query of Q tokens: the sum of its tokens' best cosines.

    A passage without a token scores -Q, below whatever can match; a query without a token scores
    all passages 0. Queries are taken one after the other, so memory holds the token vectors of
    one query's candidates. What the encoder cuts of a text is not seen.
    """

    pointwise = True

    def __init__(self, *, encoder: TokenEncoder, keep: int = 100, device: str = "cpu") -> None:
        self._encoder = encoder
        self._device = device
        self.keep = keep
        self.name = f"maxsim ({encoder.card.name})"

    @property
    def fingerprint(self) -> str:
        """The encoder's."""
        return self._encoder.card.fingerprint

    def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        """Sums of best cosines, one array a query."""
        asked = self._encoder.encode_tokens([each.ranking.query.text for each in batch], "query")
        queries = np.split(asked.vectors, np.cumsum(asked.lengths)[:-1]) if batch else []
        return [self._of_query(own, each) for own, each in zip(queries, batch, strict=True)]

    def _of_query(self, query: Float32Array, candidates: Candidates) -> Float32Array:
        if not len(candidates.passages):
            return np.empty(0, np.float32)
        # equal texts are encoded once: their scores are the same to the last bit
        texts = list(dict.fromkeys(passage.full_text for passage in candidates.passages))
        place = {text: number for number, text in enumerate(texts)}
        scores = self._matched(query, self._encoder.encode_tokens(texts, "passage"))
        return scores[[place[passage.full_text] for passage in candidates.passages]]

    def _matched(self, query: Float32Array, passages: TokenVectors) -> Float32Array:
        """[passages] float32."""
        import torch

        from ..kernels.maxsim import maxsim
        from ..kernels.packing import pack_lengths

        with torch.inference_mode():
            found = maxsim(
                torch.from_numpy(query).to(self._device),
                torch.from_numpy(passages.vectors).to(self._device),
                pack_lengths(passages.lengths, self._device),
            )
            scores: Float32Array = found.cpu().numpy()
        return np.where(passages.lengths > 0, scores, np.float32(-len(query)))

"""Late interaction: every token of the query finds its best match among a passage's tokens.

Khattab and Zaharia, "ColBERT" (arXiv 2004.12832), with the token vectors of any encoder that has
them: computed for the candidates when they are asked for, or taken from an index that keeps them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..core.fingerprints import of_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.protocols import Candidates, TokenEncoder, TokenVectors
    from ..core.records import Float32Array, Int64Array

AT_ONCE = 64
"""Passages whose stored vectors are unfolded at a time."""


class Stored(Protocol):
    """Token vectors of an index's rows, from 0 to ``len`` - 1, by one encoder."""

    @property
    def bits(self) -> int: ...

    def __len__(self) -> int: ...

    def take(self, rows: Int64Array) -> TokenVectors:
        """Those of these rows, in their order."""
        ...


class MaxsimReranker:
    """Scores from -Q to Q for a query of Q tokens: the sum of its tokens' best cosines.

    A passage without a token scores -Q, below whatever can match; a query without a token scores
    all passages 0. Queries are taken one after the other, so memory holds the token vectors of
    one query's candidates. What the encoder cuts of a text is not seen.

    ``over`` an index of the same encoder, vectors of its rows are taken from there, and scores are
    off by what the compression costs; rows that it does not hold are encoded all the same. So a
    score depends on the query and the passage alone, whoever stands beside it.
    """

    pointwise = True

    def __init__(self, *, encoder: TokenEncoder, keep: int = 100, device: str = "cpu") -> None:
        self._encoder = encoder
        self._device = device
        self._stored: Stored | None = None
        self.keep = keep
        self.name = f"maxsim ({encoder.card.name})"

    @property
    def reads(self) -> str:
        """The fingerprint of the encoder whose token vectors are compared."""
        return self._encoder.card.fingerprint

    @property
    def fingerprint(self) -> str:
        """The encoder's; over an index, of that and the bits that its vectors are kept in."""
        if self._stored is None:
            return self._encoder.card.fingerprint
        return of_value([self._encoder.card.fingerprint, self._stored.bits])

    def over(self, stored: Stored) -> MaxsimReranker:
        """The same, taking vectors of passages from an index of the same encoder."""
        made = MaxsimReranker(encoder=self._encoder, keep=self.keep, device=self._device)
        made._stored = stored
        made.name = f"maxsim ({self._encoder.card.name}, stored in {stored.bits} bits)"
        return made

    def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        """Sums of best cosines, one array a query."""
        asked = self._encoder.encode_tokens([each.ranking.query.text for each in batch], "query")
        queries = np.split(asked.vectors, np.cumsum(asked.lengths)[:-1]) if batch else []
        return [self._of_query(own, each) for own, each in zip(queries, batch, strict=True)]

    def _of_query(self, query: Float32Array, candidates: Candidates) -> Float32Array:
        rows = candidates.ranking.rows
        scores = np.empty(len(rows), np.float32)
        held = rows < (0 if self._stored is None else len(self._stored))
        if self._stored is not None:
            for places in _pieces(np.flatnonzero(held)):
                scores[places] = self._matched(query, self._stored.take(rows[places]))
        others = np.flatnonzero(~held)
        if len(others):
            texts = [candidates.passages[place].full_text for place in others.tolist()]
            scores[others] = self._encoded(query, texts)
        return scores

    def _encoded(self, query: Float32Array, texts: Sequence[str]) -> Float32Array:
        # equal texts are encoded once: their scores are the same to the last bit
        place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        scores = self._matched(query, self._encoder.encode_tokens(list(place), "passage"))
        return scores[[place[text] for text in texts]]

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


def _pieces(places: Int64Array) -> list[Int64Array]:
    return [places[start : start + AT_ONCE] for start in range(0, len(places), AT_ONCE)]

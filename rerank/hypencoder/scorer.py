"""Scores by the queries' networks, of vectors that an encoder made or an index keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from ...core.protocols import Encoded, TokenEncoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ...core.protocols import Candidates, Role
    from ...core.records import Float32Array, Int64Array, Passage
    from .network import Hypencoder
    from .spec import HypencoderSpec

_AT_ONCE = 2048  # passages in a forward pass


class BothEncoder(TokenEncoder, Protocol):
    """Vectors of whole texts and of their tokens, in one space."""

    def encode(self, texts: Sequence[str], role: Role) -> Encoded: ...


class HypencoderScorer:
    """A model with the encoder that it reads by. A score depends on the pair alone, to 1e-5.

    A query is read as [1 + tokens, dim]: its own vector, then its tokens'; a passage as [1, dim].
    """

    def __init__(
        self, model: Hypencoder, encoder: BothEncoder, spec: HypencoderSpec, device: str = "cpu"
    ) -> None:
        self.model: Hypencoder = model.to(device)
        self.encoder, self.spec, self.device = encoder, spec, device

    def read_queries(self, texts: Sequence[str]) -> list[Float32Array]:
        if not texts:
            return []
        own = self.encoder.encode(texts, "query").vectors
        tokens = self.encoder.encode_tokens(texts, "query")
        each = np.split(tokens.vectors, np.cumsum(tokens.lengths)[:-1])
        most = self.spec.query_pieces
        return [
            np.concatenate([vector[None], rows[:most]]).astype(np.float32)
            for vector, rows in zip(own, each, strict=True)
        ]

    def read_passages(self, passages: Sequence[Passage]) -> list[Float32Array]:
        """Equal texts are encoded once."""
        texts = list(dict.fromkeys(passage.full_text for passage in passages))
        place = {text: number for number, text in enumerate(texts)}
        vectors = self.encoder.encode(texts, "passage").vectors
        return [vectors[place[each.full_text]][None] for each in passages]

    def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        """One array a query, a score a passage."""
        passages = self.read_passages([passage for each in batch for passage in each.passages])
        return self.score_vectors(batch, passages)

    def score_vectors(
        self, batch: Sequence[Candidates], passages: Sequence[Float32Array]
    ) -> list[Float32Array]:
        """The same with the passages' vectors given, [1, dim] each, query by query."""
        queries = self.read_queries([each.ranking.query.text for each in batch])
        sizes = np.array([len(each.passages) for each in batch], np.int64)
        with torch.inference_mode():
            asked = np.repeat(np.arange(len(batch)), sizes)
            scores: Float32Array = self(queries, passages, asked).cpu().numpy()
        return np.split(scores, np.cumsum(sizes)[:-1]) if len(batch) else []

    def __call__(
        self,
        queries: Sequence[Float32Array],
        passages: Sequence[Float32Array],
        asked: Int64Array,
    ) -> Tensor:
        """[passages] float32: passage i for query ``asked[i]``."""
        if not len(passages):
            return torch.zeros(0)
        found = []
        for start in range(0, len(passages), _AT_ONCE):
            rows, places = np.unique(asked[start : start + _AT_ONCE], return_inverse=True)
            own, tokens, mask = _padded([queries[row] for row in rows])
            vectors = torch.from_numpy(np.concatenate(passages[start : start + _AT_ONCE]))
            parts = (own, tokens, mask, vectors, torch.from_numpy(places.astype(np.int64)))
            found.append(self.model(*(part.to(self.device) for part in parts)).float())
        return torch.cat(found)


def _padded(queries: Sequence[Float32Array]) -> tuple[Tensor, Tensor, Tensor]:
    """Own vectors [n, dim], tokens [n, Q, dim] with zeros behind a query's last, mask [n, Q]."""
    lengths = np.array([len(each) - 1 for each in queries])
    wide = int(lengths.max(initial=1))
    tokens = np.zeros((len(queries), wide, queries[0].shape[1]), np.float32)
    mask = np.arange(wide) < lengths[:, None]
    tokens[mask] = np.concatenate([each[1:] for each in queries])
    own = np.stack([each[0] for each in queries])
    return torch.from_numpy(own), torch.from_numpy(tokens), torch.from_numpy(mask)

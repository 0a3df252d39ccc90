"""Searches over passages in memory, and a teacher's scores: what mining is done with."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from ..core.optional import need
from ..core.records import Query
from ..index.dense import DenseIndex
from ..index.lexical import LexicalSettings, build_lexical, open_lexical

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..core.progress import Progress
    from ..core.protocols import Encoder
    from ..core.records import Float32Array, Int64Array
    from ..encoders.training.questions.synthetic_questions import Search
    from ..index.lexical import LexicalIndex

_ENCODED_AT_ONCE = 4096


@contextmanager
def bm25_over(texts: Sequence[str], progress: Progress) -> Iterator[Search]:
    """BM25 over the texts, in a temporary folder that is gone afterwards."""
    settings = LexicalSettings()
    with TemporaryDirectory(prefix="tamis-bm25-") as folder:
        with progress.stage("bm25", len(texts)) as advance:
            build_lexical(settings, texts, Path(folder) / "lexical", progress=advance)
        index = open_lexical(settings, Path(folder) / "lexical")
        try:
            yield bm25_in(index)
        finally:
            index.close()


def bm25_in(index: LexicalIndex) -> Search:
    """A finished BM25 index as a search. Rows without a term of the query are not found."""

    def search(queries: Sequence[str], depth: int) -> list[Int64Array]:
        asked = [Query(str(number), text) for number, text in enumerate(queries)]
        return [ranking.rows for ranking in index.retrieve(asked, depth)]

    return search


class PassageVectors:
    """An encoder and its vectors of the passages, for exact search and for a teacher's scores."""

    def __init__(self, encoder: Encoder, texts: Sequence[str], index: DenseIndex) -> None:
        """Row i of the index is the vector of texts[i]."""
        self._encoder = encoder
        self._index = index
        self._row = {text: row for row, text in enumerate(texts)}

    @classmethod
    def of(cls, encoder: Encoder, texts: Sequence[str], progress: Progress) -> PassageVectors:
        """Encode the texts, a few thousand at a time, into a flat FAISS index."""
        index = need("faiss", "mining by an encoder").IndexFlatIP(encoder.card.dim)
        with progress.stage(f"encode ({encoder.card.name})", len(texts)) as advance:
            for start in range(0, len(texts), _ENCODED_AT_ONCE):
                some = texts[start : start + _ENCODED_AT_ONCE]
                index.add(encoder.encode_passages(some))
                advance(len(some))
        return cls(encoder, texts, DenseIndex(index))

    def search(self, queries: Sequence[str], depth: int) -> list[Int64Array]:
        """The nearest rows by inner product."""
        found = self._index.search(self._encoder.encode_queries(queries), depth)
        return [rows for rows, _ in found]

    def score(self, queries: Sequence[str], texts: Sequence[str]) -> Float32Array:
        """The inner product of each query and its text, [n]; texts need not be passages."""
        asked = {text: place for place, text in enumerate(dict.fromkeys(queries))}
        vectors = self._encoder.encode_queries(list(asked))
        places = np.array([asked[query] for query in queries], np.int64)
        products: Float32Array = np.einsum("nd,nd->n", vectors[places], self._texts(texts))
        return products

    def _texts(self, texts: Sequence[str]) -> Float32Array:
        rows = np.array([self._row.get(text, -1) for text in texts], np.int64)
        vectors = np.empty((len(texts), self._encoder.card.dim), np.float32)
        vectors[rows >= 0] = self._index.reconstruct(rows[rows >= 0])
        others = np.flatnonzero(rows < 0).tolist()
        if others:
            number: dict[str, int] = {}
            places = [number.setdefault(texts[place], len(number)) for place in others]
            vectors[others] = self._encoder.encode_passages(list(number))[places]
        return vectors

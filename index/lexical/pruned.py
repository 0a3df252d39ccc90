"""BM25 over the passages that a cut would keep, without an index of each cut."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ...core.records import Ranking
from ...core.topk import top_k
from .settings import check_depth
from .tokens import pack, tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from ...core.records import Float32Array, Int64Array, Query
    from .settings import LexicalSettings


class PrunedBm25:
    """What a bm25s index of the kept passages alone would answer to these queries, to the bit.

    Everything that BM25 knows of a collection changes with a cut: how many passages there are, how
    long they are on average, how many of them hold a word. Here the words of all passages are
    counted once, and for each cut only the scores of the queries' words are computed, as bm25s
    computes all of them: product in float64, rounded to float32, added in the order of the query.
    """

    def __init__(
        self,
        settings: LexicalSettings,
        texts: Iterable[str],
        queries: Sequence[Query],
        *,
        progress: Callable[[int], None],
    ) -> None:
        """Read the texts once; what is held afterwards are the lengths and the queries' words."""
        self._settings = settings
        self._queries = queries
        words = tokenizer(settings.stopwords, settings.stemmer)
        packed, vocabulary = pack(words, texts, progress)
        self._lengths = np.diff(packed.ends, prepend=0)
        asking = tokenizer(settings.stopwords, settings.stemmer)
        asking.stem_to_sid = vocabulary
        texts_asked = (query.text for query in queries)
        self._asked: list[list[int]] = list(
            asking.streaming_tokenize(texts_asked, update_vocab=False, allow_empty=False)
        )
        rows = np.repeat(np.arange(len(packed)), self._lengths)
        self._postings = _postings(packed.ids, rows, {t for each in self._asked for t in each})

    def __len__(self) -> int:
        return len(self._lengths)

    def retrieve(self, kept: NDArray[np.bool_], k: int) -> list[Ranking]:
        """One ranking a query: the best k kept rows that score above 0.

        kept [n], True for each passage that stays, at least one; rows are those of all passages.
        Equal scores by row, as everywhere. BadArguments when k < 1.
        """
        check_depth(k)
        gains = self._gains(kept)
        rankings = []
        for query, tokens in zip(self._queries, self._asked, strict=True):
            scores = np.zeros(len(kept), np.float32)
            for token in tokens:
                rows, gain = gains[token]
                scores[rows] += gain  # a word's rows differ from each other
            rankings.append(Ranking(query, *top_k(scores, k)))
        return rankings

    def _gains(self, kept: NDArray[np.bool_]) -> dict[int, tuple[Int64Array, Float32Array]]:
        """Of each word that a query holds: the kept rows with it, and what it adds to each."""
        k1, b = self._settings.k1, self._settings.b
        passages = int(np.count_nonzero(kept))
        mean = self._lengths[kept].mean()
        found = {}
        for token, (rows, counts) in self._postings.items():
            here = kept[rows]
            rows_here, counts_here = rows[here], counts[here]
            with_it = len(rows_here)
            idf = np.float32(math.log(1 + (passages - with_it + 0.5) / (with_it + 0.5)))
            saturated = k1 * ((1 - b) + b * self._lengths[rows_here] / mean) + counts_here
            gain = np.float64(idf) * (counts_here / saturated)
            found[token] = (rows_here, gain.astype(np.float32))
        return found


def _postings(
    ids: NDArray[np.int32], rows: Int64Array, wanted: set[int]
) -> dict[int, tuple[Int64Array, Float32Array]]:
    """Token -> (its rows, rising; how often it stands in each)."""
    chosen = np.isin(ids, np.array(sorted(wanted), np.int32))
    ids, rows = ids[chosen], rows[chosen]
    found = {}
    for token in wanted:
        places, counts = np.unique(rows[ids == token], return_counts=True)
        found[token] = (places, counts.astype(np.float32))
    return found

"""A collection's vectors, made once, with what making them took."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from ...core.optional import need
from ...core.protocols import Encoded, Encoder
from ...index.building.shards import VectorShards
from ...index.dense import DenseIndex

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...core.progress import Progress
    from ...core.protocols import EncoderCard, Role
    from ...core.records import Float32Array, Int32Array, Int64Array, Query
    from .collection import Collection
    from .desk import Desk

SHARD_ROWS = 2048
"""What a killed run loses at most."""

_SAMPLE = 1024  # passages encoded again where the time of the first encoding was lost
_COUNTED = 4096  # passages whose tokens are counted in one call


@dataclass(frozen=True)
class Encoding:
    """Every passage's vector and what it cost.

    tokens [passages] int32: those that the encoder reads, its limit applied. ``seconds_per_token``
    was measured over ``timed_passages`` passages as they were encoded here.
    """

    card: EncoderCard
    shards: VectorShards
    tokens: Int32Array
    seconds_per_token: float
    timed_passages: int

    def blocks(self) -> Iterator[Float32Array]:
        return self.shards.blocks()

    def vectors(self, rows: Int64Array) -> Float32Array:
        """[rows, dim] of these passages, rising."""
        found = [
            self.shards.block(number)[rows[rows // SHARD_ROWS == number] % SHARD_ROWS]
            for number in np.unique(rows // SHARD_ROWS).tolist()
        ]
        return np.concatenate([np.empty((0, self.card.dim), np.float32), *found])

    def index(self) -> DenseIndex:
        """An exact index of all passages, in memory."""
        flat = need("faiss", "dense retrieval").IndexFlatIP(self.card.dim)
        for block in self.blocks():
            flat.add(block)
        return DenseIndex(flat)


def encoded(collection: Collection, encoder: Encoder, desk: Desk, progress: Progress) -> Encoding:
    """Encode what is missing under the desk's work folder; raises what the encoder does."""
    card = encoder.card
    timed = _Timed(encoder)
    shards = VectorShards(
        desk.folder("vectors", card.fingerprint), timed, len(collection), SHARD_ROWS
    )
    with progress.stage("encode", len(collection)) as advance:
        shards.complete(collection.texts, advance)
    key = [collection.corpus, card.fingerprint]

    def spent() -> dict[str, float]:
        if not timed.passages:
            timed.encode(collection.texts(0, _SAMPLE), "passage")
        return {
            "seconds_per_token": timed.seconds / max(timed.tokens, 1),
            "passages": timed.passages,
        }

    def counted() -> Int32Array:
        return np.concatenate(
            [
                _read(encoder, collection.texts(start, start + _COUNTED))
                for start in range(0, len(collection), _COUNTED)
            ]
        )

    told = desk.value("encode-seconds", key, spent)
    tokens = desk.array("tokens", key, counted)
    return Encoding(card, shards, tokens, told["seconds_per_token"], int(told["passages"]))


def _read(encoder: Encoder, texts: Sequence[str]) -> Int32Array:
    """How many tokens of each text the encoder reads."""
    return _cut(encoder.card, encoder.count_tokens(texts, "passage"))


def _cut(card: EncoderCard, tokens: Int32Array) -> Int32Array:
    return np.minimum(tokens, card.max_length) if card.max_length else tokens


class KnownQueries(Encoder):
    """An encoder that has read all the questions it will be asked.

    ``milliseconds`` is the median of encoding one question alone, over the first ``TIMED`` ones.
    """

    TIMED = 50

    def __init__(
        self, encoder: Encoder, queries: Sequence[Query], collection: Collection, desk: Desk
    ) -> None:
        self._encoder = encoder
        texts = [query.text for query in queries]
        self._known = dict(zip(texts, encoder.encode_queries(texts), strict=True))
        key = [collection.fingerprint, encoder.card.fingerprint]
        self.milliseconds = desk.value("query-milliseconds", key, lambda: self._timed(texts))

    @property
    def card(self) -> EncoderCard:
        return self._encoder.card

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        """The vectors of questions that are known; their tokens are not counted."""
        assert role == "query", "passages are encoded elsewhere"
        rows = [self._known[text] for text in texts]
        empty = np.empty((0, self.card.dim), np.float32)
        return Encoded(np.stack(rows) if rows else empty, np.zeros(len(rows), np.int32))

    def count_tokens(self, texts: Sequence[str], role: Role) -> Int32Array:
        return self._encoder.count_tokens(texts, role)

    def _timed(self, texts: Sequence[str]) -> float:
        taken = []
        for text in texts[: self.TIMED]:
            start = time.perf_counter()
            self._encoder.encode_queries([text])
            taken.append(time.perf_counter() - start)
        return 1e3 * median(taken)


class _Timed(Encoder):
    """An encoder that notes how long it takes, and for how many tokens."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.seconds = 0.0
        self.tokens = 0
        self.passages = 0

    @property
    def card(self) -> EncoderCard:
        return self._encoder.card

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        start = time.perf_counter()
        found = self._encoder.encode(texts, role)
        self.seconds += time.perf_counter() - start
        self.tokens += int(_cut(self.card, found.tokens).sum())
        self.passages += len(texts)
        return found

    def count_tokens(self, texts: Sequence[str], role: Role) -> Int32Array:
        return self._encoder.count_tokens(texts, role)

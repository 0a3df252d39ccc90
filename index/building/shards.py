"""Vectors on disk in shards, so that a killed build loses at most one of them.

A shard is a fixed slice of rows encoded into ``vectors/00012.npy``; ``00012.json``, written after
it, says from which texts by which encoder, and holds the hash of the vectors. A shard whose card
says what is wanted is kept, whatever else about the build has changed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.durable import replacing
from ...core.errors import BadData
from ...core.fingerprints import of_file, of_texts, of_value
from ...core.protocols import EncodesPacked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import TypeAlias

    from ...core.packed_texts import PackedTexts
    from ...core.protocols import Encoder
    from ...core.records import Float32Array, Int32Array, Int64Array

    Known: TypeAlias = Callable[[int, int], tuple[Int64Array, Float32Array]]
    """For rows start..end: places, counted from start, that need no encoding; their vectors."""

SHARD_ROWS = 8192
"""Small enough to lose (a minute of MiniLM on two cores), large enough to sort by length."""


@dataclass(frozen=True, slots=True)
class ShardCard:
    """What a finished shard is made of; ``truncated_tokens`` are those the encoder never saw."""

    made_from: str
    vectors: str
    rows: int
    truncated_passages: int
    truncated_tokens: int


class VectorShards:
    """All vectors of one build, in row order; only missing shards are encoded."""

    def __init__(
        self,
        folder: Path,
        encoder: Encoder,
        rows: int,
        shard_rows: int,
        tokens: Callable[[Int64Array], PackedTexts | None] | None = None,
    ) -> None:
        """``tokens`` gives passages of these rows as the encoder, which then ``EncodesPacked``,
        would tokenise them; None for those of which they are not at hand."""
        self._folder = folder
        self._encoder = encoder
        self._rows = rows
        self._shard_rows = shard_rows
        self._tokens = tokens
        self._cards: list[ShardCard] = []
        folder.mkdir(exist_ok=True)

    def __len__(self) -> int:
        """Vectors in all, when complete."""
        return self._rows

    @property
    def truncated(self) -> tuple[int, int]:
        """(passages longer than the encoder reads, tokens lost by that)."""
        passages = sum(card.truncated_passages for card in self._cards)
        return passages, sum(card.truncated_tokens for card in self._cards)

    def complete(
        self,
        texts: Callable[[int, int], Sequence[str]],
        advance: Callable[[int], None],
        known: Known | None = None,
    ) -> None:
        """Encode what is missing. ``texts(start, end)`` gives the passages of those rows.

        ``known`` vectors are by the same encoder and taken as they are.
        """
        self._cards = []
        for number, start in enumerate(range(0, self._rows, self._shard_rows)):
            slice_texts = texts(start, min(start + self._shard_rows, self._rows))
            made_from = of_value([self._encoder.card.fingerprint, of_texts(slice_texts)])
            card = self._finished(number, made_from)
            if card is None:
                held = None if known is None else known(start, start + len(slice_texts))
                card = self._encode(number, made_from, slice_texts, held)
            self._cards.append(card)
            advance(len(slice_texts))

    def blocks(self) -> Iterator[Float32Array]:
        """The vectors, a shard [rows, dim] at a time."""
        for number in range(len(self._cards)):
            yield self.block(number)

    def block(self, number: int) -> Float32Array:
        """The vectors of one shard [rows, dim], when complete."""
        vectors: Float32Array = np.load(self._vectors_of(number), allow_pickle=False)
        return vectors

    def _encode(
        self,
        number: int,
        made_from: str,
        texts: Sequence[str],
        held: tuple[Int64Array, Float32Array] | None,
    ) -> ShardCard:
        rows = np.arange(len(texts)) + number * self._shard_rows
        if held is None:
            vectors, tokens = self._vectors(texts, rows)
        else:
            vectors, tokens = self._completed(texts, rows, *held)
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(bad):
            row = number * self._shard_rows + int(bad[0])
            raise BadData(
                f"the encoder's vector for row {row} is not finite; its text: "
                f"{texts[bad[0]][:80]!r}"
            )
        with replacing(self._vectors_of(number), "wb") as out:
            np.save(out, vectors, allow_pickle=False)
        longest = self._encoder.card.max_length
        lost = np.maximum(tokens - longest, 0) if longest else np.zeros(1, np.int32)
        card = ShardCard(
            made_from,
            of_file(self._vectors_of(number)),
            len(texts),
            int(np.count_nonzero(lost)),
            int(lost.sum()),
        )
        with replacing(self._card_of(number)) as out:
            json.dump(asdict(card), out)
        return card

    def _vectors(self, texts: Sequence[str], rows: Int64Array) -> tuple[Float32Array, Int32Array]:
        packed = None if self._tokens is None else self._tokens(rows)
        if packed is not None and isinstance(self._encoder, EncodesPacked):
            encoded = self._encoder.encode_packed(packed)
        else:
            encoded = self._encoder.encode(texts, "passage")
        return encoded.vectors, encoded.tokens

    def _completed(
        self, texts: Sequence[str], rows: Int64Array, places: Int64Array, held: Float32Array
    ) -> tuple[Float32Array, Int32Array]:
        """The vectors held, and between them those that were not; tokens are counted for all."""
        vectors = np.empty((len(texts), self._encoder.card.dim), np.float32)
        tokens = np.zeros(len(texts), np.int32)
        vectors[places] = held
        if len(places) and self._encoder.card.max_length:
            whole = [texts[place] for place in places]
            tokens[places] = self._encoder.count_tokens(whole, "passage")
        missing = np.setdiff1d(np.arange(len(texts)), places)
        if len(missing):
            vectors[missing], tokens[missing] = self._vectors(
                [texts[n] for n in missing], rows[missing]
            )
        return vectors, tokens

    def _finished(self, number: int, made_from: str) -> ShardCard | None:
        """The card of a shard that is whole and made from the right texts, else None."""
        try:
            card = ShardCard(**json.loads(self._card_of(number).read_bytes()))
            whole = of_file(self._vectors_of(number)) == card.vectors
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        return card if whole and card.made_from == made_from else None

    def _vectors_of(self, number: int) -> Path:
        return self._folder / f"{number:05}.npy"

    def _card_of(self, number: int) -> Path:
        return self._folder / f"{number:05}.json"

"""Word pieces with a vector each: what every neural ranker reads of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from ...core.errors import BadData

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ...core.records import Int32Array, Int64Array

    Half = NDArray[np.float16]


class Packed(Protocol):
    """ids [tokens] int32 of texts end to end; bounds [n + 1] int64, where each begins."""

    @property
    def ids(self) -> Int32Array: ...

    @property
    def bounds(self) -> Int64Array: ...


class Pieces(Protocol):
    """A tokenizer without special tokens."""

    vocabulary: int

    def pack(self, texts: Sequence[str], prefix: str = "", max_length: int = 0) -> Packed: ...

    def to_json(self) -> str: ...


class Words:
    """A vocabulary of word pieces and the vector that an encoder gives each of them.

    A vector is kept as a direction, [vocabulary, dim] float16, and a weight: its length over the
    mean length of all, float32. An encoder that has learned which words matter says so in the
    lengths. A text without a word piece is read as the single piece ``blank``, which has the zero
    vector and weight 0, so that no text is empty.
    """

    def __init__(self, pieces: Pieces, directions: np.ndarray, weights: np.ndarray) -> None:
        """BadData when there is not one row for each piece, or a value that is not finite."""
        if directions.ndim != 2 or not len(directions) == len(weights) == pieces.vocabulary:
            raise BadData(
                f"vectors of shape {directions.shape} and {weights.shape} for a tokenizer of "
                f"{pieces.vocabulary} word pieces: they belong to another vocabulary"
            )
        if not (np.isfinite(directions).all() and np.isfinite(weights).all()):
            raise BadData("the vectors of the word pieces hold values that are not finite")
        self.pieces = pieces
        self.directions: Half = np.ascontiguousarray(directions, np.float16)
        self.weights = np.ascontiguousarray(weights, np.float32)
        none = np.zeros((1, self.dim), np.float16)
        self._table = torch.from_numpy(np.concatenate([self.directions, none]))
        self._weights = torch.from_numpy(np.append(self.weights, np.float32(0)))

    @classmethod
    def of(cls, pieces: Pieces, vectors: np.ndarray) -> Words:
        """From the vectors themselves, [vocabulary, dim]; a zero vector has weight 0."""
        lengths = np.linalg.norm(vectors.astype(np.float32), axis=1)
        safe = np.where(lengths > 0, lengths, np.float32(1))[:, None]
        return cls(pieces, vectors / safe, lengths / max(float(lengths.mean()), 1e-12))

    @property
    def dim(self) -> int:
        return int(self.directions.shape[1])

    @property
    def blank(self) -> int:
        return len(self.directions)

    def read(self, texts: Sequence[str], most: int) -> list[Int64Array]:
        """The first ``most`` pieces of each text, [pieces] int64, one at least."""
        packed = self.pieces.pack(texts, "", most)
        ids = packed.ids.astype(np.int64)
        each = np.split(ids, packed.bounds[1:-1]) if len(texts) else []
        return [own if len(own) else np.array([self.blank], np.int64) for own in each]

    def look_up(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Directions [..., dim] and weights [...], float32, of ids [...]."""
        return self._table[ids].float(), self._weights[ids]

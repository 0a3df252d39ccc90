"""A weightless encoder: words hashed into a vector. For tests, first runs and honest baselines."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import BadArguments
from ..core.fingerprints import of_value
from ..core.protocols import Encoded, Encoder, EncoderCard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.protocols import Role
    from ..core.records import Int32Array

_WORD = re.compile(r"\w+")
_PLACES = 4
_SHORT_WORD = 0.25
_MOST_WORDS_KEPT = 200_000  # places are remembered per word; a crawl has millions of words
_ALGORITHM = "words, lower case; blake2b to 4 signed places; words of 1-3 letters weigh 0.25"


class HashingEncoder(Encoder):
    """Feature hashing (Weinberger et al. 2009): each word adds +-1 at four hashed places.

    Words of one to three letters weigh a quarter, a stand-in for IDF that needs no statistics.
    A text without a word is the zero vector, which matches nothing. Nothing is ever truncated.
    Single-threaded and exact: the same text gives the same bytes, whatever stands beside it.
    """

    def __init__(self, *, dim: int = 256, device: str = "cpu") -> None:
        if dim < 2:
            raise BadArguments(f"the hashing encoder needs dim >= 2, not {dim}")
        if device != "cpu":
            raise BadArguments(f"the hashing encoder runs on the CPU only, not on {device!r}")
        fingerprint = of_value({"hashing": _ALGORITHM, "dim": dim})
        self._card = EncoderCard(
            name="hashing",
            fingerprint=fingerprint,
            space=fingerprint,
            dim=dim,
            similarity="cosine",
            pooling="sum",
            max_length=0,
        )
        self._number: dict[str, int] = {}
        self._places = np.empty((1024, _PLACES), np.int64)
        self._weights = np.empty((1024, _PLACES), np.float64)

    @property
    def card(self) -> EncoderCard:
        return self._card

    def count_tokens(self, texts: Sequence[str], role: Role) -> Int32Array:
        del role
        return np.array([len(_WORD.findall(text)) for text in texts], np.int32)

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        del role
        if len(self._number) > _MOST_WORDS_KEPT:
            self._number.clear()
        words = [[self._word(word) for word in _WORD.findall(text.lower())] for text in texts]
        tokens = np.array([len(numbers) for numbers in words], np.int32)
        flat = np.fromiter((number for text in words for number in text), np.int64, tokens.sum())
        rows = np.repeat(np.arange(len(words), dtype=np.int64), tokens)
        dim = self._card.dim
        cells = (rows[:, None] * dim + self._places[flat]).ravel()
        sums = np.bincount(cells, self._weights[flat].ravel(), minlength=len(words) * dim)
        vectors = sums.reshape(len(words), dim)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return Encoded((vectors / np.where(norms > 0, norms, 1.0)).astype(np.float32), tokens)

    def _word(self, word: str) -> int:
        """The word's number in the tables of places and weights, entered at first sight."""
        number = self._number.get(word)
        if number is not None:
            return number
        number = len(self._number)
        if number == len(self._places):
            self._places = np.concatenate([self._places, np.empty_like(self._places)])
            self._weights = np.concatenate([self._weights, np.empty_like(self._weights)])
        digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=4 * _PLACES)
        hashes = np.frombuffer(digest.digest(), np.uint32)
        self._places[number] = (hashes >> np.uint32(1)) % self._card.dim
        weight = _SHORT_WORD if len(word) <= 3 else 1.0
        self._weights[number] = np.where(hashes & 1, weight, -weight)
        self._number[word] = number
        return number

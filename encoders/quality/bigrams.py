"""A bigram language model with interpolated Kneser-Ney smoothing, counted in one reading."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .words import words_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from ...core.records import Int64Array

UNKNOWN, START = 0, 1
"""Word ids that are no words: one that the corpus lacks, and what stands before every text."""

DISCOUNT = 0.75
"""Taken from every count that is not zero (Church and Gale 1991), at both levels."""

_BLOCK = 1 << 22  # tokens counted at a time: 32 MB of pairs


@dataclass(frozen=True, slots=True)
class Bigrams:
    """Counts of neighbouring words; word ids begin at 2, in the order of first occurrence.

    pairs [B] int64, rising: first word's id * 2**32 + second's; counts [B] int64, how often each
    stands in the corpus. after [V + 2] float64: pairs that begin with a word; kinds [V + 2]: how
    many distinct words follow it. lower [V + 2]: the chance of a word whatever stands before it,
    by the number of distinct words that it follows; unknown words have a share.
    """

    vocabulary: dict[str, int]
    pairs: Int64Array
    counts: Int64Array
    after: NDArray[np.float64]
    kinds: NDArray[np.float64]
    lower: NDArray[np.float64]

    def ids(self, text: str) -> list[int]:
        """The text's words, unknown ones as UNKNOWN; a text without a word is one unknown word."""
        known = self.vocabulary.get
        return [known(word, UNKNOWN) for word in words_of(text)] or [UNKNOWN]

    def probabilities(self, before: Int64Array, words: Int64Array) -> NDArray[np.float64]:
        """[n] float64, each above 0: the chance of words[i] where before[i] stands before it.

        Over all words and UNKNOWN they add up to 1. Element by element, so that no probability
        depends on those beside it.
        """
        wanted = (before << 32) | words
        place = np.minimum(np.searchsorted(self.pairs, wanted), len(self.pairs) - 1)
        counts = np.where(self.pairs[place] == wanted, self.counts[place], 0)
        lower, after = self.lower[words], self.after[before]
        mixed = np.maximum(counts - DISCOUNT, 0) + DISCOUNT * self.kinds[before] * lower
        return np.where(after > 0, mixed / np.maximum(after, 1), lower)


def count_bigrams(texts: Iterable[str]) -> Bigrams | None:
    """The bigrams of these texts, none reaching over two of them; None when there is no word.

    Memory grows with the vocabulary and with the distinct pairs, 16 bytes each.
    """
    vocabulary: dict[str, int] = {}
    ids = array("q")
    pairs, counts = np.empty(0, np.int64), np.empty(0, np.int64)
    for text in texts:
        ids.append(START)
        ids.extend([vocabulary.setdefault(word, len(vocabulary) + 2) for word in words_of(text)])
        if len(ids) >= _BLOCK:
            pairs, counts = _with(pairs, counts, ids)
            ids = array("q")
    pairs, counts = _with(pairs, counts, ids)
    if not vocabulary:
        return None
    return _weighed(vocabulary, pairs, counts)


def bigrams_of(words: Sequence[str], pairs: Int64Array, counts: Int64Array) -> Bigrams | None:
    """The model of counts as ``Bigrams`` holds them; None when they contradict each other."""
    vocabulary = {word: number for number, word in enumerate(words, 2)}
    if not words or len(vocabulary) != len(words) or not len(pairs) == len(counts) > 0:
        return None
    first, second = pairs >> 32, pairs & 0xFFFFFFFF
    size = len(words) + 2
    inside = (first >= START) & (first < size) & (second > START) & (second < size)
    if not inside.all() or (np.diff(pairs) <= 0).any() or (counts < 1).any():
        return None
    return _weighed(vocabulary, pairs, counts)


def _with(pairs: Int64Array, counts: Int64Array, ids: array[int]) -> tuple[Int64Array, Int64Array]:
    """The counts so far and those of a block, which begins where a text begins."""
    read = np.frombuffer(ids, np.int64) if ids else np.empty(0, np.int64)
    first, second = read[:-1], read[1:]
    within = second != START
    fresh, times = np.unique((first[within] << 32) | second[within], return_counts=True)
    together, where = np.unique(np.concatenate([pairs, fresh]), return_inverse=True)
    added = np.zeros(len(together), np.int64)
    np.add.at(added, where, np.concatenate([counts, times]))
    return together, added


def _weighed(vocabulary: dict[str, int], pairs: Int64Array, counts: Int64Array) -> Bigrams:
    size = len(vocabulary) + 2
    first, second = pairs >> 32, pairs & 0xFFFFFFFF
    after = np.bincount(first, counts, minlength=size).astype(np.float64)
    kinds = np.bincount(first, minlength=size).astype(np.float64)
    follows = np.bincount(second, minlength=size)
    # what the discount leaves over is shared by all words and the unknown one alike
    left = DISCOUNT * len(vocabulary) / len(pairs) / (len(vocabulary) + 1)
    lower = np.maximum(follows - DISCOUNT, 0) / len(pairs) + left
    return Bigrams(vocabulary, pairs, counts, after, kinds, lower)

"""Texts with some of their word pieces replaced, and the distribution that replacements have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


class Unigrams:
    """How often each of ``vocabulary`` word pieces stands in a collection, plus one.

    ``share`` [vocabulary] float64, which adds up to 1: one more than the count, so that a piece
    of unseen text is unlikely and not impossible.
    """

    def __init__(self, ids: np.ndarray, vocabulary: int) -> None:
        counts = np.bincount(ids, minlength=vocabulary) + 1.0
        self.share = counts / counts.sum()
        self._ends = np.cumsum(self.share)

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """n pieces, each drawn alone."""
        found = np.searchsorted(self._ends, rng.random(n), side="right")
        return np.minimum(found, len(self.share) - 1)  # the last end may fall short of 1

    def inclusion(self, draws: int) -> np.ndarray:
        """[vocabulary]: how likely each piece is among so many draws, at least once."""
        return np.asarray(-np.expm1(draws * np.log1p(-self.share)))


@dataclass(frozen=True, slots=True)
class Replaced:
    """What an encoder and a decoder read in place of the same ids, [tokens] int64 each.

    rows: the tokens that the decoder sees replaced; originals: what stood there; in_encoder:
    which of them the encoder sees replaced too, by the same pieces. It sees no others.
    """

    encoder: np.ndarray
    decoder: np.ndarray
    rows: np.ndarray
    originals: np.ndarray
    in_encoder: np.ndarray


def replaced(
    ids: np.ndarray, noise: np.ndarray, draws: np.ndarray, encoder: float, decoder: float
) -> Replaced:
    """ids [tokens] with ``noise`` [tokens] where ``draws`` [tokens], even over [0, 1), are below
    the share of who reads it; ``encoder`` is at most ``decoder``.

    One draw decides for both, so that what the encoder sees replaced the decoder never sees. A
    token whose noise is itself is not replaced.
    """
    differs = noise != ids
    for_encoder, for_decoder = differs & (draws < encoder), differs & (draws < decoder)
    rows = np.flatnonzero(for_decoder)
    return Replaced(
        encoder=np.where(for_encoder, noise, ids),
        decoder=np.where(for_decoder, noise, ids),
        rows=rows,
        originals=ids[rows],
        in_encoder=for_encoder[rows],
    )

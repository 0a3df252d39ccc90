"""``length`` and ``random``: the controls of every pruning figure."""

from __future__ import annotations

import hashlib

import numpy as np

from tamis.encoders.quality.chance import RandomQuality
from tamis.encoders.quality.length import LengthQuality


def test_length_counts_words() -> None:
    texts = ["", "one", "one, two; THREE.", "it's 2 o'clock", "--- !"]
    assert LengthQuality().score(texts).tolist() == [0, 1, 3, 5, 0]


def test_random_is_the_texts_own_checksum() -> None:
    digest = hashlib.blake2b(b"flea", digest_size=8, key=b"7").digest()
    expected = (int.from_bytes(digest, "little") >> 40) / 2**24
    assert RandomQuality(seed=7).score(["flea"]).tolist() == [expected]


def test_random_is_uniform_and_seeds_are_independent() -> None:
    texts = [f"passage {n}" for n in range(4000)]
    columns = np.stack([RandomQuality(seed=seed).score(texts) for seed in range(3)])
    assert columns.min() >= 0
    assert columns.max() < 1
    for column in columns:
        shares = np.histogram(column, bins=10, range=(0, 1))[0] / len(texts)
        assert np.abs(shares - 0.1).max() < 0.025  # five standard deviations
    correlations = np.corrcoef(columns)[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 0.08


def test_another_seed_is_another_model() -> None:
    assert RandomQuality(seed=0).card != RandomQuality(seed=1).card

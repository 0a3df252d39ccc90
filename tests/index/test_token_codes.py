"""Codes of 4 and 8 bits: what they read back as, how far off, and how they lie on disk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.index.token_codes import BITS, coded, decoded, record_of


def drawn(seed: int, tokens: int, dim: int, zeros: float) -> np.ndarray:
    """Vectors of very different sizes; a share of their components is 0, some whole tokens."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(tokens, dim)) * 10.0 ** rng.integers(-6, 3, (tokens, 1))
    vectors[rng.random((tokens, dim)) < zeros] = 0
    return vectors.astype(np.float32)


VECTORS = st.builds(
    drawn, st.integers(0, 2**32), st.integers(0, 6), st.integers(1, 9), st.sampled_from([0, 0.5, 1])
)


def test_four_bits_by_hand() -> None:
    """Sixteen steps of an eighth from -1 to 1; the fifth byte half is empty in three dimensions."""
    vectors = np.array([[1, -1, 0.3], [0, 0, 0], [2, 0.1, -2]], np.float32)
    records = coded(vectors, 4)
    assert records.dtype.itemsize == 4 + 2
    assert records["scale"].tolist() == [1, 0, 2]
    assert records["codes"][0].tolist() == [15 | 10 << 4, 0]  # dimensions 0 and 2, then 1
    assert records["codes"][2].tolist() == [15 | 0 << 4, 8]
    expected = [[0.9375, -0.9375, 0.3125], [0, 0, 0], [1.875, 0.125, -1.875]]
    assert decoded(records, 3, 4).tolist() == expected


def test_eight_bits_by_hand() -> None:
    records = coded(np.array([[1, -1, 0]], np.float32), 8)
    assert records["codes"].tolist() == [[255, 0, 128]]
    assert decoded(records, 3, 8).tolist() == [[255 / 256, -255 / 256, 1 / 256]]


@pytest.mark.parametrize("bits", BITS)
@given(vectors=VECTORS)
def test_a_component_is_off_by_half_a_step_at_most(bits: int, vectors: np.ndarray) -> None:
    found = decoded(coded(vectors, bits), vectors.shape[1], bits)
    assert found.shape == vectors.shape
    assert found.dtype == np.float32
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0)
    assert (np.abs(found - vectors) <= largest * (2.0**-bits + 1e-6)).all()
    assert (found[largest[:, 0] == 0] == 0).all()


@pytest.mark.parametrize("bits", BITS)
@given(vectors=VECTORS)
def test_a_token_does_not_depend_on_others(bits: int, vectors: np.ndarray) -> None:
    whole = coded(vectors, bits)
    for place, vector in enumerate(vectors):
        assert coded(vector[None], bits).tobytes() == whole[place : place + 1].tobytes()


@pytest.mark.parametrize(("bits", "size"), [(4, 4 + 192), (8, 4 + 384)])
def test_what_a_token_costs(bits: int, size: int) -> None:
    assert record_of(384, bits).itemsize == size
    assert coded(np.ones((2, 384), np.float32), bits).nbytes == 2 * size

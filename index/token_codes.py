"""Token vectors as codes of 4 or 8 bits a dimension, with one scale a token.

A token's components lie between -m and m, m being the largest of them in size. That range is cut
into 2**bits equal steps, and a component is stored as the number of its step and read back as the
step's middle: it is off by at most m / 2**bits, so the product with a query token of unit length
by at most sqrt(dim) times that. A scale a dimension, learned from the whole collection, needs a
second pass and comes no nearer: docs/rerankers.md has both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..core.records import Float32Array

    Records = NDArray[Any]
    """[tokens] of ``record_of``'s kind."""

BITS = (4, 8)


def record_of(dim: int, bits: int) -> np.dtype[Any]:
    """What a token is on disk: ``scale`` (float32: the largest size) and ``codes`` (bytes).

    With 4 bits a byte holds two dimensions: i in its low half, i + ceil(dim / 2) in its high one.
    """
    return np.dtype([("scale", "<f4"), ("codes", "u1", (-(-dim * bits // 8),))])


def coded(vectors: Float32Array, bits: int) -> Records:
    """vectors [tokens, dim], finite, to records [tokens]; a vector of zeros has scale 0."""
    tokens, dim = vectors.shape
    records = np.zeros(tokens, record_of(dim, bits))
    scale = np.abs(vectors).max(axis=1, initial=0)
    records["scale"] = scale
    top = 2**bits - 1
    safe = np.where(scale > 0, scale, np.float32(1))[:, None]
    steps = np.clip((vectors / safe + 1) * np.float32(2 ** (bits - 1)), 0, top).astype(np.uint8)
    if bits == 4:
        half = -(-dim // 2)
        low, high = steps[:, :half], steps[:, half:]
        records["codes"] = low
        records["codes"][:, : dim - half] |= high << 4
    else:
        records["codes"] = steps
    return records


def decoded(records: Records, dim: int, bits: int) -> Float32Array:
    """[tokens, dim] float32: the middles of the steps; zeros where the scale is 0."""
    vectors = np.empty((len(records), dim), np.float32)
    codes = records["codes"]
    if bits == 4:
        half = -(-dim // 2)
        vectors[:, :half] = codes & 15
        vectors[:, half:] = (codes >> 4)[:, : dim - half]
    else:
        vectors[:] = codes
    steps = np.float32(2 ** (bits - 1))
    vectors -= steps - np.float32(0.5)
    vectors *= (records["scale"] / steps)[:, None]
    return vectors

"""Vectors brought to unit length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..core.records import Float32Array


def unit_rows(vectors: Float32Array) -> Float32Array:
    """[n, dim] float32 with rows of length 1; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, np.float32(1)), np.float32)

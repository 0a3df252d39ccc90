"""What a hot tier knows of the cold one without opening it: about how well it could answer.

Of the cold vectors a code of one bit a dimension (RaBitQ: Gao and Long 2024, "RaBitQ: Quantizing
High-Dimensional Vectors with a Theoretical Error Bound for Approximate Nearest Neighbor Search",
SIGMOD), of its BM25 index the highest score that any cold passage gets from each term (the upper
bounds of MaxScore: Turtle and Flood 1995, "Query evaluation: strategies and optimizations").
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import BadData
from .dense import DenseIndex

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..core.records import Float32Array, Float64Array

SKETCH = "sketch"
"""The folder, in that of the hot tier."""
VECTORS = f"{SKETCH}/vectors"
"""A FAISS file: a random rotation, then a bit a dimension and eight bytes for each cold passage."""
TERMS = f"{SKETCH}/terms.npy"
"""float32, one for each token of the shared vocabulary."""


class ColdSketch:
    """The two parts, each read when it is first asked; ``path`` turns a name into a sound file."""

    def __init__(self, path: Callable[[str], Path]) -> None:
        self._path = path

    @cached_property
    def vectors(self) -> DenseIndex:
        """CorruptFile when FAISS cannot read them."""
        return DenseIndex.open(self._path(VECTORS))

    @cached_property
    def terms(self) -> Float32Array:
        """[vocabulary]: see ``Bm25sIndex.highest``. BadData when it is no such array."""
        path = self._path(TERMS)
        try:
            found: Float32Array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as flaw:
            raise BadData(f"{path} is no array: {flaw}; rebuild the index") from flaw
        return found

    def best_products(self, queries: Float32Array) -> Float64Array:
        """[queries]: an estimate of the highest inner product with any cold vector.

        queries [q, dim], finite. The product with one vector is estimated without bias, with an
        error of about .75 |q - c| |v - c| / sqrt(dim) (c: the mean of the vectors), and the highest
        of many estimates lies above the highest product more often than below.
        """
        found = self.vectors.search(queries, 1)
        return np.array([scores[0] for _, scores in found], np.float64)

"""The one place that says what "the best k" means: score descending, then row ascending."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .records import Float32Array, Int64Array


def best_first(rows: Int64Array, scores: Float32Array) -> tuple[Int64Array, Float32Array]:
    """The same candidates sorted by score descending, equal scores by row ascending.

    rows [n] int64, scores [n] float32, finite. Returns new arrays of the same shapes.
    """
    order = np.lexsort((rows, -scores))
    return rows[order], scores[order]


def top_k(scores: Float32Array, k: int) -> tuple[Int64Array, Float32Array]:
    """The rows of the k highest *positive* scores among all rows, best first.

    scores [n] float32, one per row of the index. Rows with score <= 0 match nothing and are left
    out, so fewer than k may come back. Where equal scores straddle the cut, the lowest rows win.
    """
    n = len(scores)
    if k < n:
        threshold = max(np.partition(scores, n - k)[n - k], np.float32(0))
        rows = np.flatnonzero(scores >= threshold if threshold > 0 else scores > 0)
    else:
        rows = np.flatnonzero(scores > 0)
    order = np.argsort(-scores[rows], kind="stable")[:k]  # rows rise: stable keeps their order
    return rows[order].astype(np.int64), scores[rows[order]]

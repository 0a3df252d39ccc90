"""Nearest neighbours among the passages that a cut would keep, without an index of each cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..core.records import Float32Array, Int64Array
    from .dense import DenseIndex

_DEEPER = 4
"""Times as many rows as wanted are ranked at first: enough for most cuts of three quarters."""


class PrunedDense:
    """The answers of an exact index over kept rows, from one ranking over all rows.

    An inner product knows nothing of other passages, so the best k of the rows kept are the first
    k of them in the ranking of all. How deep that ranking must be is found out: it is made again,
    twice as deep, whenever a cut leaves some query short.
    """

    def __init__(self, index: DenseIndex, queries: Float32Array) -> None:
        """An exact index of every passage; queries [q, dim]."""
        self._index = index
        self._queries = queries
        self._depth = 0
        self._ranked: list[tuple[Int64Array, Float32Array]] = []

    def search(self, kept: NDArray[np.bool_], k: int) -> list[tuple[Int64Array, Float32Array]]:
        """For each query its best kept rows, at most k, and their scores, best first.

        kept [n], True for each row of the index that stays; rows are those of the index of all.
        Order and ties are ``DenseIndex.search``'s. BadArguments when k < 1.
        """
        wanted = min(k, int(np.count_nonzero(kept)))
        self._deepen(min(_DEEPER * k, len(kept)))
        while True:
            places = [kept[rows] for rows, _ in self._ranked]
            if all(np.count_nonzero(each) >= wanted for each in places):
                return [
                    (rows[each][:k], scores[each][:k])
                    for (rows, scores), each in zip(self._ranked, places, strict=True)
                ]
            self._deepen(min(2 * self._depth, len(kept)))

    def _deepen(self, depth: int) -> None:
        if depth > self._depth:
            self._ranked = self._index.search(self._queries, depth)
            self._depth = depth

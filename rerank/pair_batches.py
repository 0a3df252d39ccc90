"""Pairs of query and passage in batches of a token budget, with hardly any padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..core.records import Int64Array


def pair_batches(lengths: Int64Array, budget: int) -> Iterator[Int64Array]:
    """Positions of the pairs of each batch, longest batch first; every pair is in exactly one.

    lengths [n] in tokens. A batch of m pairs whose longest has w tokens keeps m * w <= budget; a
    single pair may exceed it. Longest first, so that a batch too large for the memory fails at
    once.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        end = start + max(1, budget // longest)
        yield order[start:end].astype(np.int64)
        start = end

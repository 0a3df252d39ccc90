"""Cut a pile of texts into batches that hold a fixed number of tokens, with hardly any padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..core.records import Int32Array, Int64Array

_PADDING = 1 / 16


def token_batches(lengths: Int32Array, budget: int) -> Iterator[Int64Array]:
    """Positions of the texts of each batch, longest batch first; every text is in exactly one.

    lengths [n] in tokens. A batch of m texts whose longest has w tokens keeps m * w <= budget (a
    single text may exceed it) and wastes at most one token in sixteen of any text on padding.
    Longest first, so that a batch too large for the memory fails at once, not after hours.
    """
    order = np.argsort(-lengths, kind="stable")
    ordered = lengths[order]
    start = 0
    while start < len(order):
        longest = int(ordered[start])
        room = max(1, budget // max(longest, 1))
        shortest = longest - int(longest * _PADDING)
        similar = int(np.searchsorted(-ordered, -shortest, side="right"))
        end = min(start + room, max(similar, start + 1))
        yield order[start:end].astype(np.int64)
        start = end

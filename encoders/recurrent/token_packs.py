"""Cut a pile of texts into packs that hold a fixed number of tokens, without any padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...core.records import Int64Array


def token_packs(lengths: np.ndarray, budget: int) -> Iterator[Int64Array]:
    """Positions of the texts of each pack, longest first; every text is in exactly one.

    lengths [n] integers, in tokens. A pack holds at most ``budget`` tokens (a single text may
    exceed it) and as many texts. Neighbours have similar lengths: a recurrence takes as many steps
    as its longest text has tokens, so short texts would wait for it. Longest first, so that a pack
    too large for the memory fails at once, not after hours.
    """
    order = np.argsort(-lengths, kind="stable").astype(np.int64)
    ends = np.cumsum(np.maximum(lengths[order], 1), dtype=np.int64)
    start = 0
    while start < len(order):
        before = ends[start - 1] if start else 0
        end = int(np.searchsorted(ends, before + budget, side="right"))
        end = max(end, start + 1)
        yield order[start:end]
        start = end

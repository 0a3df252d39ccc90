"""Texts as token ids end to end, as a tokenizer gives them and models of packed texts read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .records import Int32Array, Int64Array


@dataclass(frozen=True, slots=True)
class PackedTexts:
    """ids [tokens] int32 of texts cut to the maximum length; bounds [n + 1] int64, where each
    begins; counts [n] int32, each text's length before the cut."""

    ids: Int32Array
    bounds: Int64Array
    counts: Int32Array

    def __len__(self) -> int:
        return len(self.counts)

    def cut(self, max_length: int) -> PackedTexts:
        """Each text's first ``max_length`` tokens; 0 cuts nothing."""
        lengths = np.diff(self.bounds)
        if not max_length or (lengths <= max_length).all():
            return self
        starts = np.repeat(self.bounds[:-1], lengths)
        ids = self.ids[np.arange(len(self.ids)) - starts < max_length]
        bounds = np.concatenate([[0], np.cumsum(np.minimum(lengths, max_length), dtype=np.int64)])
        return PackedTexts(ids, bounds, self.counts)

    def take(self, rows: Int64Array) -> PackedTexts:
        """These texts, in this order."""
        lengths = np.diff(self.bounds)[rows]
        bounds = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        shifts = np.repeat(self.bounds[:-1][rows] - bounds[:-1], lengths)
        return PackedTexts(self.ids[np.arange(int(bounds[-1])) + shifts], bounds, self.counts[rows])


def joined(packs: Sequence[PackedTexts]) -> PackedTexts:
    """All texts of the packs, which are at least one."""
    lengths = np.concatenate([np.diff(pack.bounds) for pack in packs])
    return PackedTexts(
        np.concatenate([pack.ids for pack in packs]),
        np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
        np.concatenate([pack.counts for pack in packs]),
    )

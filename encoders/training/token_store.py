"""Texts tokenised once and kept, taken out again in any order; which of them a step learns from."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from .trainee import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class TokenStore:
    """Word pieces of n texts end to end: ids [tokens] int32, lengths [n] int64."""

    def __init__(self, parts: Sequence[Tokens]) -> None:
        none = np.empty(0, np.int64)
        self.ids = np.concatenate([none, *(part.ids for part in parts)]).astype(np.int32)
        self.lengths = np.concatenate([none, *(part.lengths for part in parts)])
        self._starts = np.cumsum(self.lengths) - self.lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, rows: np.ndarray) -> Tokens:
        """These texts, in this order."""
        lengths = self.lengths[rows]
        return Tokens(self.ids[spans(self._starts[rows], lengths)].astype(np.int64), lengths)


def spans(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """start, start + 1, ... of each span, end to end."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))


def steps_per_epoch(tokens: int, units: int, budget: int) -> int:
    """Batches of about ``budget`` tokens, none of them empty: at least one, at most ``units``."""
    return max(1, min(units, round(tokens / budget)))


def rows_of_steps(
    units: int, per_epoch: int, seed: int, start: int, steps: int
) -> Iterator[tuple[int, np.ndarray]]:
    """(step, its rows) from step ``start`` to ``steps`` - 1.

    An epoch is all ``units`` in an order that the seed and its number fix, in ``per_epoch`` parts
    of the same size within one.
    """
    for epoch in count(start // per_epoch):
        order = np.random.default_rng([seed, 0, epoch]).permutation(units)
        for place, rows in enumerate(np.array_split(order, per_epoch)):
            step = epoch * per_epoch + place
            if step >= steps:
                return
            if step >= start:
                yield step, rows

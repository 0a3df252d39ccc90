"""Two tiers as one: rows of the cold tier follow those of the hot one."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..core.protocols import DescribesPassages
from ..core.records import Ranking
from ..core.topk import best_first

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.protocols import TermStatistics
    from ..core.records import Float32Array, Int64Array, Passage
    from .folder import IndexFolder
    from .passages import Passages

T = TypeVar("T")


class TieredPassages:
    """Row n of the cold tier is row ``hot_rows`` + n here; its table is opened at first need."""

    def __init__(self, hot: Passages, cold: IndexFolder) -> None:
        self._hot = hot
        self._cold = cold
        self.hot_rows = len(hot)

    @property
    def has_texts(self) -> bool:
        return self._hot.has_texts

    def __len__(self) -> int:
        return self.hot_rows + len(self._cold)

    def ids(self, rows: Int64Array) -> list[str]:
        return self._gathered(rows, lambda table, own: table.ids(own))

    def passages(self, rows: Int64Array) -> list[Passage]:
        return self._gathered(rows, lambda table, own: table.passages(own))

    @property
    def terms(self) -> TermStatistics | None:
        """Those of the hot tier, which were counted over both."""
        return self._hot.terms if isinstance(self._hot, DescribesPassages) else None

    def quality(self, rows: Int64Array) -> Float32Array | None:
        """Of both tiers; None where neither was scored."""
        found = np.full(len(rows), np.nan, np.float32)
        known = False
        for below, table, first in (
            (False, self._hot, 0),
            (True, self._cold.passages, self.hot_rows),
        ):
            own = (rows >= self.hot_rows) == below
            scores = (
                table.quality(rows[own] - first) if isinstance(table, DescribesPassages) else None
            )
            if scores is not None:
                found[own], known = scores, True
        return found if known else None

    def _gathered(
        self, rows: Int64Array, read: Callable[[Passages, Int64Array], list[T]]
    ) -> list[T]:
        below = rows >= self.hot_rows
        if not below.any():
            return read(self._hot, rows)
        hot = iter(read(self._hot, rows[~below]))
        cold = iter(read(self._cold.passages, rows[below] - self.hot_rows))
        return [next(cold if is_cold else hot) for is_cold in below.tolist()]


def joined(hot: Ranking, cold: Ranking, hot_rows: int, k: int) -> Ranking:
    """The best k of both tiers' answers to one query, by score; equal scores: the hot tier first.

    ``cold`` counts its rows from 0. Scores of the two must compare.
    """
    rows, scores = best_first(
        np.concatenate([hot.rows, cold.rows + hot_rows]), np.concatenate([hot.scores, cold.scores])
    )
    return Ranking(hot.query, rows[:k], scores[:k])

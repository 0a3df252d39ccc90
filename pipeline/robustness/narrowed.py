"""A first stage that sees only some passages of its index, others for every query."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...core.records import Ranking

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ...core.records import Int64Array, Query
    from ...core.stopwatch import Stopwatch
    from ...index.passages import Passages
    from ..retrievers import FirstStage
    from ..search import Search

    Visible = Callable[[Query, Int64Array], NDArray[np.bool_]]
    """A query and rows [n] to which of them it may see."""


@dataclass(frozen=True)
class Narrowed:
    """The best ``k`` of what ``visible`` leaves of the inner stage's answer.

    That is the answer over the visible passages alone as long as the inner stage is ``k`` deeper
    than the hidden passages are many; scores, and BM25's statistics, stay those of all passages.
    """

    inner: FirstStage
    visible: Visible
    k: int

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def passages(self) -> Passages:
        return self.inner.passages

    def retrieve(self, queries: Sequence[Query], clock: Stopwatch | None = None) -> list[Ranking]:
        return [self._of(found) for found in self.inner.retrieve(queries, clock)]

    def _of(self, found: Ranking) -> Ranking:
        seen = self.visible(found.query, found.rows)
        return Ranking(found.query, found.rows[seen], found.scores[seen]).top(self.k)


def narrowed(search: Search, visible: Visible, k: int) -> Search:
    """The search with both its first stages narrowed to ``k`` visible passages."""
    parts = [
        None if each is None else Narrowed(each, visible, k)
        for each in (search.dense, search.lexical)
    ]
    return replace(search, dense=parts[0], lexical=parts[1])

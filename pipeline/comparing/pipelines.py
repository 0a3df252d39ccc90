"""The ways of searching that pruning is measured in, over any cut of one collection."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from ...core.records import Ranking
from ..opening import FIRST_STAGE
from ..search import Search

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ...core.protocols import Reranker
    from ...core.records import Query
    from ...core.stopwatch import Stopwatch
    from ...index.lexical.pruned import PrunedBm25
    from ...index.passages import Passages
    from ...index.pruned_dense import PrunedDense
    from .collection import Collection

DENSE, LEXICAL, HYBRID, CASCADE = "dense", "lexical", "hybrid", "cascade"
MODES = (DENSE, LEXICAL, HYBRID)
TITLES: Mapping[str, str] = {
    DENSE: "dense",
    LEXICAL: "BM25",
    HYBRID: "hybrid (RRF)",
    CASCADE: "cascade",
}


@dataclass(frozen=True)
class Answered:
    """A first stage whose rankings are known already."""

    name: str
    passages: Passages
    rankings: list[Ranking]
    k: int = FIRST_STAGE

    def retrieve(self, queries: Sequence[Query], clock: Stopwatch | None = None) -> list[Ranking]:
        del clock
        return [self._by_query[query.id] for query in queries]

    @cached_property
    def _by_query(self) -> dict[str, Ranking]:
        return {ranking.query.id: ranking for ranking in self.rankings}


@dataclass(frozen=True)
class Sources:
    """What the pipelines ask: first stages that answer for any cut, and the cascade's rerankers.

    A first stage that no pipeline needs is None. Rerankers work on the hybrid, stage by stage.
    """

    collection: Collection
    dense: PrunedDense | None
    lexical: PrunedBm25 | None
    rerankers: Sequence[Reranker] = ()


class Answers:
    """What each pipeline finds among the passages that one cut keeps.

    First stages are asked ``FIRST_STAGE`` deep, as ``tamis search`` asks them for a file of
    queries, and once, whatever pipelines use them. Rows are those of the whole corpus.
    """

    def __init__(self, sources: Sources, kept: NDArray[np.bool_]) -> None:
        self._sources = sources
        self._kept = kept

    def of(self, pipeline: str) -> list[Ranking]:
        """One ranking a query, in the collection's order."""
        if pipeline == DENSE:
            return self._dense.rankings
        if pipeline == LEXICAL:
            return self._lexical.rankings
        search = Search(
            dense=self._dense,
            lexical=self._lexical,
            rerank=self._sources.rerankers if pipeline == CASCADE else (),
        )
        return search.run(self._sources.collection.queries).rankings

    def rerank_milliseconds(self, rerankers: Sequence[Reranker], most: int) -> dict[str, float]:
        """What each reranker takes for one of the first ``most`` queries, on average, by name."""
        queries = self._sources.collection.queries[:most]
        stages = [
            replace(each, rankings=each.rankings[:most]) for each in (self._dense, self._lexical)
        ]
        search = Search(dense=stages[0], lexical=stages[1], rerank=rerankers)
        seconds = search.run(queries).seconds
        return {label: 1e3 * seconds[label] / len(queries) for label in search.labels}

    @cached_property
    def _dense(self) -> Answered:
        stage, collection = self._sources.dense, self._sources.collection
        assert stage is not None, "the pipelines asked for say which stages there are"
        found = stage.search(self._kept, FIRST_STAGE)
        rankings = [Ranking(q, *best) for q, best in zip(collection.queries, found, strict=True)]
        return Answered(DENSE, collection.table, rankings)

    @cached_property
    def _lexical(self) -> Answered:
        stage = self._sources.lexical
        assert stage is not None, "the pipelines asked for say which stages there are"
        found = stage.retrieve(self._kept, FIRST_STAGE)
        return Answered(LEXICAL, self._sources.collection.table, found)

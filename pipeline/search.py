"""A search: retrieve, fuse, rerank, cut. A value made of parts, run over any number of queries."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import BadArguments, FailedWhileRunning
from ..core.protocols import Candidates
from ..core.records import Hit, Query, Ranking
from ..core.stopwatch import Stopwatch
from ..core.topk import best_first
from .cold.tier import remembering
from .fusion import METHODS, checked_weights, fuse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ..core.protocols import Reranker
    from ..index.passages import Passages
    from .cold.tier import ColdTier
    from .retrievers import FirstStage


@dataclass(frozen=True)
class Run:
    """What a search found: one ranking a query, and the seconds each stage took in all.

    ``cold`` [queries] says for which of them the cold tier was searched; None where none could be.
    """

    rankings: list[Ranking]
    passages: Passages
    seconds: Mapping[str, float]
    cold: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.rankings)

    def __iter__(self) -> Iterator[Ranking]:
        return iter(self.rankings)

    def hits(self, number: int) -> list[Hit]:
        """The answers to the query at this position, with their texts."""
        ranking = self.rankings[number]
        passages = self.passages.passages(ranking.rows)
        return [
            Hit(
                rank=place + 1,
                score=float(ranking.scores[place]),
                row=int(ranking.rows[place]),
                passage=passage,
                stages={
                    name: float(scores[place])
                    for name, scores in ranking.stages.items()
                    if not np.isnan(scores[place])
                },
            )
            for place, passage in enumerate(passages)
        ]

    def ids(self) -> list[list[str]]:
        """Passage ids, ranking by ranking; the passage table is visited once for all of them."""
        rows = [ranking.rows for ranking in self.rankings]
        flat = self.passages.ids(np.concatenate([*rows, np.empty(0, np.int64)]))
        ends = np.cumsum([0, *map(len, rows)]).tolist()
        return [flat[start:end] for start, end in pairwise(ends)]

    def scores(self) -> dict[str, dict[str, float]]:
        """Query id -> passage id -> score, as evaluation reads it."""
        return {
            ranking.query.id: dict(zip(ids, ranking.scores.tolist(), strict=True))
            for ranking, ids in zip(self.rankings, self.ids(), strict=True)
        }

    def write(self, path: Path | str, tag: str = "tamis") -> None:
        """A TREC run file (``.gz`` if the name says so), whole or not at all."""
        from pathlib import Path as _Path

        from ..core.runs import write_run

        pairs = zip(self.rankings, self.ids(), strict=True)
        write_run(_Path(path), ((r.query.id, ids, r.scores) for r, ids in pairs), tag)


@dataclass(frozen=True)
class Search:
    """Retrieve with ``dense``, ``lexical`` or both, fuse, rerank stage by stage, keep ``k``.

    Both retrievers must read the same index. ``weights`` go to the fusion. Each reranker scores
    the best ``keep`` candidates that reach it and drops the rest, so depths may only shrink:
    all misfits are reported when the search is made, before any work. ``cold`` is the tier of
    pruned passages below both retrievers, asked where it wants to be.
    """

    dense: FirstStage | None = None
    lexical: FirstStage | None = None
    fuse: str = "rrf"
    weights: Mapping[str, float] | None = None
    rerank: Sequence[Reranker] = ()
    k: int | None = None
    cold: ColdTier | None = None
    _stages: list[FirstStage] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        stages = [stage for stage in (self.dense, self.lexical) if stage is not None]
        object.__setattr__(self, "_stages", stages)
        problems = list(self._misfits())
        if problems:
            raise BadArguments("this search cannot run: " + "; ".join(problems))

    def _misfits(self) -> Iterator[str]:
        if not self._stages:
            yield "it has no retriever: give dense, lexical or both"
        if len(self._stages) == 2 and self.dense.passages is not self.lexical.passages:  # type: ignore[union-attr]
            yield "dense and lexical read different indexes, so their rows do not match"
        if self.rerank and any(not stage.passages.has_texts for stage in self._stages):
            yield "this index holds no texts, so nothing can be reranked"
        if self.cold is not None and self._stages:
            yield from self.cold.misfits(self._stages)
        if self.fuse not in METHODS:
            yield f"no fusion is called {self.fuse!r}; known: {', '.join(METHODS)}"
        if self.weights:
            yield from self._weighing()
        if self.k is not None and self.k < 1:
            yield f"k is {self.k}; ask for at least one passage"
        depth = max((stage.k for stage in self._stages), default=0)
        for stage in self.rerank:
            if not 1 <= stage.keep <= max(depth, 1):
                yield f"{stage.name} wants {stage.keep} candidates, at most {depth} reach it"
            depth = min(depth, stage.keep)

    def _weighing(self) -> Iterator[str]:
        if len(self._stages) == 1:
            yield f"weights are for a fusion, and {self._stages[0].name} is alone"
            return
        try:
            checked_weights(self.weights or {}, [stage.name for stage in self._stages])
        except BadArguments as failure:
            yield str(failure)

    def run(self, queries: Sequence[Query]) -> Run:
        """Answers to all queries, in their order; no query, no ranking."""
        clock = Stopwatch()
        stages = self._stages if self.cold is None else remembering(self._stages)
        found = {stage.name: stage.retrieve(queries, clock) for stage in stages}
        went = None
        if self.cold is not None:
            found, went = self.cold.completed(stages, found, queries, clock)
        rankings = self._fused(found, clock)
        for stage in self.rerank:
            rankings = self._reranked(stage, rankings, clock)
        if self.k is not None:
            rankings = [ranking.top(self.k) for ranking in rankings]
        return Run(rankings, self._stages[0].passages, clock.seconds, went)

    def _fused(self, found: Mapping[str, list[Ranking]], clock: Stopwatch) -> list[Ranking]:
        if len(found) == 1:
            ((name, rankings),) = found.items()
            return [Ranking(r.query, r.rows, r.scores, {name: r.scores}) for r in rankings]
        depth = max(stage.k for stage in self._stages)
        with clock.stage(f"fuse ({self.fuse})"):
            together = [
                dict(zip(found, each, strict=True)) for each in zip(*found.values(), strict=True)
            ]
            return [fuse(self.fuse, each, self.weights).top(depth) for each in together]

    def _reranked(
        self, stage: Reranker, rankings: Sequence[Ranking], clock: Stopwatch
    ) -> list[Ranking]:
        heads = [ranking.top(stage.keep) for ranking in rankings]
        with clock.stage("texts"):
            rows = np.concatenate([*(head.rows for head in heads), np.empty(0, np.int64)])
            texts = iter(self._stages[0].passages.passages(rows))
            batch = [Candidates(head, [next(texts) for _ in range(len(head))]) for head in heads]
        with clock.stage(stage.name):
            scores = stage.score(batch)
        if len(scores) != len(heads):
            raise FailedWhileRunning(
                f"reranker {stage.name} answered {len(scores)} queries of {len(heads)}"
            )
        return [_resorted(stage.name, head, new) for head, new in zip(heads, scores, strict=True)]


def _resorted(name: str, ranking: Ranking, scores: np.ndarray) -> Ranking:
    """The same candidates by their new scores; the old ones are kept among the stages."""
    scores = np.asarray(scores, np.float32)
    if scores.shape != ranking.rows.shape or not np.isfinite(scores).all():
        raise FailedWhileRunning(
            f"reranker {name} gave scores of shape {scores.shape}, "
            f"{np.count_nonzero(~np.isfinite(scores))} of them not finite, for {len(ranking)} "
            f"candidates of query {ranking.query.id!r}"
        )
    rows, ordered = best_first(ranking.rows, scores)
    by_row = np.argsort(ranking.rows)
    places = by_row[np.searchsorted(ranking.rows, rows, sorter=by_row)]
    stages = {key: values[places] for key, values in ranking.stages.items()}
    return Ranking(ranking.query, rows, ordered, {**stages, name: ordered})

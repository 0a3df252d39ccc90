"""A search: retrieve, fuse, rerank, cut. A value made of parts, run over any number of queries."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import BadArguments
from ..core.progress import Silent
from ..core.records import Hit, Query, Ranking
from ..core.stage_times import StageTime, joined
from .batch import Batch
from .fusion import METHODS, checked_weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ..core.progress import Progress
    from ..core.protocols import Reranker
    from ..index.passages import Passages
    from .cold.tier import ColdTier
    from .early_exit import EarlyExit
    from .retrievers import FirstStage
    from .stage_outputs import StageOutputs

AT_ONCE = 256
"""Queries that go through the stages together: enough for full batches, little enough to hold."""


@dataclass(frozen=True)
class Run:
    """What a search found: one ranking a query, and the seconds each stage took in all.

    ``cold`` [queries] says for which of them the cold tier was searched; None where none could be.
    ``times`` has the seconds query by query; ``at_once`` queries shared theirs equally.
    """

    rankings: list[Ranking]
    passages: Passages
    seconds: Mapping[str, float]
    cold: NDArray[np.bool_] | None = None
    times: Mapping[str, StageTime] = field(default_factory=dict)
    at_once: int = AT_ONCE

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
    pruned passages below both retrievers, asked where it wants to be. ``exits``, one a reranker if
    given, say which queries pass it by. ``origin`` is the fingerprint of the index; without it no
    output is kept.
    """

    dense: FirstStage | None = None
    lexical: FirstStage | None = None
    fuse: str = "rrf"
    weights: Mapping[str, float] | None = None
    rerank: Sequence[Reranker] = ()
    k: int | None = None
    cold: ColdTier | None = None
    exits: Sequence[EarlyExit | None] = ()
    origin: str = ""
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
        yield from self._rerank_misfits()

    def _rerank_misfits(self) -> Iterator[str]:
        if self.k is not None and self.k < 1:
            yield f"k is {self.k}; ask for at least one passage"
        if self.exits and len(self.exits) != len(self.rerank):
            yield f"it has {len(self.exits)} exits for {len(self.rerank)} rerankers"
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

    @property
    def retrievers(self) -> Sequence[FirstStage]:
        """One or two, dense first."""
        return self._stages

    @property
    def passages(self) -> Passages:
        return self._stages[0].passages

    @property
    def labels(self) -> list[str]:
        """A name for each rerank stage: the reranker's, numbered from its second use on."""
        names = [stage.name for stage in self.rerank]
        earlier = [names[:place].count(name) for place, name in enumerate(names)]
        return [
            f"{name} ({count + 1})" if count else name
            for name, count in zip(names, earlier, strict=True)
        ]

    def exit_before(self, stage: int) -> EarlyExit | None:
        """The rule by which queries pass this rerank stage by; None where all of them stay."""
        return self.exits[stage] if self.exits else None

    def run(
        self,
        queries: Sequence[Query],
        *,
        at_once: int = AT_ONCE,
        kept: StageOutputs | None = None,
        progress: Progress | None = None,
    ) -> Run:
        """Answers to all queries, in their order; no query, no ranking.

        ``at_once`` queries go through all stages together and share their time equally; 1 gives
        every query a time of its own, as somebody who asks it alone would see. With ``kept``,
        outputs of stages are taken over from there and put there, batch by batch, so that a run
        that was broken off goes on where it was. ``progress`` is told of every batch.
        """
        if at_once < 1:
            raise BadArguments(f"{at_once} queries at once; expected at least 1")
        rankings: list[Ranking] = []
        went: list[NDArray[np.bool_]] = []
        times: list[tuple[int, Mapping[str, StageTime]]] = []
        with (progress or Silent()).stage("search", len(queries)) as advance:
            for start in range(0, len(queries), at_once):
                batch = Batch(self, queries[start : start + at_once], kept)
                found = batch.output()
                rankings += found if self.k is None else [each.top(self.k) for each in found]
                times.append((len(found), batch.times))
                went.append(batch.cold)
                advance(len(found))
        stages = joined(times)
        seconds = {name: float(time.seconds.sum()) for name, time in stages.items()}
        cold = None if self.cold is None else np.concatenate([*went, np.empty(0, np.bool_)])
        return Run(rankings, self.passages, seconds, cold, stages, at_once)

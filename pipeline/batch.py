"""One batch of queries through the stages of a search, each stage timed and, if asked, kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import FailedWhileRunning
from ..core.fingerprints import of_texts, of_value
from ..core.protocols import Fingerprinted
from ..core.records import Ranking
from ..core.stage_times import StageTime, shared
from ..core.stopwatch import Stopwatch
from ..core.topk import best_first
from .candidates import candidates
from .cold.tier import SKETCH_STAGE, cold_name, remembering
from .fusion import fuse
from .stage_outputs import code_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ..core.protocols import Candidates
    from ..core.records import Query
    from .cold.tier import ColdTier
    from .retrievers import FirstStage
    from .search import Search
    from .stage_outputs import StageOutputs

TEXTS = "texts"


class Batch:
    """``output`` is the rankings, ``times`` what each stage cost on the way there.

    Without ``kept``, ``trail`` then holds the rankings after the first stage and after each
    reranker.

    With ``kept``, the deepest stage whose output an earlier run kept is where the work begins.
    Nothing is taken over or kept for an index or a reranker that has no fingerprint. What a
    retriever found is kept as the hot tier gave it, whenever the cold one is asked; the outputs of
    rerankers are told apart by that.
    """

    def __init__(
        self, search: Search, queries: Sequence[Query], kept: StageOutputs | None = None
    ) -> None:
        self._search = search
        self._queries = queries
        self._kept = kept
        self.times: dict[str, StageTime] = {}
        self.trail: list[list[Ranking]] = []

    def output(self) -> list[Ranking]:
        return self._after(len(self._search.rerank))

    @property
    def cold(self) -> NDArray[np.bool_]:
        """[queries]: for which of them the cold tier was searched, by this run or the kept one."""
        names = [cold_name(each.name) for each in self._search.retrievers]
        went = [self.times[name].ran for name in names if name in self.times]
        return went[0] if went else np.zeros(len(self._queries), np.bool_)

    def _after(self, stages: int) -> list[Ranking]:
        """The rankings after so many rerank stages."""
        if stages == 0:
            self.trail = [self._first_stage()]
            return self.trail[0]
        key = self._key_after(stages)
        if (found := self._taken_over(key)) is not None:
            return found
        rankings = self._reranked(stages - 1, self._after(stages - 1))
        self._keep(key, rankings, self.times)
        self.trail.append(rankings)
        return rankings

    def _first_stage(self) -> list[Ranking]:
        cold, retrievers = self._search.cold, self._search.retrievers
        if cold is not None:
            retrievers = remembering(retrievers)
        found = {each.name: self._retrieved(each) for each in retrievers}
        if cold is not None:
            found = self._completed(cold, retrievers, found)
        if len(found) == 1:
            ((name, rankings),) = found.items()
            return [Ranking(r.query, r.rows, r.scores, {name: r.scores}) for r in rankings]
        search, clock = self._search, Stopwatch()
        depth = max(each.k for each in retrievers)
        with clock.stage("fuse"):
            together = [
                dict(zip(found, each, strict=True)) for each in zip(*found.values(), strict=True)
            ]
            fused = [fuse(search.fuse, each, search.weights).top(depth) for each in together]
        self._add(f"fuse ({search.fuse})", shared(clock.seconds["fuse"], _lengths(fused)))
        return fused

    def _completed(
        self,
        cold: ColdTier,
        retrievers: Sequence[FirstStage],
        found: Mapping[str, Sequence[Ranking]],
    ) -> dict[str, list[Ranking]]:
        """The hot answers with those of the cold tier, whose stages only unsure queries run.

        Their passages are those that reach the best k of both tiers.
        """
        clock = Stopwatch()
        whole, unsure = cold.completed(retrievers, found, self._queries, clock)
        none = np.zeros(len(unsure), np.int64)
        came = {
            cold_name(name): np.array([(each.rows >= cold.hot_rows).sum() for each in rankings])
            for name, rankings in whole.items()
        }
        for name, seconds in clock.seconds.items():
            ran = None if name == SKETCH_STAGE else unsure
            self._add(name, shared(seconds, came.get(name, none), ran))
        return whole

    def _retrieved(self, retriever: FirstStage) -> list[Ranking]:
        key = (
            self._key("first", _told(retriever))
            if self._kept is not None and self._search.origin
            else None
        )
        if (found := self._taken_over(key)) is not None:
            return found
        clock = Stopwatch()
        rankings = retriever.retrieve(self._queries, clock)
        none = np.zeros(len(rankings), np.int64)
        times = {
            name: shared(seconds, _lengths(rankings) if name == retriever.name else none)
            for name, seconds in clock.seconds.items()
        }
        for name, time in times.items():
            self._add(name, time)
        self._keep(key, rankings, times)
        return rankings

    def _reranked(self, number: int, rankings: Sequence[Ranking]) -> list[Ranking]:
        """The best candidates of each query by new scores; who passes the stage by, behind them."""
        stage = self._search.rerank[number]
        label, clock = self._search.labels[number], Stopwatch()
        heads, chosen = self._chosen(number, rankings)
        asked = np.array([mask.any() or mask.size == 0 for mask in chosen], bool)
        subsets = [_subset(h, m) for h, m, ask in zip(heads, chosen, asked, strict=True) if ask]
        with clock.stage(TEXTS):
            batch = candidates(self._search.passages, subsets)
        with clock.stage(label):
            scores = stage.score(batch) if batch else []
        if len(scores) != len(batch):
            raise FailedWhileRunning(
                f"reranker {stage.name} answered {len(scores)} queries of {len(batch)}"
            )
        counts = np.array([mask.sum() for mask in chosen], np.int64)
        self._add(TEXTS, shared(clock.seconds[TEXTS], counts, asked))
        self._add(label, shared(clock.seconds[label], counts, asked))
        new = iter([_resorted(label, each, own) for each, own in zip(subsets, scores, strict=True)])
        return [
            _with_rest(label, next(new), head, mask) if ask else _passed_by(label, head)
            for head, mask, ask in zip(heads, chosen, asked, strict=True)
        ]

    def asked(self, number: int) -> list[Candidates]:
        """What rerank stage ``number`` (from 0) was asked to score, query after query; by the
        trail of a run without ``kept``. Queries that pass the stage by are left out."""
        subsets = map(_subset, *self._chosen(number, self.trail[number]))
        return candidates(self._search.passages, [each for each in subsets if len(each)])

    def _chosen(
        self, number: int, rankings: Sequence[Ranking]
    ) -> tuple[list[Ranking], list[NDArray[np.bool_]]]:
        """The best candidates of each query, as many as the stage takes, and whom it scores."""
        stage, leaving = self._search.rerank[number], self._search.exit_before(number)
        heads = [ranking.top(stage.keep) for ranking in rankings]
        if leaving is None:
            return heads, [np.ones(len(head), bool) for head in heads]
        return heads, [leaving.scored(head) for head in heads]

    def _add(self, name: str, time: StageTime) -> None:
        """A stage that runs twice (reading texts) has its times summed."""
        had = self.times.get(name)
        self.times[name] = time if had is None else had + time

    def _key_after(self, stages: int) -> str | None:
        """None where nothing is kept, or something has no fingerprint to be told the same by."""
        if self._kept is None:
            return None
        search = self._search
        done = search.rerank[:stages]
        known = [each.fingerprint for each in done if isinstance(each, Fingerprinted)]
        if not search.origin or len(known) < len(done):
            return None
        first = [_told(each) for each in search.retrievers]
        cold = None if search.cold is None else search.cold.told
        weights = dict(search.weights or {}) if len(first) > 1 else {}
        fused = [search.fuse, weights] if len(first) > 1 else []
        exits = [search.exit_before(number) for number in range(stages)]
        rules = [None if each is None else [each.margin, each.threshold] for each in exits]
        told = [
            [label, stage.keep, fingerprint, repr(rule)]
            for label, stage, fingerprint, rule in zip(
                search.labels, done, known, rules, strict=False
            )
        ]
        return self._key("reranked", [first, cold, fused, told])

    def _key(self, kind: str, told: Any) -> str:
        asked = of_texts(part for query in self._queries for part in (query.id, query.text))
        return of_value([code_version(), kind, self._search.origin, asked, told])

    def _taken_over(self, key: str | None) -> list[Ranking] | None:
        if self._kept is None or key is None:
            return None
        found = self._kept.get(key, self._queries)
        if found is None:
            return None
        rankings, times = found
        for name, time in times.items():
            self._add(name, time)
        return rankings

    def _keep(
        self, key: str | None, rankings: Sequence[Ranking], times: Mapping[str, StageTime]
    ) -> None:
        if self._kept is not None and key is not None:
            self._kept.put(key, rankings, times)


def _told(retriever: FirstStage) -> list[str | int]:
    encoder = getattr(retriever, "encoder", None)
    return [retriever.name, retriever.k, encoder.card.fingerprint if encoder else ""]


def _lengths(rankings: Sequence[Ranking]) -> NDArray[np.int64]:
    return np.array([len(ranking) for ranking in rankings], np.int64)


def _subset(ranking: Ranking, mask: NDArray[np.bool_]) -> Ranking:
    if mask.all():
        return ranking
    stages = {name: scores[mask] for name, scores in ranking.stages.items()}
    return Ranking(ranking.query, ranking.rows[mask], ranking.scores[mask], stages)


def _passed_by(name: str, ranking: Ranking) -> Ranking:
    """Order and scores so far, and no score of this stage."""
    unseen = np.full(len(ranking), np.nan, np.float32)
    return Ranking(ranking.query, ranking.rows, ranking.scores, {**ranking.stages, name: unseen})


def _with_rest(name: str, scored: Ranking, head: Ranking, mask: NDArray[np.bool_]) -> Ranking:
    """The candidates that the stage scored, then the others in the order they had.

    The others' scores say no more than that: they fall in equal steps from the lowest one.
    """
    if mask.all():
        return scored
    rest = _passed_by(name, _subset(head, ~mask))
    lowest = float(scored.scores[-1])
    step = max(1e-3, abs(lowest) * 1e-5)  # wide enough for float32 to tell all apart
    below = (lowest - step * np.arange(1, len(rest) + 1)).astype(np.float32)
    return Ranking(
        head.query,
        np.concatenate([scored.rows, rest.rows]),
        np.concatenate([scored.scores, below]),
        {key: np.concatenate([scored.stages[key], rest.stages[key]]) for key in scored.stages},
    )


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

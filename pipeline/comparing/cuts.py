"""Cut after cut through the pipelines: values for each query, and what a cut's index costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.optional import need
from ...core.protocols import Fingerprinted, Prepared
from ...eval.pruning_curve import Samples
from ...index.lexical import LexicalSettings, check_engine
from ...index.lexical.pruned import PrunedBm25
from ...index.pruned_dense import PrunedDense
from .costs import Cost, CostBench
from .machine import machine
from .pipelines import CASCADE, DENSE, HYBRID, LEXICAL, Answers, Sources
from .remembering import RememberingReranker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ...core.progress import Progress
    from ...core.protocols import Reranker
    from ...core.records import Float64Array
    from .collection import Collection
    from .desk import Desk
    from .measuring import Measures
    from .qualities import Column, Qualities
    from .vectors import Encoding, KnownQueries

RERANKED = 5
"""Queries that a reranker's milliseconds are measured on."""


@dataclass(frozen=True)
class Bench:
    """What was asked for, checked."""

    measures: Measures
    pipelines: Sequence[str]
    qualities: Qualities
    lexical: LexicalSettings
    rerankers: Sequence[Reranker]
    rerank_names: Sequence[str]

    def needs(self, stage: str) -> bool:
        """Whether a pipeline asks this first stage."""
        return bool({stage, HYBRID, CASCADE} & {*self.pipelines})

    def check(self) -> None:
        """MissingDependency for what the work will want hours later."""
        if self.needs(DENSE):
            need("faiss", "dense retrieval")
        if self.needs(LEXICAL):
            check_engine(self.lexical)


class Cuts:
    """Cut after cut through the pipelines; what was measured before is read."""

    def __init__(
        self,
        bench: Bench,
        collection: Collection,
        desk: Desk,
        encoding: Encoding | None,
        asking: KnownQueries | None,
        progress: Progress,
    ) -> None:
        self._bench = bench
        self._collection = collection
        self._desk = desk
        self._encoding = encoding
        self._asking = asking
        self._progress = progress
        self._sources: Sources | None = None
        self._about = {
            "collection": collection.fingerprint,
            "measures": bench.measures.names,
            "depth": bench.measures.depth,
        }
        dense = [] if encoding is None else [encoding.card.fingerprint]
        dense += [] if asking is None else [asking.card.fingerprint]
        words = bench.lexical.to_json()
        self._made_by: dict[str, list[Any]] = {
            DENSE: dense,
            LEXICAL: [words],
            HYBRID: [dense, words],
            CASCADE: [dense, words, list(bench.rerank_names), [*map(_of_files, bench.rerankers)]],
        }

    def samples(
        self, columns: Sequence[Column], shares: Sequence[float]
    ) -> tuple[dict[str, Float64Array], list[Samples]]:
        """The values of each pipeline unpruned, and of each column in each pipeline."""
        whole = np.ones(len(self._collection), np.bool_)
        pipelines = self._bench.pipelines
        found: list[Samples] = []
        with self._progress.stage("prune", 1 + len(columns) * len(shares)) as advance:
            unpruned = self.values(whole)
            advance(1)
            for column in columns:
                masks = [column.kept(share) for share in shares]
                rows = []
                for mask in masks:
                    rows.append(self.values(mask))
                    advance(1)
                counts = [int(np.count_nonzero(mask)) for mask in masks]
                found += [
                    Samples(
                        column.name,
                        column.kind,
                        pipeline,
                        counts,
                        np.stack([row[pipeline] for row in rows]),
                        column.seed,
                    )
                    for pipeline in pipelines
                ]
        return unpruned, found

    def values(self, kept: NDArray[np.bool_]) -> dict[str, Float64Array]:
        """Pipeline -> [measures, queries] in one cut."""
        cut = sha256(np.packbits(kept).tobytes()).hexdigest()
        answers: list[Answers] = []

        def made(pipeline: str) -> Float64Array:
            if not answers:
                answers.append(Answers(self._ready(), kept))
            return self._bench.measures.values(self._collection, answers[0].of(pipeline))

        return {
            name: self._desk.array(
                "values",
                [self._about, name, self._made_by[name], cut],
                partial(made, name),
            )
            for name in self._bench.pipelines
        }

    def costs(self, column: Column, shares: Sequence[float]) -> list[Cost]:
        """Unpruned and at each share of this column; seconds belong to the machine."""
        bench = self._bench
        stand = CostBench(
            self._collection,
            self._encoding if bench.needs(DENSE) else None,
            self._asking,
            bench.lexical if bench.needs(LEXICAL) else None,
            bench.measures,
            self._desk.work,
        )
        found = []
        with self._progress.stage("cost", 1 + len(shares)) as advance:
            for share in (0.0, *shares):
                kept = column.kept(share)
                curve = self.values(kept)
                scoring = None if share == 0 else column.seconds
                made_by = [column.fingerprint, share, self._made_by[HYBRID]]
                key = [self._about, made_by, sorted(curve), machine()]
                make = partial(stand.cost, share, kept, scoring, curve)
                found.append(Cost(**self._desk.value("costs", key, partial(_as_dict, make))))
                advance(1)
        return found

    def rerank_milliseconds(self) -> dict[str, float]:
        """Of each reranker itself, whatever is remembered; nothing where there is no cascade."""
        rerankers = self._bench.rerankers
        if not rerankers:
            return {}
        key = [self._about, self._made_by[CASCADE], machine()]
        whole = np.ones(len(self._collection), np.bool_)
        return self._desk.value(
            "rerank-milliseconds",
            key,
            lambda: Answers(self._ready(), whole).rerank_milliseconds(rerankers, RERANKED),
        )

    def _ready(self) -> Sources:
        """The first stages, made when the first cut is not known yet."""
        if self._sources is None:
            bench, collection = self._bench, self._collection
            self._sources = Sources(
                collection,
                self._dense() if bench.needs(DENSE) else None,
                self._lexical() if bench.needs(LEXICAL) else None,
                [
                    self._remembered(each, named)
                    for each, named in zip(bench.rerankers, bench.rerank_names, strict=True)
                ],
            )
        return self._sources

    def _dense(self) -> PrunedDense:
        assert self._encoding is not None, "needed, so encoded"
        assert self._asking is not None, "needed, so loaded"
        texts = [query.text for query in self._collection.queries]
        return PrunedDense(self._encoding.index(), self._asking.encode_queries(texts))

    def _lexical(self) -> PrunedBm25:
        collection = self._collection
        with self._progress.stage("bm25", len(collection)) as advance:
            texts = (passage.full_text for passage in collection.table.stream())
            return PrunedBm25(self._bench.lexical, texts, collection.queries, progress=advance)

    def _remembered(self, reranker: Reranker, named: str) -> Reranker:
        if not getattr(reranker, "pointwise", False):
            return reranker
        name = named.rpartition(":")[0] or named
        key = [self._collection.corpus, name, reranker.name, _of_files(reranker)]
        return RememberingReranker(reranker, self._desk.folder("pairs", key))


def _of_files(reranker: Reranker) -> str:
    """The fingerprint of its model, which is loaded for it; empty where it has none."""
    if isinstance(reranker, Prepared):
        reranker.prepare()
    return reranker.fingerprint if isinstance(reranker, Fingerprinted) else ""


def _as_dict(make: Callable[[], Cost]) -> dict[str, Any]:
    return asdict(make())

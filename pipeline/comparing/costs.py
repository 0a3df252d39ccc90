"""What an index of the passages kept costs: bytes, seconds to build, milliseconds to ask."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ...core.records import Ranking
from ...core.stopwatch import Stopwatch
from ...index.building.vectors_to_faiss import write_faiss
from ...index.dense import DenseIndex
from ...index.folder import INDEX, LEXICAL
from ...index.lexical import build_lexical, open_lexical
from ...index.passages import NAME as PASSAGES
from ...index.passages import PassageTable, PassageWriter
from ...index.recipes import parse_recipe
from ..opening import FIRST_STAGE
from ..retrievers import DenseRetriever, LexicalRetriever
from ..search import Search
from . import pipelines as names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ...core.protocols import Encoder
    from ...core.records import Float32Array, Float64Array, Query
    from ...index.lexical import LexicalSettings
    from ..retrievers import FirstStage
    from .collection import Collection
    from .measuring import Measures
    from .vectors import Encoding

    Stages: TypeAlias = Mapping[str, FirstStage]

TIMED_QUERIES = 50
"""Asked one at a time for the milliseconds a query ..."""

ROUNDS = 3
"""... so often each."""


@dataclass(frozen=True)
class Cost:
    """Of one cut. ``bytes`` by part: vectors, bm25, texts. ``seconds`` of the build by part: score
    (every passage), encode (those kept), vectors, bm25. ``milliseconds``: the median over queries
    asked one at a time, by pipeline, without the query's encoding and without reranking, which cost
    the same in any cut. ``tokens`` of the kept passages are those that the encoder reads.

    All was measured on an index of the cut, written and opened, but for encode: the tokens kept
    times the seconds that a token took when all passages were encoded. ``checked``: by pipeline,
    the largest difference in any measure of any query between that index and the curve.
    """

    share: float
    passages: int
    tokens: int
    bytes: Mapping[str, int]
    seconds: Mapping[str, float]
    milliseconds: Mapping[str, float]
    checked: Mapping[str, float]


@dataclass(frozen=True)
class CostBench:
    """Builds real indexes of cuts in ``home``, asks them, and throws them away.

    ``encoding`` with ``encoder`` (of queries), and ``settings`` of BM25, are None where no pipeline
    needs them. The cascade is not built: it is the hybrid and rerankers.
    """

    collection: Collection
    encoding: Encoding | None
    encoder: Encoder | None
    settings: LexicalSettings | None
    measures: Measures
    home: Path

    def cost(
        self,
        share: float,
        kept: NDArray[np.bool_],
        scoring: float | None,
        curve: Mapping[str, Float64Array],
    ) -> Cost:
        """``scoring``: seconds that the scores of all passages took. ``curve``: the values of the
        pipelines at this cut, [measures, queries], which the real index is held against."""
        with TemporaryDirectory(dir=self.home, prefix="cost-") as made:
            folder, clock, rows = Path(made), Stopwatch(), np.flatnonzero(kept)
            stages = self._stages(folder, kept, rows, clock)
            searches = {name: _search(name, stages) for name in curve if name in names.MODES}
            asked = self.collection.queries
            values = {
                name: self.measures.values(
                    self.collection, [_in_corpus(each, rows) for each in search.run(asked)]
                )
                for name, search in searches.items()
            }
            tokens = 0 if self.encoding is None else int(self.encoding.tokens[kept].sum())
            each = 0.0 if self.encoding is None else self.encoding.seconds_per_token
            return Cost(
                share=share,
                passages=len(rows),
                tokens=tokens,
                bytes=_bytes(folder),
                seconds={"score": scoring or 0.0, "encode": tokens * each, **clock.seconds},
                milliseconds={name: _timed(search, asked) for name, search in searches.items()},
                checked={name: float(np.abs(values[name] - curve[name]).max()) for name in values},
            )

    def _stages(
        self, folder: Path, kept: NDArray[np.bool_], rows: NDArray[np.int64], clock: Stopwatch
    ) -> dict[str, FirstStage]:
        table = self._table(kept, folder)
        stages: dict[str, FirstStage] = {}
        if self.encoding is not None and self.encoder is not None:
            blocks, dim = [*self._kept_blocks(kept)], self.encoding.card.dim
            with clock.stage("vectors"):
                flat = parse_recipe("flat")
                write_faiss(flat, lambda: iter(blocks), len(rows), dim, folder / INDEX)
            index = DenseIndex.open(folder / INDEX)
            stages[names.DENSE] = DenseRetriever(index, self.encoder, table, FIRST_STAGE)
        if self.settings is not None:
            with clock.stage("bm25"):
                texts = (passage.full_text for passage in table.stream())
                build_lexical(self.settings, texts, folder / LEXICAL)
            words = open_lexical(self.settings, folder / LEXICAL)
            stages[names.LEXICAL] = LexicalRetriever(words, table, FIRST_STAGE)
        return stages

    def _table(self, kept: NDArray[np.bool_], folder: Path) -> PassageTable:
        with PassageWriter(folder) as writer:
            for passage, stays in zip(self.collection.table.stream(), kept, strict=True):
                if stays:
                    writer.add(passage)
        return PassageTable(folder / PASSAGES, writer.batches, writer.rows, None)

    def _kept_blocks(self, kept: NDArray[np.bool_]) -> Iterator[Float32Array]:
        start = 0
        assert self.encoding is not None, "asked for only where passages were encoded"
        for block in self.encoding.blocks():
            yield block[kept[start : start + len(block)]]
            start += len(block)


def _search(pipeline: str, stages: Stages) -> Search:
    if pipeline == names.HYBRID:
        return Search(dense=stages[names.DENSE], lexical=stages[names.LEXICAL])
    if pipeline == names.DENSE:
        return Search(dense=stages[names.DENSE])
    return Search(lexical=stages[names.LEXICAL])


def _timed(search: Search, queries: Sequence[Query]) -> float:
    """The median of milliseconds, one query at a time, as somebody waits for it; of each query the
    best of ``ROUNDS``, so that what else the machine does counts little."""
    best = [float("inf")] * min(TIMED_QUERIES, len(queries))
    for _ in range(ROUNDS):
        for place, query in enumerate(queries[:TIMED_QUERIES]):
            start = time.perf_counter()
            search.run([query])
            best[place] = min(best[place], time.perf_counter() - start)
    return 1e3 * median(best)


def _in_corpus(ranking: Ranking, rows: NDArray[np.int64]) -> Ranking:
    return Ranking(ranking.query, rows[ranking.rows], ranking.scores)


def _bytes(folder: Path) -> dict[str, int]:
    """Of each part that was written."""
    found = {"vectors": 0, "bm25": 0, "texts": 0}
    for path in folder.rglob("*"):
        if path.is_file():
            first = path.relative_to(folder).parts[0]
            part = {INDEX: "vectors", LEXICAL: "bm25"}.get(first, "texts")
            found[part] += path.stat().st_size
    return {part: size for part, size in found.items() if size}

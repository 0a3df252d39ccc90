"""First stages: an encoder with its vectors, and BM25, each with a depth of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..core.errors import BadArguments, Mismatch
from ..core.protocols import Retriever
from ..core.records import Ranking
from ..core.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.protocols import Encoder
    from ..core.records import Query
    from ..index.dense import DenseIndex
    from ..index.lexical import LexicalIndex
    from ..index.passages import Passages


class FirstStage(Retriever, Protocol):
    """A retriever and the passages that its rows are."""

    @property
    def passages(self) -> Passages: ...


@dataclass(frozen=True)
class DenseRetriever:
    """Queries to vectors to the k nearest passages by inner product."""

    index: DenseIndex
    encoder: Encoder
    passages: Passages
    k: int = 1000
    name: str = "dense"

    def __post_init__(self) -> None:
        _check_depth(self.k)
        if self.encoder.card.dim != self.index.dim:
            raise Mismatch(
                f"encoder {self.encoder.card.name} gives {self.encoder.card.dim} dimensions, "
                f"the index holds vectors of {self.index.dim}: name the encoder that built it"
            )

    def retrieve(self, queries: Sequence[Query], clock: Stopwatch | None = None) -> list[Ranking]:
        clock = clock or Stopwatch()
        with clock.stage("encode"):
            vectors = self.encoder.encode_queries([query.text for query in queries])
        with clock.stage(self.name):
            found = self.index.search(vectors, self.k)
        return [Ranking(query, *best) for query, best in zip(queries, found, strict=True)]


@dataclass(frozen=True)
class LexicalRetriever:
    """Queries to the k passages that BM25 scores highest, none that shares no term."""

    index: LexicalIndex
    passages: Passages
    k: int = 1000
    name: str = "lexical"

    def __post_init__(self) -> None:
        _check_depth(self.k)

    def retrieve(self, queries: Sequence[Query], clock: Stopwatch | None = None) -> list[Ranking]:
        with (clock or Stopwatch()).stage(self.name):
            return self.index.retrieve(queries, self.k)


def _check_depth(k: int) -> None:
    if k < 1:
        raise BadArguments(f"k is {k}; ask for at least one passage")

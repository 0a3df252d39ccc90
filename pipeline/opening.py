"""Open an index folder together with the encoder that may search it."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..core.errors import BadArguments, Mismatch
from ..core.records import Query
from ..index.folder import IndexFolder
from .components import encoder as load_encoder
from .retrievers import DenseRetriever, LexicalRetriever
from .search import Search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.protocols import Encoder, EncoderCard, Reranker
    from ..core.records import Hit
    from ..index.passages import Passages

Mode: TypeAlias = Literal["dense", "lexical", "hybrid"]
FIRST_STAGE = 1000
"""Depth of each retriever when their rankings are fused: the field's usual first stage."""


def open_index(
    folder: Path | str,
    *,
    encoder: str | Encoder | None = None,
    query_encoder: str | None = None,
    device: str = "cpu",
) -> Index:
    """An index folder, ready to search. Nothing is loaded before it is needed.

    ``encoder`` is, or names, the encoder of a foreign (Pyserini) index; for one of ours it must
    be the one that built it. ``query_encoder`` encodes queries instead, and must share the index's
    space. Raises MissingResource, CorruptFile, and, at the first dense search, Mismatch.
    """
    opened = IndexFolder(Path(folder), device=device, foreign=encoder is not None)
    return Index(opened, encoder, query_encoder, device)


class Index:
    """An index in use: ``search`` a question, or take ``dense`` and ``lexical`` to a ``Search``."""

    def __init__(
        self,
        folder: IndexFolder,
        encoder: str | Encoder | None,
        query_encoder: str | None,
        device: str,
    ) -> None:
        self.folder = folder
        self._named = encoder
        self._query_encoder = query_encoder
        self._device = device

    def __len__(self) -> int:
        return len(self.folder)

    @property
    def passages(self) -> Passages:
        return self.folder.passages

    @cached_property
    def encoder(self) -> Encoder:
        """The query encoder, loaded and compared with what the manifest says."""
        manifest = self.folder.manifest
        named = self._named
        if isinstance(named, str):
            named = load_encoder(named, device=self._device)
        if named is not None:
            if manifest is not None:
                self._same(named.card, manifest.passage_encoder)
            if manifest is None or self._query_encoder is None:
                return named
        assert manifest is not None, "a folder without a manifest opens with an encoder only"
        name = self._query_encoder or manifest.query_encoder.name
        loaded = load_encoder(name, device=self._device)
        if self._query_encoder is None:
            self._same(loaded.card, manifest.query_encoder)
        elif loaded.card.space != manifest.space:
            raise Mismatch(
                f"{self.folder.path} holds vectors of {manifest.passage_encoder.name} (space "
                f"{manifest.space[:12]}…), query encoder {name} lives in another space "
                f"({loaded.card.space[:12]}…): their products mean nothing"
            )
        return loaded

    def _same(self, found: EncoderCard, expected: EncoderCard) -> None:
        if found.fingerprint != expected.fingerprint:
            raise Mismatch(
                f"{self.folder.path} was built with encoder {expected.name} "
                f"({expected.fingerprint[:12]}…, {expected.dim} dimensions), not with {found.name} "
                f"({found.fingerprint[:12]}…, {found.dim} dimensions): search with --encoder "
                f"{expected.name}, or rebuild"
            )

    def dense(self, k: int = FIRST_STAGE) -> DenseRetriever:
        return DenseRetriever(self.folder.dense, self.encoder, self.passages, k)

    def lexical(self, k: int = FIRST_STAGE) -> LexicalRetriever:
        return LexicalRetriever(self.folder.lexical, self.passages, k)

    def searcher(
        self,
        k: int,
        *,
        mode: Mode = "dense",
        fuse: str = "rrf",
        weights: dict[str, float] | None = None,
        rerank: Sequence[Reranker] = (),
    ) -> Search:
        """The search that the command line runs: k answers, retrieved as deep as is needed."""
        if mode not in ("dense", "lexical", "hybrid"):
            raise BadArguments(f"no mode is called {mode!r}; known: dense, lexical, hybrid")
        depth = max([k if mode != "hybrid" else FIRST_STAGE, k, *(stage.keep for stage in rerank)])
        search = Search(
            dense=self.dense(depth) if mode != "lexical" else None,
            lexical=self.lexical(depth) if mode != "dense" else None,
            fuse=fuse,
            weights=weights,
            rerank=rerank,
        )
        return replace(search, k=k)

    def search(
        self,
        question: str,
        k: int = 10,
        *,
        mode: Mode = "dense",
        fuse: str = "rrf",
        rerank: Sequence[Reranker] = (),
    ) -> list[Hit]:
        """The k best passages for one question, best first, with their texts."""
        search = self.searcher(k, mode=mode, fuse=fuse, rerank=rerank)
        return search.run([Query("1", question)]).hits(0)

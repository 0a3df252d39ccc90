"""Open an index folder together with the encoder that may search it."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..core.errors import (
    BadArguments,
    Mismatch,
    MissingDependency,
    MissingResource,
    UnknownComponent,
)
from ..core.records import Query
from ..encoders.recurrent.kinds import load_encoder as load_folder
from ..index.folder import IndexFolder
from ..index.tiers import TieredPassages
from ..rerank.maxsim import MaxsimReranker
from .asymmetric import OWN, check_they_meet
from .cold.tier import cold_tier
from .components import query_encoder as load_encoder
from .retrievers import DenseRetriever, LexicalRetriever
from .search import Search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.manifest import Manifest
    from ..core.protocols import Encoder, EncoderCard, Reranker
    from ..core.records import Float32Array, Hit, Int64Array
    from ..index.passages import Passages
    from .cold.tier import ColdTier

log = logging.getLogger(__name__)
Mode: TypeAlias = Literal["dense", "lexical", "hybrid"]
When: TypeAlias = Literal["auto", "always", "never"]
FIRST_STAGE = 1000
"""Depth of each retriever when their rankings are fused: the field's usual first stage."""


def open_index(
    folder: Path | str,
    *,
    encoder: str | Encoder | None = None,
    query_encoder: str | Encoder | None = None,
    device: str = "cpu",
) -> Index:
    """An index folder, ready to search. Nothing is loaded before it is needed.

    ``encoder`` is, or names, the encoder of a foreign (Pyserini) index; for one of ours it must
    be the one that built it. Queries are encoded by ``query_encoder``, which must share the
    index's space ("own" is the encoder of its passages), or else by the one on its manifest.
    Raises MissingResource, CorruptFile, and, at the first dense search, Mismatch.
    """
    opened = IndexFolder(Path(folder), device=device, foreign=encoder is not None)
    return Index(opened, encoder, query_encoder, device)


class Index:
    """An index in use: ``search`` a question, or take ``dense`` and ``lexical`` to a ``Search``."""

    def __init__(
        self,
        folder: IndexFolder,
        encoder: str | Encoder | None,
        query_encoder: str | Encoder | None,
        device: str,
    ) -> None:
        self.folder = folder
        self._named = encoder
        self._query_encoder = query_encoder
        self._device = device

    def __len__(self) -> int:
        """Rows of the hot tier, which is the whole index where there is no other."""
        return len(self.folder)

    @cached_property
    def passages(self) -> Passages:
        """Row to passage; rows from ``len(index)`` on are those of the cold tier."""
        cold = self.folder.cold
        return self.folder.passages if cold is None else TieredPassages(self.folder.passages, cold)

    @property
    def fingerprint(self) -> str:
        """Of passages, vectors and recipes; empty for a foreign index, which promises nothing."""
        return self.folder.manifest.fingerprint if self.folder.manifest else ""

    @cached_property
    def encoder(self) -> Encoder:
        """The query encoder, loaded and compared with what the manifest says."""
        manifest, asked = self.folder.manifest, self._query_encoder
        if manifest is None or self._named is not None:
            passages = (
                self.passage_encoder.card
            )  # whoever is named is compared, though another may ask
        else:
            passages = manifest.passage_encoder
        if asked == OWN or (asked is None and manifest is None):
            return self.passage_encoder
        if asked is None:
            assert manifest is not None, "the case above"
            return self._recorded(manifest)
        loaded = load_encoder(asked, device=self._device) if isinstance(asked, str) else asked
        check_they_meet(loaded.card, passages, str(self.folder.path))
        return loaded

    @cached_property
    def passage_encoder(self) -> Encoder:
        """What the manifest says, loaded and compared with it; of an adapted index, its own."""
        manifest, named = self.folder.manifest, self._named
        if manifest is None:
            assert named is not None, "a folder without a manifest opens with an encoder only"
            return load_encoder(named, device=self._device) if isinstance(named, str) else named
        expected = manifest.passage_encoder
        named = named or expected.name
        if named == expected.name and self.folder.adapted_encoder is not None:
            named = load_folder(self.folder.adapted_encoder, device=self._device, name=named)
        elif isinstance(named, str):
            named = load_encoder(named, device=self._device)
        self._same(named.card, expected)
        return named

    def _recorded(self, manifest: Manifest) -> Encoder:
        """The query encoder on the manifest; every failure names the way around it."""
        expected, passages = manifest.query_encoder, manifest.passage_encoder
        if expected.fingerprint == passages.fingerprint:
            return self.passage_encoder
        way_out = f"search with --query-encoder {OWN}, which is {passages.name}"
        try:
            found = load_encoder(expected.name, device=self._device)
        except (MissingDependency, MissingResource, UnknownComponent) as failure:
            raise type(failure)(
                f"{self.folder.path} has its queries encoded by {expected.name}; {failure}; "
                f"or {way_out}"
            ) from failure
        if found.card.fingerprint != expected.fingerprint:
            raise Mismatch(
                f"{self.folder.path} was built for queries of {expected.name} "
                f"({expected.fingerprint[:12]}…); {found.card.name} is another encoder now "
                f"({found.card.fingerprint[:12]}…): {way_out}, or rebuild"
            )
        return found

    def _same(self, found: EncoderCard, expected: EncoderCard) -> None:
        if found.fingerprint != expected.fingerprint:
            adapted = self.folder.adapted_encoder is not None
            raise Mismatch(
                f"{self.folder.path} was built with encoder {expected.name} "
                f"({expected.fingerprint[:12]}…, {expected.dim} dimensions"
                f"{', adapted to its corpus' if adapted else ''}), not with {found.name} "
                f"({found.fingerprint[:12]}…, {found.dim} dimensions): "
                f"{'leave --encoder out' if adapted else f'search with --encoder {expected.name}'}"
                f", or rebuild"
            )

    def dense(self, k: int = FIRST_STAGE) -> DenseRetriever:
        """The hot tier's vectors; ``cold`` gives what lies below."""
        encoder = self.encoder  # a wrong one is told before a large index is read
        return DenseRetriever(self.folder.dense, encoder, self.passages, k)

    def lexical(self, k: int = FIRST_STAGE) -> LexicalRetriever:
        return LexicalRetriever(self.folder.lexical, self.passages, k)

    def lending(self, reranker: Reranker) -> Reranker:
        """The same reranker, taking vectors of passages from here if it reads such vectors.

        A hypencoder of this index's passage encoder does, and maxsim with that encoder where the
        index keeps token vectors; which of the two ways it goes is logged. What the cold tier holds
        is encoded when it is asked for: for a hypencoder with all the candidates beside it.
        """
        manifest = self.folder.manifest
        reads = getattr(reranker, "reads", None)
        if manifest is None or reads is None:
            return reranker
        if isinstance(reranker, MaxsimReranker):
            return self._lending_tokens(reranker, manifest)
        if reads != manifest.passage_encoder.fingerprint:
            return reranker
        from ..rerank.hypencoder.reranker import HypencoderReranker

        return (
            reranker.over(self._vectors) if isinstance(reranker, HypencoderReranker) else reranker
        )

    def _lending_tokens(self, reranker: MaxsimReranker, manifest: Manifest) -> MaxsimReranker:
        tokens, encoder = self.folder.tokens, manifest.passage_encoder
        if tokens is None:
            return reranker
        if reranker.reads == encoder.fingerprint:
            lent = reranker.over(tokens)
            log.info("%s takes its vectors from %s", lent.name, self.folder.path)
            return lent
        adapted = self.folder.adapted_encoder
        log.warning(
            "%s encodes its candidates when they are asked for: the token vectors in %s are by "
            "another encoder, which is maxsim=%s",
            reranker.name,
            self.folder.path,
            encoder.name if adapted is None else adapted,
        )
        return reranker

    def _vectors(self, rows: Int64Array) -> Float32Array | None:
        """Of the hot tier's rows, as it stores them; None when one is not among them."""
        return self.folder.dense.reconstruct(rows) if (rows < len(self)).all() else None

    def cold(self, when: When = "auto") -> ColdTier | None:
        """The cold tier for a ``Search``; None for "never", and for "auto" where there is none.

        "auto": for queries whose hot answer looks unsure; "always": for all, which is the answer of
        the unpruned collection. Raises BadArguments for "always" where there is none.
        """
        return cold_tier(self.folder, when)

    def searcher(
        self,
        k: int,
        *,
        mode: Mode = "dense",
        fuse: str = "rrf",
        weights: dict[str, float] | None = None,
        rerank: Sequence[Reranker] = (),
        cold: When = "auto",
    ) -> Search:
        """The search that the command line runs: k answers, retrieved as deep as is needed.

        ``cold`` says when the cold tier is searched, where the index has one.
        """
        if mode not in ("dense", "lexical", "hybrid"):
            raise BadArguments(f"no mode is called {mode!r}; known: dense, lexical, hybrid")
        tier = self.cold(cold)
        depth = max([k if mode != "hybrid" else FIRST_STAGE, k, *(stage.keep for stage in rerank)])
        search = Search(
            dense=self.dense(depth) if mode != "lexical" else None,
            lexical=self.lexical(depth) if mode != "dense" else None,
            fuse=fuse,
            weights=weights,
            rerank=[self.lending(stage) for stage in rerank],
            cold=tier,
            origin=self.fingerprint,
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
        cold: When = "auto",
    ) -> list[Hit]:
        """The k best passages for one question, best first, with their texts."""
        search = self.searcher(k, mode=mode, fuse=fuse, rerank=rerank, cold=cold)
        return search.run([Query("1", question)]).hits(0)

"""An index folder, opened: every part is verified before it is used, and loaded at first use."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import BadArguments, CorruptFile, Mismatch, MissingResource, TamisError
from ..core.manifest import NAME as MANIFEST
from ..core.manifest import Manifest, read_manifest
from .cold_sketch import VECTORS as SKETCH_VECTORS
from .cold_sketch import ColdSketch
from .dense import DenseIndex
from .lexical import LexicalSettings, open_lexical
from .passages import DOCID, DocidFile, PassageTable
from .passages import NAME as PASSAGES
from .token_vectors import StoredTokens
from .verification import VerifiedFiles
from .word_counts import NAME as WORDS
from .word_counts import StoredWordCounts

if TYPE_CHECKING:
    from pathlib import Path

    from .lexical import LexicalIndex
    from .passages import Passages

log = logging.getLogger(__name__)
INDEX = "index"
LEXICAL = "lexical"
QUALITY = "quality.npy"
"""float32, one a row: what a pruned index's passages scored."""
CORPUS_QUALITY = "quality.corpus.npy"
"""float32, one for every passage of the corpus, pruned or not."""
CORPUS_ROW = "corpus_row.npy"
"""int64, rising: the row of the corpus that each row of a pruned index is."""
NEAR_DUPLICATES = "near_duplicates.npy"
"""int64, one for every passage of the corpus: the corpus row that it nearly repeats, or its own."""
COLD = "cold"
"""An index folder of its own: the passages that were pruned from the one it lies in."""
ENCODER = "encoder"
"""A model folder of ours: the passages' encoder, adapted to their corpus."""


class IndexFolder:
    """The parts of an index: ``manifest``, ``dense``, ``lexical``, ``passages``.

    A folder with ``index`` and ``docid`` but no ``tamis.json`` is a foreign one, as Pyserini
    writes it: dense only, ids without texts, ``manifest`` None. Raises MissingResource when the
    folder is no index, CorruptFile when its manifest is damaged.
    """

    def __init__(self, path: Path, *, device: str = "cpu", foreign: bool = False) -> None:
        self.path = path
        self._device = device
        self.manifest: Manifest | None = None
        if (path / MANIFEST).is_file():
            self.manifest = read_manifest(path)
            self._files = VerifiedFiles(path, self.manifest.files)
        elif not foreign or not self._looks_foreign():
            raise MissingResource(self._why_not())
        else:
            log.warning("%s has no %s: dense only, no texts, nothing verified", path, MANIFEST)

    def _looks_foreign(self) -> bool:
        """Pyserini writes two files; where a passage table lies, a manifest of ours is missing."""
        two = (self.path / INDEX).is_file() and (self.path / DOCID).is_file()
        return two and not (self.path / PASSAGES).exists()

    def _why_not(self) -> str:
        if not self.path.exists():
            building = self.path.with_name(f"{self.path.name}.building")
            hint = f"; a build lies unfinished in {building}" if building.is_dir() else ""
            return f"{self.path} does not exist{hint}: run tamis build"
        if (self.path / INDEX).is_file() and (self.path / DOCID).is_file():
            return (
                f"{self.path / MANIFEST} is missing: restore it, or, if Pyserini wrote this index, "
                f"name its encoder with --encoder"
            )
        return f"{self.path} holds no {MANIFEST}: it is no finished index; run tamis build"

    @cached_property
    def dense(self) -> DenseIndex:
        """The FAISS index; Mismatch when it does not fit the manifest."""
        if self.manifest is None:
            return DenseIndex.open(self.path / INDEX, device=self._device)
        index = DenseIndex.open(
            self._files.whole(INDEX), device=self._device, parameters=self.manifest.ann["recipe"]
        )
        rows, dim = self.manifest.counts["indexed"], self.manifest.passage_encoder.dim
        if (len(index), index.dim) != (rows, dim):
            raise Mismatch(
                f"{self.path / INDEX} holds {len(index):,} vectors of {index.dim} dimensions, "
                f"the manifest promises {rows:,} of {dim}"
            )
        return index

    @cached_property
    def lexical(self) -> LexicalIndex:
        """The BM25 index; BadArguments when there is none."""
        settings = self.manifest.lexical if self.manifest else None
        if settings is None:
            raise BadArguments(
                f"{self.path} has no BM25 index: search it with --mode dense, "
                f"or rebuild with --lexical bm25s"
            )
        for name in self._files.names(f"{LEXICAL}/"):
            self._files.whole(name)
        return open_lexical(LexicalSettings.from_json(settings), self.path / LEXICAL)

    @cached_property
    def adapted_encoder(self) -> Path | None:
        """The folder of the encoder adapted to this corpus, verified; None when there is none."""
        names = self._files.names(f"{ENCODER}/") if self.manifest else []
        for name in names:
            self._files.whole(name)
        return self.path / ENCODER if names else None

    @cached_property
    def cold(self) -> IndexFolder | None:
        """The index of the pruned passages, its manifest verified; None when there is none."""
        if self.manifest is None or self.manifest.cold is None:
            return None
        self._files.whole(f"{COLD}/{MANIFEST}")
        cold = IndexFolder(self.path / COLD, device=self._device)
        if len(cold) != self.manifest.cold["passages"]:
            raise Mismatch(
                f"{cold.path} holds {len(cold):,} passages, the manifest of {self.path} promises "
                f"{self.manifest.cold['passages']:,}: rebuild the index"
            )
        return cold

    @cached_property
    def sketch(self) -> ColdSketch | None:
        """What this tier knows of the cold one; None where there is none, or an older tamis built
        it. Each part is verified when it is first asked."""
        if self.manifest is None or SKETCH_VECTORS not in self._files:
            return None
        return ColdSketch(self._files.whole)

    @cached_property
    def passages(self) -> Passages:
        """Rows to ids and texts; of a foreign index, to ids alone."""
        if self.manifest is None:
            return DocidFile(self.path / DOCID, len(self.dense))
        return PassageTable(
            self._files.sized(PASSAGES),
            self.manifest.passage_batches,
            self.manifest.counts["indexed"],
            self._files,
            terms=self.words,
            scores=lambda: self._quality,
        )

    @cached_property
    def words(self) -> StoredWordCounts | None:
        """How often each term stands in the collection; None in an index from before they were
        counted, or without BM25. Verified and mapped when they are first asked for."""
        if self.manifest is None or WORDS not in self._files:
            return None
        return StoredWordCounts(lambda: self._files.whole(WORDS))

    @cached_property
    def tokens(self) -> StoredTokens | None:
        """Token vectors of every row, by the passages' encoder; None where none are kept."""
        if self.manifest is None or self.manifest.tokens is None:
            return None
        return StoredTokens(self._files, len(self), self.manifest.tokens)

    @cached_property
    def _quality(self) -> Any | None:
        return self.numbers(QUALITY)

    def numbers(self, name: str) -> Any | None:
        """One of the arrays named above, verified; None where nothing was scored."""
        if self.manifest is None or name not in self._files:
            return None
        return np.load(self._files.whole(name), allow_pickle=False)

    def __len__(self) -> int:
        return self.manifest.counts["indexed"] if self.manifest else len(self.dense)

    def verify_all(self) -> dict[str, Exception]:
        """Every file that is not as the manifest says -> what is wrong with it."""
        wrong: dict[str, Exception] = {}
        if self.manifest is None:
            return wrong
        if (self.path / MANIFEST).read_bytes() != self.manifest.text().encode("utf-8"):
            wrong[MANIFEST] = CorruptFile(f"{self.path / MANIFEST} was written by another program")
        for name in self._files.names():
            try:
                self._files.part(name, 0, self.manifest.files[name].bytes)
            except TamisError as failure:
                wrong[name] = failure
        return wrong

    def describe(self) -> dict[str, Any]:
        """The manifest without its hashes, for people and programs."""
        if self.manifest is None:
            return {"foreign": True, "vectors": len(self.dense), "dim": self.dense.dim}
        body = self.manifest.to_json()
        body["bytes"] = {name: record.bytes for name, record in self.manifest.files.items()}
        body["fingerprint"] = self.manifest.fingerprint
        for bulky in ("files", "passage_batches", "sha256"):
            del body[bulky]
        return body

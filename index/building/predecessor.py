"""A finished index that is to be replaced: what it knows of the corpus is not computed again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import TamisError
from ...core.fingerprints import of_texts
from ..folder import CORPUS_QUALITY, CORPUS_ROW, NEAR_DUPLICATES, IndexFolder

if TYPE_CHECKING:
    from pathlib import Path

    from ...core.manifest import Manifest
    from ...core.protocols import EncoderCard, QualityCard
    from ...core.records import Float32Array, Int64Array
    from ..dense import DenseIndex
    from .shards import Known

log = logging.getLogger(__name__)


class Predecessor:
    """An index over the same passages, in the same order, of which it may hold a part.

    Everything is verified against its manifest before it is taken; what is damaged or does not
    fit is None, and computed anew.
    """

    def __init__(self, folder: IndexFolder, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest

    @classmethod
    def find(cls, goal: Path, corpus: str, rows: int) -> Predecessor | None:
        """The index at ``goal``, if it was built over these ``rows`` passages.

        ``corpus`` is the fingerprint of their texts, in order.
        """
        try:
            folder = IndexFolder(goal)
            manifest = folder.manifest
            if manifest is None:
                return None
            told = manifest.pruning or manifest.near_duplicates
            if told is not None:
                same = told["corpus"] == corpus
            elif same := len(folder) == rows:
                passages = folder.passages
                pieces = np.array_split(np.arange(rows), -(-rows // 4096))
                same = corpus == of_texts(p.full_text for r in pieces for p in passages.passages(r))
        except TamisError:
            return None
        return cls(folder, manifest) if same else None

    def repeats(self, made_from: str) -> Int64Array | None:
        """The corpus row that each passage nearly repeats, if they were found in the same way."""
        told = self._manifest.near_duplicates
        if told is None or told["made_from"] != made_from:
            return None
        return self._numbers(NEAR_DUPLICATES, "near-duplicates are looked for again")

    def scores(self, card: QualityCard, rows: Int64Array) -> Float32Array | None:
        """Of these rows of the corpus, if the same model gave them and scored each itself."""
        pruning = self._manifest.pruning
        if pruning is None or pruning["model"]["fingerprint"] != card.fingerprint:
            return None
        found = self._numbers(CORPUS_QUALITY, again := "the passages are scored again")
        if found is None:
            return None
        if self._manifest.near_duplicates is not None:
            repeats = self._numbers(NEAR_DUPLICATES, again)
            if repeats is None or (repeats[rows] != rows).any():
                return None  # the score of a near-duplicate is that of what it repeats
        return np.asarray(found[rows], np.float32)

    def _numbers(self, name: str, again: str) -> Any | None:
        """One array of a number a passage of the corpus; None where it is damaged or not there."""
        try:
            return self._folder.numbers(name)
        except TamisError as failure:
            log.warning("%s; %s", failure, again)
            return None

    def vectors(self, card: EncoderCard, rows: Int64Array) -> Known | None:
        """What an exact index of the same encoder holds of these rows of the corpus, rising.

        The answer is a function of (start, end), places in ``rows``: which of them are known,
        counted from start, and their vectors.
        """
        made_by = self._manifest.passage_encoder
        kind = self._manifest.ann["recipe"]["kind"]
        if kind != "flat" or (made_by.fingerprint, made_by.dim) != (card.fingerprint, card.dim):
            return None
        tiers = [held for cold in (False, True) if (held := self._tier(cold)) is not None]
        if not tiers:
            return None

        def known(start: int, end: int) -> tuple[Int64Array, Float32Array]:
            places, vectors = [], []
            for held, dense in tiers:  # no row lies in both
                _, here, there = np.intersect1d(
                    rows[start:end], held, assume_unique=True, return_indices=True
                )
                places.append(here)
                vectors.append(dense.reconstruct(there))
            return np.concatenate(places), np.concatenate(vectors)

        return known

    def _tier(self, cold: bool) -> tuple[Int64Array, DenseIndex] | None:
        """The corpus rows of one tier and its vectors; None where it is absent or damaged."""
        try:
            folder = self._folder.cold if cold else self._folder
            if folder is None:
                return None
            dense, held = folder.dense, folder.numbers(CORPUS_ROW)
        except TamisError as failure:
            log.warning("%s; the passages are encoded again", failure)
            return None
        return (np.arange(len(dense)) if held is None else held), dense

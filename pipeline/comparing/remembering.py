"""A reranker asked about the same pairs in one cut after another, which scores each pair once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from ...core.durable import replacing
from ...core.protocols import Candidates
from ...core.records import Ranking

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ...core.protocols import Reranker
    from ...core.records import Float32Array


class RememberingReranker:
    """The same scores as ``reranker``, kept in ``folder``, a file for each call that adds some.

    For a reranker that says ``pointwise``: a candidate's score depends on its query and its text
    alone, so it is the same in every cut. Rows must be those of one corpus, and ``folder`` must
    belong to the reranker and the corpus.
    """

    def __init__(self, reranker: Reranker, folder: Path) -> None:
        self._reranker = reranker
        self._folder = folder
        self.name = reranker.name
        self.keep = reranker.keep
        self._scores: dict[str, dict[int, float]] = {}
        for path in sorted(folder.glob("*.json")):
            self._add(json.loads(path.read_bytes()))

    def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        """See ``Reranker.score``."""
        asked = [self._missing(candidates) for candidates in batch]
        asked = [candidates for candidates in asked if len(candidates.passages)]
        if asked:
            fresh: dict[str, list[tuple[int, float]]] = {}
            for candidates, scores in zip(asked, self._reranker.score(asked), strict=True):
                pairs = zip(candidates.ranking.rows.tolist(), scores.tolist(), strict=True)
                fresh.setdefault(candidates.ranking.query.text, []).extend(pairs)
            with replacing(self._folder / f"{len(list(self._folder.glob('*.json'))):05}.json") as f:
                json.dump(fresh, f)
            self._add(fresh)
        return [self._known(candidates) for candidates in batch]

    def _known(self, candidates: Candidates) -> Float32Array:
        known = self._scores.get(candidates.ranking.query.text, {})
        rows = candidates.ranking.rows.tolist()
        return np.array([known[row] for row in rows], np.float32)

    def _missing(self, candidates: Candidates) -> Candidates:
        """The candidates that were not scored yet."""
        ranking = candidates.ranking
        known = self._scores.get(ranking.query.text, {})
        places = [n for n, row in enumerate(ranking.rows.tolist()) if row not in known]
        stages = {name: scores[places] for name, scores in ranking.stages.items()}
        cut = Ranking(ranking.query, ranking.rows[places], ranking.scores[places], stages)
        quality = None if candidates.quality is None else candidates.quality[places]
        passages = [candidates.passages[place] for place in places]
        return Candidates(cut, passages, candidates.terms, quality)

    def _add(self, scores: dict[str, list[tuple[int, float]]]) -> None:
        for text, pairs in scores.items():
            self._scores.setdefault(text, {}).update(dict(pairs))

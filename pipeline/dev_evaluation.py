"""A collection to watch while an encoder learns: exact dense search, one measure."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.corpus import open_corpus
from ..core.corpus.flaws import Flaw
from ..core.errors import BadArguments, MissingResource
from ..core.qrels import read_qrels
from ..core.queries import read_queries
from ..core.topk import best_first
from ..eval.comparison import evaluate_named
from ..eval.measures import parse_measure

if TYPE_CHECKING:
    from ..core.protocols import Encoder
    from ..core.records import Float32Array, Judgments
    from ..encoders.training.spec import EvaluationSpec, TrainingSpec

_DEPTH = 100


class DevCollection:
    """A BEIR folder with the judgments of one split. MissingResource, BadData or BadArguments
    when it is not what the spec says; passages are read at the first value."""

    def __init__(self, described: EvaluationSpec, spec: TrainingSpec) -> None:
        folder = spec.path(described.collection)
        judgments = folder / "qrels" / f"{described.split}.tsv"
        if not judgments.is_file():
            found = ", ".join(sorted(each.stem for each in folder.glob("qrels/*.tsv"))) or "none"
            raise MissingResource(
                f"{spec.source} [[evaluate]]: {judgments} does not exist; splits there: {found}"
            )
        self._folder, self._measure = folder, str(parse_measure(described.measure))
        self.name = f"{folder.name} {described.split} {self._measure}"
        read = read_qrels(judgments).judgments
        self._judgments: Judgments = {
            query: grades for query, grades in read.items() if any(g > 0 for g in grades.values())
        }
        if not self._judgments:
            raise BadArguments(f"{spec.source} [[evaluate]]: {judgments} has no positive judgment")

    def value(self, encoder: Encoder) -> float:
        """The mean of the measure over the queries that have a relevant passage."""
        ids, texts = self._passages
        queries = self._queries
        vectors = encoder.encode(texts, "passage").vectors
        asked = encoder.encode([text for _, text in queries], "query").vectors
        run = {
            query: _best(vectors @ vector, ids)
            for (query, _), vector in zip(queries, asked, strict=True)
        }
        found = evaluate_named(self.name, run, self._judgments, [self._measure], "trec", False)
        return found.value(self._measure)

    @cached_property
    def _passages(self) -> tuple[list[str], list[str]]:
        passages = [item for item in open_corpus(self._folder) if not isinstance(item, Flaw)]
        return [each.id for each in passages], [each.full_text for each in passages]

    @cached_property
    def _queries(self) -> list[tuple[str, str]]:
        path = next(p for p in sorted(Path(self._folder).glob("queries.jsonl*")))
        return [(q.id, q.text) for q in read_queries(path) if q.id in self._judgments]


def _best(scores: Float32Array, ids: list[str]) -> dict[str, float]:
    depth = min(_DEPTH, len(scores))
    rows = np.argpartition(-scores, depth - 1)[:depth].astype(np.int64)
    rows, best = best_first(rows, scores[rows])
    return {ids[row]: score for row, score in zip(rows.tolist(), best.tolist(), strict=True)}

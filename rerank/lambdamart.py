"""LambdaMART: a small forest of trees over features of query, passage and earlier stages.

Burges, "From RankNet to LambdaRank to LambdaMART" (MSR-TR-2010-82), by LightGBM.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from threading import local
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import CorruptFile, MissingResource
from ..core.fingerprints import of_file
from ..core.optional import need
from ..core.protocols import Contribution, Explanation
from .features import feature_names, features, stages_in
from .forest_file import features_named, read_forest
from .terms import Terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.protocols import Candidates
    from ..core.records import Float32Array, Float64Array

PACKAGED = Path(__file__).parent / "models" / "lambdamart.txt"
SHA256 = "0050140cf559780ca94d56dc6e46170d4541ac3c50778197f7d6dbeaf04267e4"
"""Of the packaged model; its data and figures are in the card beside it."""

_TIES = 1e-3
_ORDER = "order_so_far"
_ORDER_MEANS = "equal predictions keep the order so far: at most 0.001 less for the last candidate"


class LambdamartReranker:
    """Scores candidates by trees that were trained on hybrid (dense and BM25) candidates.

    ``model`` is a file in LightGBM's text format, trained on exactly the features of
    ``features.py`` (see ``training/lambdamart.py``), those of earlier rerankers included if its
    names say so; None takes the packaged one. Equal predictions, common with small trees, keep the
    order of the ranking so far.

    Raises MissingDependency without the extra ``ltr``; MissingResource, BadData, Mismatch (other
    features), CorruptFile (the packaged model is not the one that the project measured).
    """

    def __init__(
        self, *, model: str | Path | None = None, keep: int = 100, device: str = "cpu"
    ) -> None:
        del device  # trees of this size belong on the CPU, wherever the other stages run
        self.name = "lambdamart"
        self.keep = keep
        self._path = PACKAGED if model is None else Path(model)
        self._booster = _load(self._path, packaged=model is None)
        self.stages = tuple(stages_in(self._booster.feature_name()))
        self._threads = local()

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the model file."""
        return of_file(self._path)

    def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        """Predictions, one array a query; each depends on the query, its candidates and their
        index alone."""
        tables = [features(each, self._terms, self.stages) for each in batch]
        lengths = [len(table) for table in tables]
        if not sum(lengths):
            return [np.empty(0, np.float32) for _ in batch]
        predicted = _predicted(self._booster, np.concatenate(tables))
        each = np.split(predicted, np.cumsum(lengths)[:-1])
        return [_settled(*both) for both in zip(each, tables, strict=True)]

    def explain(self, candidates: Candidates) -> list[Explanation]:
        """What each feature adds, by LightGBM's tree SHAP values (Lundberg and others, 2018)."""
        table = features(candidates, self._terms, self.stages)
        if not len(table):
            return []
        amounts = _predicted(self._booster, table, pred_contrib=True)
        scores = forest_scores(self._booster, table)
        return [
            self._explanation(*each)
            for each in zip(scores, table, amounts, _later(table), strict=True)
        ]

    def _explanation(
        self, score: float, row: Float32Array, amounts: Float64Array, later: float
    ) -> Explanation:
        """``amounts`` are those of the features, then the base."""
        named = feature_names(self.stages).items()
        parts = [
            Contribution(name, meaning, float(value), float(amount))
            for (name, meaning), value, amount in zip(named, row, amounts[:-1], strict=True)
        ]
        rank = float(np.round(1 / row[_place("reciprocal_rank")]))
        parts.append(Contribution(_ORDER, _ORDER_MEANS, rank, -float(later)))
        parts.sort(key=lambda part: -abs(part.amount))
        return Explanation(float(score), float(amounts[-1]), tuple(parts))

    @property
    def _terms(self) -> Terms:
        """One a thread, kept: it remembers the words that it has met."""
        terms: Terms | None = getattr(self._threads, "terms", None)
        if terms is None:
            terms = self._threads.terms = Terms()
        return terms


def forest_scores(booster: Any, table: Float32Array) -> Float32Array:
    """[n]: the scores of one query's candidates, from their features."""
    return _settled(_predicted(booster, table), table)


def _predicted(booster: Any, table: Float32Array, **how: bool) -> Float64Array:
    # one thread: trees of this size cost less than waking the others
    found: Float64Array = booster.predict(table, num_threads=1, **how)
    return found


def _settled(predicted: Float64Array, table: Float32Array) -> Float32Array:
    return np.asarray(predicted - _later(table), np.float32)


def _later(table: Float32Array) -> Float64Array:
    """[n]: what tells equal predictions apart by the order so far, 0 for the best one."""
    ranks = np.round(1 / table[:, _place("reciprocal_rank")].astype(np.float64))
    return np.asarray(_TIES * (ranks - 1) / max(len(table), 1))


def _place(feature: str) -> int:
    return list(feature_names()).index(feature)


def _load(path: Path, *, packaged: bool) -> Any:
    """A booster from text, which is data: unlike in a pickle, nothing in such a file is run."""
    lightgbm = need("lightgbm", "the reranker 'lambdamart'")
    if not path.is_file():
        raise MissingResource(
            f"{path} is not there; expected a LambdaMART model in LightGBM's text format"
        )
    if packaged and (found := of_file(path)) != SHA256:
        raise CorruptFile(f"{path} has sha256 {found}, expected {SHA256}: reinstall tamis")
    stages = stages_in(features_named(path))
    text = read_forest(path, list(feature_names(stages)))
    return lightgbm.Booster(model_str=text)

"""LambdaMART: a small forest of trees over features of query, passage and earlier stages.

Burges, "From RankNet to LambdaRank to LambdaMART" (MSR-TR-2010-82), by LightGBM.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import CorruptFile, MissingResource
from ..core.fingerprints import of_file
from ..core.optional import need
from .features import FEATURES, features
from .forest_file import read_forest
from .terms import Terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.protocols import Candidates
    from ..core.records import Float32Array

PACKAGED = Path(__file__).parent / "models" / "lambdamart.txt"
SHA256 = "7d307d1b555920780aeded505e1909d4f00d081770a6b5a5c5b27b4b2517eb47"
"""Of the packaged model; its data and figures are in the card beside it."""

_TIES = 1e-3


class LambdamartReranker:
    """Scores candidates by trees that were trained on hybrid (dense and BM25) candidates.

    ``model`` is a file in LightGBM's text format, trained on exactly the features of
    ``features.py`` (see ``training/lambdamart.py``); None takes the packaged one. Equal
    predictions, common with small trees, keep the order of the ranking so far.

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

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the model file."""
        return of_file(self._path)

    def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        """Predictions, one array a query; each depends on the query and its candidates alone."""
        terms = Terms()
        tables = [features(candidates, terms) for candidates in batch]
        lengths = [len(table) for table in tables]
        if not sum(lengths):
            return [np.empty(0, np.float32) for _ in batch]
        # one thread: trees of this size cost less than waking the others
        predicted = self._booster.predict(np.concatenate(tables), num_threads=1)
        each = np.split(predicted, np.cumsum(lengths)[:-1])
        return [_settled(scores, table) for scores, table in zip(each, tables, strict=True)]


def _settled(predicted: np.ndarray, table: Float32Array) -> Float32Array:
    """Equal predictions told apart by the score so far: by at most 0.001, the best one first."""
    so_far = table[:, list(FEATURES).index("reciprocal_rank")]
    ranks = np.round(1 / so_far) if len(table) else so_far
    return np.asarray(predicted - _TIES * (ranks - 1) / max(len(table), 1), np.float32)


def _load(path: Path, *, packaged: bool) -> Any:
    """A booster from text, which is data: unlike in a pickle, nothing in such a file is run."""
    lightgbm = need("lightgbm", "the reranker 'lambdamart'")
    if not path.is_file():
        raise MissingResource(
            f"{path} is not there; expected a LambdaMART model in LightGBM's text format"
        )
    if packaged and (found := of_file(path)) != SHA256:
        raise CorruptFile(f"{path} has sha256 {found}, expected {SHA256}: reinstall tamis")
    text = read_forest(path, list(FEATURES))
    return lightgbm.Booster(model_str=text)

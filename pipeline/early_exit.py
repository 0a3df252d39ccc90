"""Early exit: candidates that lie too far behind pass a rerank stage by, and settled queries do.

Rerankers promote passages that earlier stages already like. A candidate whose gap to the query's
best is above a threshold is not scored: it keeps its place behind those that were. Where the
second best is that far behind, the top is settled and the whole stage is passed by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from ..core.records import Float64Array, Ranking

DEFAULT_MARGIN = "first-stages"

_FIRST_STAGES = ("dense", "lexical")


@dataclass(frozen=True)
class EarlyExit:
    """Score those candidates whose gap is at most ``threshold``, if they are two or more.

    ``margin`` names the gap (``MARGINS``). A higher threshold scores the same candidates and more:
    ``inf`` scores all, as without a rule; a negative one scores none, as without the stage.
    ``calibration`` says how the threshold was found, for people and for programs.
    """

    threshold: float
    margin: str = DEFAULT_MARGIN
    calibration: Mapping[str, Any] = field(default_factory=dict)

    def scored(self, ranking: Ranking) -> NDArray[np.bool_]:
        """[n] bool: the candidates that the stage scores. One alone has nobody to be sorted with.

        It depends on the set of candidates, not on their order.
        """
        inside: NDArray[np.bool_] = gaps(self.margin, ranking) <= self.threshold
        few = inside.sum() < 2 and len(inside) > 1
        return np.zeros(len(inside), bool) if few else inside


def gaps(margin: str, ranking: Ranking) -> Float64Array:
    """[n] float64, 0 for the best candidate and never negative; larger is further behind."""
    if not len(ranking):
        return np.empty(0)
    return MARGINS[margin](ranking)


def _first_stages(ranking: Ranking) -> Float64Array:
    told = [ranking.stages[name] for name in _FIRST_STAGES if name in ranking.stages]
    each = [_scaled(np.asarray(scores, np.float64)) for scores in told]
    if not each:
        return _of_scores(ranking)
    mean = np.mean(each, axis=0)
    behind: Float64Array = mean - mean.min()
    return behind


def _of_scores(ranking: Ranking) -> Float64Array:
    return _scaled(ranking.scores.astype(np.float64))


def _raw(ranking: Ranking) -> Float64Array:
    scores = ranking.scores.astype(np.float64)
    behind: Float64Array = scores.max() - scores
    return behind


def _scaled(scores: Float64Array) -> Float64Array:
    """0 for the best, 1 for the lowest and for NaN (not found); 0 where all found are equal."""
    found = ~np.isnan(scores)
    if not found.any():
        return np.zeros(len(scores))
    best, lowest = scores[found].max(), scores[found].min()
    behind: Float64Array = np.where(found, best - scores, 0.0)
    if best > lowest:
        behind /= best - lowest
    behind[~found] = 1.0
    return behind


MARGINS: dict[str, Callable[[Ranking], Float64Array]] = {
    "first-stages": _first_stages,
    "scaled": _of_scores,
    "raw": _raw,
}
"""Name -> gap to the best candidate. first-stages: the mean over dense and lexical, each scaled
from 0 (its best) to 1 (its lowest, or not found). scaled: by the score so far, scaled likewise.
raw: by the score so far as it is, for scores that mean the same for every query (logits)."""

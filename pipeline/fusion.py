"""Several rankings of one query into one: reciprocal ranks, or weighted sums of scaled scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import BadArguments
from ..core.records import Ranking
from ..core.topk import best_first

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..core.records import Float32Array, Int64Array

RRF_K = 60
"""Cormack, Clarke and Buettcher, SIGIR 2009."""


def fuse(
    method: str, rankings: Mapping[str, Ranking], weights: Mapping[str, float] | None = None
) -> Ranking:
    """One ranking of every row that any of the rankings holds.

    ``rankings`` maps stage names to rankings of the same query; ``weights`` are per stage, 1 when
    not given, not negative, not all zero. "rrf": sum of weight / (60 + rank). "minmax" and
    "zscore": weighted sums of scores scaled per ranking; a row that a ranking lacks gets that
    ranking's lowest scaled score (Pyserini's hybrid rule); a ranking whose scores are all equal
    tells its rows apart from the absent ones and nothing more. The result's ``stages`` keep every
    first-stage score, NaN where a stage did not return the row.
    """
    if method not in METHODS:
        raise BadArguments(f"no fusion is called {method!r}; known: {', '.join(METHODS)}")
    weighing = checked_weights(weights or {}, list(rankings))
    rows = np.unique(np.concatenate([ranking.rows for ranking in rankings.values()]))
    total = np.zeros(len(rows), np.float64)
    stages: dict[str, Float32Array] = {}
    for name, ranking in rankings.items():
        places = np.searchsorted(rows, ranking.rows)
        gains, absent = METHODS[method](ranking)
        gain = np.full(len(rows), absent, np.float64)
        gain[places] = gains
        total += weighing[name] * gain
        stages[name] = np.full(len(rows), np.nan, np.float32)
        stages[name][places] = ranking.scores
    return _ranked(next(iter(rankings.values())), rows, total, stages)


def _ranked(
    like: Ranking, rows: Int64Array, total: np.ndarray, stages: Mapping[str, Float32Array]
) -> Ranking:
    ordered, scores = best_first(rows, total.astype(np.float32))
    places = np.searchsorted(rows, ordered)
    return Ranking(
        like.query, ordered, scores, {name: values[places] for name, values in stages.items()}
    )


def _reciprocal(ranking: Ranking) -> tuple[np.ndarray, float]:
    return 1.0 / (RRF_K + 1.0 + np.arange(len(ranking))), 0.0


def _minmax(ranking: Ranking) -> tuple[np.ndarray, float]:
    """Scores to 0..1; a ranking without spread gives its rows 1 and the absent ones 0."""
    scores = ranking.scores.astype(np.float64)
    spread = float(np.ptp(scores)) if len(scores) else 0.0
    if spread == 0.0:
        return np.ones(len(scores)), 0.0
    return (scores - scores[-1]) / spread, 0.0


def _zscore(ranking: Ranking) -> tuple[np.ndarray, float]:
    """Scores to mean 0 and deviation 1; without spread, 0 for its rows and -1 for the others."""
    scores = ranking.scores.astype(np.float64)
    deviation = float(scores.std()) if len(scores) else 0.0
    if deviation < 1e-9:
        return np.zeros(len(scores)), -1.0
    scaled = (scores - scores.mean()) / deviation
    return scaled, float(scaled[-1])


METHODS: dict[str, Callable[[Ranking], tuple[np.ndarray, float]]] = {
    "rrf": _reciprocal,
    "minmax": _minmax,
    "zscore": _zscore,
}
"""Fusion by name: a ranking to (gain per row, gain of a row it does not hold)."""


def checked_weights(weights: Mapping[str, float], stages: Sequence[str]) -> dict[str, float]:
    """A weight for each stage, 1 where none is given; BadArguments for one that cannot be meant."""
    strange = sorted(set(weights) - set(stages))
    if strange:
        raise BadArguments(f"weights for {', '.join(strange)}, but the stages are {list(stages)}")
    chosen = {name: float(weights.get(name, 1.0)) for name in stages}
    if any(not np.isfinite(w) or w < 0 for w in chosen.values()) or not any(chosen.values()):
        raise BadArguments(f"fusion weights must be finite, >= 0 and not all 0; got {chosen}")
    return chosen


def tune_dense_weight(
    method: str,
    dense: Sequence[Ranking],
    lexical: Sequence[Ranking],
    quality: Callable[[Sequence[Ranking]], float],
    steps: int = 10,
) -> float:
    """The weight w of dense (lexical gets 1 - w) in 0, 1/steps .. 1 with the highest ``quality``.

    ``quality`` judges fused rankings, on a dev split: never tune on the split you report. Of
    equally good weights the one nearest to one half is taken.
    """
    found: list[tuple[float, float]] = []
    for step in range(steps + 1):
        weight = step / steps
        weights = {"dense": weight, "lexical": 1 - weight}
        pairs = zip(dense, lexical, strict=True)
        fused = [fuse(method, {"dense": d, "lexical": x}, weights) for d, x in pairs]
        found.append((quality(fused), weight))
    return max(found, key=lambda pair: (pair[0], -abs(pair[1] - 0.5)))[1]

"""What the stages before thought of candidates: scores, ranks, and how far from the best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from ..core.records import Float64Array, Ranking

STAGES = ("dense", "lexical")

_OF_A_STAGE = {
    "score": "{}: its own score",
    "reciprocal_rank": "{}: 1 / rank among the candidates that it scored",
    "gap": "{}: its score minus the best candidate's, 0 or below",
    "scaled": "{}: its score from 0 (lowest candidate) to 1 (best); 1 where all are equal",
    "deviations": "{}: standard deviations between its score and the candidates' mean; 0 where "
    "all are equal",
    "best": "{}: the best candidate's score",
}

SO_FAR: dict[str, str] = {
    "reciprocal_rank": "1 / rank in the ranking so far (after fusion or an earlier reranker)",
    "scaled_score": "score so far, from 0 (lowest candidate) to 1 (best); 1 where all are equal",
    "stages_found": "how many first stages found the passage",
    "rank_difference": "dense_reciprocal_rank minus lexical_reciprocal_rank, 0 for a stage that "
    "did not find the passage",
    "agreement": "share of the candidates that both first stages found",
    "quality": "the passage's own quality score; NaN where the index has none",
    "quality_scaled": "quality from 0 (lowest candidate) to 1 (best); 1 where all are equal",
}


def stage_columns(stage: str) -> dict[str, str]:
    """Names and meanings of what is known of one stage's scores."""
    return {f"{stage}_{name}": text.format(stage) for name, text in _OF_A_STAGE.items()}


def stage_scores(ranking: Ranking, stages: Sequence[str]) -> dict[str, Float64Array]:
    """The columns of every stage, each float64 [candidates]; NaN for one that is not there.

    A stage is known by its label in the ranking up to the first blank, "maxsim" for
    "maxsim (tamis-small)"; of several, the last one counts.
    """
    known = {label.split(" ", 1)[0]: scores for label, scores in ranking.stages.items()}
    absent = np.full(len(ranking), np.nan)
    columns: dict[str, Float64Array] = {}
    for stage in stages:
        scores = np.asarray(known.get(stage, absent), np.float64)
        found = _of_a_stage(scores)
        columns |= {f"{stage}_{name}": found[name] for name in _OF_A_STAGE}
    return columns


def scores_so_far(
    ranking: Ranking, columns: dict[str, Float64Array], quality: ArrayLike | None
) -> dict[str, Float64Array]:
    """The columns of ``SO_FAR``; ``columns`` are those of the first stages."""
    scores = ranking.scores.astype(np.float64)
    found = np.array([~np.isnan(columns[f"{stage}_score"]) for stage in STAGES])
    ranks = [np.nan_to_num(columns[f"{stage}_reciprocal_rank"]) for stage in STAGES]
    own = np.full(len(ranking), np.nan) if quality is None else np.asarray(quality, np.float64)
    return {
        "reciprocal_rank": _reciprocal_ranks(scores),
        "scaled_score": _scaled(scores),
        "stages_found": found.sum(axis=0).astype(np.float64),
        "rank_difference": ranks[0] - ranks[1],
        "agreement": np.full(len(ranking), found.all(axis=0).mean()),
        "quality": own,
        "quality_scaled": _scaled(own),
    }


def _of_a_stage(scores: Float64Array) -> dict[str, Float64Array]:
    present = scores[~np.isnan(scores)]
    best = present.max(initial=-np.inf)
    spread = present.std() if len(present) else 0.0
    mean = present.mean() if len(present) else 0.0
    nothing = np.where(np.isnan(scores), np.nan, 0.0)
    return {
        "score": scores,
        "reciprocal_rank": _reciprocal_ranks(scores),
        "gap": scores - best,
        "scaled": _scaled(scores),
        "deviations": (scores - mean) / spread if spread > 1e-9 else nothing,
        "best": np.full(len(scores), best if len(present) else np.nan),
    }


def _reciprocal_ranks(scores: Float64Array) -> Float64Array:
    """1 / (1 + number of higher scores); NaN where there is no score."""
    present = np.sort(scores[~np.isnan(scores)])
    higher = len(present) - np.searchsorted(present, scores, side="right")
    return np.where(np.isnan(scores), np.nan, 1.0 / (1.0 + higher))


def _scaled(scores: Float64Array) -> Float64Array:
    present = scores[~np.isnan(scores)]
    best = present.max(initial=-np.inf)
    spread = best - present.min(initial=np.inf)
    if not spread > 0:  # all equal, or not one score
        return np.where(np.isnan(scores), np.nan, 1.0)
    return np.asarray(1.0 - (best - scores) / spread)

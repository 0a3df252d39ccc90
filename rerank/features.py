"""What LambdaMART sees of a candidate: numbers computed from the candidates alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .matching import of_texts
from .terms import Terms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..core.protocols import Candidates
    from ..core.records import Float32Array, Ranking

STAGES = ("dense", "lexical")

_OF_A_STAGE = {
    "score": "the stage's own score",
    "reciprocal_rank": "1 / rank among the candidates that the stage found",
    "gap": "its score minus the best candidate's, 0 or below",
    "scaled": "its score from 0 (lowest candidate) to 1 (best); 1 where all are equal",
}

FEATURES: dict[str, str] = {
    **{f"{stage}_{name}": text for stage in STAGES for name, text in _OF_A_STAGE.items()},
    "reciprocal_rank": "1 / rank in the ranking so far (after fusion or an earlier reranker)",
    "scaled_score": "score so far, from 0 (lowest candidate) to 1 (best); 1 where all are equal",
    "stages_found": "how many first stages found the passage",
    "query_terms": "number of the query's terms",
    "query_numbers": "number of the query's words that hold a digit",
    "passage_words": "number of words of the passage's text",
    "title_words": "number of words of its title; 0 without one",
    "coverage": "share of the query's distinct terms in title or text",
    "text_coverage": "share of the query's distinct terms in the text",
    "title_coverage": "share of the query's distinct terms in the title; NaN without one",
    "weighted_coverage": "coverage, each term weighted by its rarity among the candidates",
    "matched_rarity_mean": "mean rarity of the matched terms; NaN without a match",
    "matched_rarity_max": "highest rarity of a matched term; NaN without a match",
    "saturated_frequency": "sum over matched terms of rarity * tf / (tf + 1.2)",
    "term_share": "share of the passage's terms that are query terms",
    "longest_run": "longest run of query terms found in a row, over the number of query terms",
    "phrase": "1 if all query terms stand in a row in the title or the text, else 0",
    "pairs_covered": "share of its neighbouring terms found as neighbours; NaN for one term",
    "numbers_covered": "share of the query's numbers found; NaN without a number",
    "first_match": "place of the first match in the text, in terms from 0; NaN without a match",
    "mean_first_match": "mean over the matched terms of their first place; NaN without a match",
}
"""Column name -> meaning, in column order. Terms are stems without function words (``terms.py``);
rarity is log(1 + (n - df + 0.5) / (df + 0.5)) over the query's n candidates, df of them matching.
"""


def features(candidates: Candidates, terms: Terms | None = None) -> Float32Array:
    """[candidates, FEATURES] float32; NaN where a feature has no meaning.

    A row depends on the query and the *set* of its candidates, never on their order: equal
    scores share a rank. A stage that the ranking does not know gives columns of NaN.
    """
    if not candidates.passages:
        return np.empty((0, len(FEATURES)), np.float32)
    question = candidates.ranking.query.text
    columns = {
        **_of_scores(candidates.ranking),
        **of_texts(question, candidates.passages, terms or Terms()),
    }
    return np.stack([columns[name] for name in FEATURES], axis=1).astype(np.float32)


def _of_scores(ranking: Ranking) -> dict[str, NDArray[np.float64]]:
    absent = np.full(len(ranking), np.nan)
    columns: dict[str, NDArray[np.float64]] = {}
    found = np.zeros(len(ranking))
    for stage in STAGES:
        scores = np.asarray(ranking.stages.get(stage, absent), np.float64)
        found += ~np.isnan(scores)
        columns[f"{stage}_score"] = scores
        columns[f"{stage}_reciprocal_rank"] = _reciprocal_ranks(scores)
        columns[f"{stage}_gap"] = scores - _best(scores)
        columns[f"{stage}_scaled"] = _scaled(scores)
    scores = ranking.scores.astype(np.float64)
    columns["reciprocal_rank"] = _reciprocal_ranks(scores)
    columns["scaled_score"] = _scaled(scores)
    columns["stages_found"] = found
    return columns


def _best(scores: NDArray[np.float64]) -> float:
    return float(np.max(scores, initial=-np.inf, where=~np.isnan(scores)))


def _reciprocal_ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + number of higher scores); NaN where there is no score."""
    present = np.sort(scores[~np.isnan(scores)])
    higher = len(present) - np.searchsorted(present, scores, side="right")
    return np.where(np.isnan(scores), np.nan, 1.0 / (1.0 + higher))


def _scaled(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    best = _best(scores)
    spread = best + _best(-scores)
    if not spread > 0:  # all equal, or not one score
        return np.where(np.isnan(scores), np.nan, 1.0)
    return 1.0 - (best - scores) / spread

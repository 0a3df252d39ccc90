"""What LambdaMART sees of a candidate: numbers computed from the candidates and their index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .coverage import COVERAGE, coverage
from .lexical_scores import LEXICAL, lexical_scores
from .matching import Matched
from .proximity import PROXIMITY, proximity
from .stage_scores import SO_FAR, STAGES, scores_so_far, stage_columns, stage_scores
from .terms import Terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.protocols import Candidates
    from ..core.records import Float32Array


def feature_names(stages: Sequence[str] = ()) -> dict[str, str]:
    """Column name -> meaning, in column order; ``stages`` are rerankers before this one whose
    scores are features too, after all others."""
    columns: dict[str, str] = {}
    for stage in STAGES:
        columns |= stage_columns(stage)
    columns |= {**SO_FAR, **COVERAGE, **PROXIMITY, **LEXICAL}
    for stage in stages:
        columns |= stage_columns(stage)
    return columns


FEATURES: dict[str, str] = feature_names()
"""Column name -> meaning, in column order, behind a first stage alone."""


def stages_in(names: Sequence[str]) -> list[str]:
    """The rerankers that a model trained on these columns wants to have gone before it."""
    extra = [name for name in names if name not in FEATURES and name.endswith("_score")]
    return [name.removesuffix("_score") for name in extra]


def features(
    candidates: Candidates, terms: Terms | None = None, stages: Sequence[str] = ()
) -> Float32Array:
    """[candidates, feature_names(stages)] float32; NaN where a feature has no meaning.

    A row depends on the query, its index and the *set* of its candidates, never on their order:
    equal scores share a rank. A stage that the ranking does not know gives columns of NaN.
    """
    names = feature_names(stages)
    if not candidates.passages:
        return np.empty((0, len(names)), np.float32)
    ranking = candidates.ranking
    matched = Matched.of(ranking.query.text, candidates.passages, terms or Terms())
    of_stages = stage_scores(ranking, [*STAGES, *stages])
    columns = {
        **of_stages,
        **scores_so_far(ranking, of_stages, candidates.quality),
        **coverage(matched),
        **proximity(matched),
        **lexical_scores(matched, candidates.terms),
    }
    return np.stack([columns[name] for name in names], axis=1).astype(np.float32)

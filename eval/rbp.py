"""Rank-biased precision, which no library computes that ir_measures brings along."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..core.records import RunScores


def rank_biased_precision(
    judgments: Mapping[str, Mapping[str, int]],
    run: RunScores,
    *,
    p: float = 0.8,
    rel: int | None = None,
    cutoff: int | None = None,
) -> dict[str, float]:
    """Per query of the run: (1 - p) times the sum over ranks i = 1, 2, ... of gain_i p^(i-1).

    With ``rel`` the gain is 1 from that grade on, else 0; without, it is the grade over the
    highest grade of all the judgments (Moffat and Zobel 2008), below 0 counted as 0.
    Every query of the run is in the judgments; its scores are strictly different.
    """
    highest = max((grade for grades in judgments.values() for grade in grades.values()), default=0)

    def gain(grade: int) -> float:
        if rel is not None:
            return float(grade >= rel)
        return max(grade, 0) / max(highest, 1)

    values = {}
    for query, scores in run.items():
        ranked = sorted(scores, key=scores.__getitem__, reverse=True)[:cutoff]
        grades = judgments[query]
        values[query] = (1 - p) * sum(
            gain(grades[passage]) * p**place
            for place, passage in enumerate(ranked)
            if passage in grades
        )
    return values

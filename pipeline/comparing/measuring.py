"""Rankings to one value for each measure and query, as ``tamis eval`` gives for their run file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...eval.evaluate import distinct, evaluate
from ..opening import FIRST_STAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...core.records import Float64Array, Ranking
    from ...eval.measures import Measure
    from .collection import Collection

ALWAYS = "R@100"
"""Recall is the first casualty of pruning, so it stands beside every measure."""


@dataclass(frozen=True)
class Measures:
    """What is measured, in order; the first is the one that claims are about."""

    measures: Sequence[Measure]

    @classmethod
    def named(cls, names: Sequence[str]) -> Measures:
        """``names`` and, if it is not among them, R@100. BadArguments for a name unknown."""
        return cls(distinct([*names, ALWAYS]))

    @property
    def names(self) -> list[str]:
        return [str(measure) for measure in self.measures]

    @property
    def depth(self) -> int:
        """How far down a ranking the measures look."""
        return max(int(each.params.get("cutoff", FIRST_STAGE)) for each in self.measures)

    def values(self, collection: Collection, rankings: Sequence[Ranking]) -> Float64Array:
        """[measures, queries], the queries in the collection's order; nothing found is 0.

        A ranking is cut where no measure looks, but never between equal scores: how the tie is
        settled could move a passage over the cut-off.
        """
        run = {}
        for ranking in rankings:
            rows, scores = _cut(ranking, self.depth)
            ids = [collection.ids[row] for row in rows.tolist()]
            run[ranking.query.id] = dict(zip(ids, scores.tolist(), strict=True))
        if not any(run.values()):
            return np.zeros((len(self.measures), len(collection.queries)))
        found = evaluate(run, collection.judgments, self.measures)
        return np.stack([found.values[name] for name in self.names])


def _cut(ranking: Ranking, depth: int) -> tuple[np.ndarray, np.ndarray]:
    scores = ranking.scores
    if len(scores) > depth:
        depth = int(np.searchsorted(-scores, -scores[depth - 1], side="right"))
    return ranking.rows[:depth], scores[:depth]

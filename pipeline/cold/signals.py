"""How sure a hot answer looks, as one number a query: its best score against the cold tier's.

Of the cold tier's best score the hot one knows an estimate or a bound (``index/cold_sketch.py``).
On development queries (``docs/pruning.md`` has the figures) this finds most of the queries that
lost a passage, and more than the hot tier's scores alone: the best, gaps to rank 10 or 100, their
deviation. The share that BM25's best score has of the sum of both orders queries as their ratio
does, and is finite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ...core.records import Float64Array, Ranking

LEXICAL_WEIGHT = 0.5
"""In hybrid, what BM25's share counts beside a difference of cosines. From .3 to .8 the recall of
development queries moves by .2 points."""

SIGNALS = {
    "dense": "best dense score - cold estimate",
    "lexical": "best BM25 score / (itself + cold bound)",
    "hybrid": f"dense + {LEXICAL_WEIGHT:g} x lexical",
}
"""By search mode, what is compared with the threshold; a stored threshold names its signal."""


def mode_of(stages: Iterable[str]) -> str:
    """The search mode in which these first stages answer."""
    names = list(stages)
    return "hybrid" if len(names) > 1 else names[0]


def sureness(
    found: Mapping[str, Sequence[Ranking]], below: Mapping[str, Float64Array]
) -> Float64Array:
    """One number a query, higher is surer; ``found`` maps stage names to rankings of all queries.

    ``below`` [queries] is, by stage, what the best score of the cold tier is thought to be. A stage
    that found nothing counts as a best score of 0; BM25 is quite sure (1) where neither tier can
    score. The depth of the rankings is of no consequence.
    """
    best = {
        name: np.array([float(r.scores[0]) if len(r) else 0.0 for r in rankings], np.float64)
        for name, rankings in found.items()
    }
    signals = []
    if "dense" in best:
        signals.append(best["dense"] - below["dense"])
    if "lexical" in best:
        hot, total = best["lexical"], best["lexical"] + below["lexical"]
        share = np.divide(hot, total, out=np.ones(len(hot)), where=total > 0)
        signals.append(share if "dense" not in best else LEXICAL_WEIGHT * share)
    sure: Float64Array = np.sum(signals, axis=0, dtype=np.float64)
    return sure

"""How sure a hot answer looks, as one number a query: the best score, where there are two, of both.

A relevant passage that was pruned leaves a query whose best remaining passage fits it less well. Of
the signals tried on development queries (``docs/pruning.md`` has the figures) the best score found
most of the queries that had lost a passage, on average: more than gaps to rank 10 or 100, the score
at rank 100 or the deviation of the scores; for BM25 it lies within .2 points of the best. For two
stages the product did better than either stage, and than how far they agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ...core.records import Float64Array, Ranking

SIGNALS = {
    "dense": "best dense score",
    "lexical": "best BM25 score",
    "hybrid": "best dense score x best BM25 score",
}
"""By search mode, what is compared with the threshold; a stored threshold names its signal."""


def mode_of(stages: Iterable[str]) -> str:
    """The search mode in which these first stages answer."""
    names = list(stages)
    return "hybrid" if len(names) > 1 else names[0]


def sureness(found: Mapping[str, Sequence[Ranking]]) -> Float64Array:
    """One number a query, higher is surer; ``found`` maps stage names to rankings of all queries.

    A stage that found nothing counts as a best score of 0. The depth of the rankings is of no
    consequence.
    """
    product: Float64Array = np.prod(
        [[float(r.scores[0]) if len(r) else 0.0 for r in rankings] for rankings in found.values()],
        axis=0,
    )
    return product

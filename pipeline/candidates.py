"""Rankings as rerankers see them: with texts, and with what their index knows."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from ..core.protocols import Candidates, DescribesPassages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.records import Ranking
    from ..index.passages import Passages


def candidates(passages: Passages, rankings: Sequence[Ranking]) -> list[Candidates]:
    """One a ranking; the passage table is visited once for all of them."""
    rows = np.concatenate([*(each.rows for each in rankings), np.empty(0, np.int64)])
    texts = iter(passages.passages(rows))
    read = [(ranking, list(islice(texts, len(ranking)))) for ranking in rankings]
    if not isinstance(passages, DescribesPassages):
        return [Candidates(*each) for each in read]
    terms = passages.terms
    return [Candidates(*each, terms, passages.quality(each[0].rows)) for each in read]

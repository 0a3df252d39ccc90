"""How much a shortcut may cost at most, said with confidence from a sample of queries.

The bound is one-sided, and thresholds are tried in an order fixed before any value is seen, from
the safest on, until one fails: fixed sequence testing, so that each is tested at the full level
and the chance that any accepted one breaks the bound stays below alpha (Angelopoulos and others,
"Learn then Test", arXiv 2110.01052, section 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import BadArguments, BadData

if TYPE_CHECKING:
    from ..core.records import Float64Array

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class BoundedLoss:
    """A mean loss in the measure's unit, and the ``bound`` it lies below with confidence
    1 - alpha; negative is a gain."""

    queries: int
    loss: float
    bound: float
    alpha: float


def bounded_loss(
    whole: Float64Array, shortened: Float64Array, *, alpha: float = ALPHA
) -> BoundedLoss:
    """The mean of ``whole - shortened`` over queries [n], and its one-sided upper bound.

    Student's t over the differences and one more query that loses everything (1): without it,
    few queries that happen to lose nothing would bound the loss by 0. With it no loss among n
    queries is bounded by about 2.6 / n at alpha .05, near the rule of three (3 / n). Values lie in
    0..1. Raises BadData for no query, values outside and lengths that differ; BadArguments.
    """
    from scipy import special

    whole, shortened = np.asarray(whole, np.float64), np.asarray(shortened, np.float64)
    if not 0 < alpha < 0.5:
        raise BadArguments(f"alpha is {alpha}; expected a number between 0 and .5, such as {ALPHA}")
    if whole.shape != shortened.shape or whole.ndim != 1 or not len(whole):
        raise BadData(
            f"values of shape {whole.shape} and {shortened.shape}; expected one value a query in "
            f"both, for the same queries, at least one"
        )
    both = np.concatenate([whole, shortened])
    if not ((both >= 0) & (both <= 1)).all():
        raise BadData(f"values from {both.min():g} to {both.max():g}; expected 0 to 1")
    losses = whole - shortened
    padded = np.append(losses, 1.0)
    error = padded.std(ddof=1) / np.sqrt(len(padded))
    bound = padded.mean() + float(special.stdtrit(len(padded) - 1, 1 - alpha)) * error
    return BoundedLoss(len(losses), float(losses.mean()), float(bound), alpha)

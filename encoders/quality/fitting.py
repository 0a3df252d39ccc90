"""Passages and what became of them to the weights of the feature model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import BadArguments, FailedWhileRunning
from .features import FEATURES, features
from .regression import FeatureQuality, Weight

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from ...core.records import Float64Array

L2 = 1.0
"""What a squared weight of one costs, halved, against the loss of one example."""

_STEPS = 100  # Newton's method needs about ten
_CLOSE = 1e-10  # twice what the next step would gain, as a share of the loss


def fit_features(
    texts: Sequence[str],
    labels: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    l2: float = L2,
) -> FeatureQuality:
    """The logistic regression of ``labels`` on the cheap features of ``texts``.

    labels [texts]: 1 or True for what is worth keeping, 0 for the rest; weights [texts]: how much
    each example counts, above or equal to 0, 1 if not given. See ``fit_columns``.
    """
    return fit_columns(features(texts), labels, weights, l2=l2)


def fit_columns(
    columns: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    l2: float = L2,
) -> FeatureQuality:
    """The same from features that were computed before, [examples, len(FEATURES)].

    Minimises the sum over examples of weight * logistic loss, plus l2 / 2 * the squared weights of
    the columns, each brought to mean 0 and standard deviation 1 over the weighted examples first;
    the bias is free. So l2 is scikit-learn's 1 / C. A column that is the same everywhere gets no
    weight. Newton's method from zero: the same examples give the same model.

    Raises BadArguments for shapes that do not agree, labels other than 0 and 1 or of one kind only,
    numbers that are not finite, a negative weight, or an l2 that is not above 0.
    """
    table, wanted, counts = _checked(columns, labels, weights, l2)
    total = counts.sum()
    means = counts @ table / total
    spreads = np.sqrt(counts @ (table - means) ** 2 / total)
    varies = np.flatnonzero(spreads > 1e-9 * np.maximum(1, np.abs(means)))
    standard = (table[:, varies] - means[varies]) / spreads[varies]
    bias, found = _minimum(standard, wanted, counts, l2)
    names = list(FEATURES)
    return FeatureQuality(
        float(bias),
        {
            names[column]: Weight(float(means[column]), float(spreads[column]), float(weight))
            for column, weight in zip(varies.tolist(), found.tolist(), strict=True)
        },
    )


def _minimum(
    table: Float64Array, labels: Float64Array, counts: Float64Array, l2: float
) -> tuple[float, Float64Array]:
    """Bias and weights [columns]; halved steps where a whole one would overshoot."""
    table = np.column_stack([np.ones(len(table)), table])
    penalty = np.full(table.shape[1], l2)
    penalty[0] = 0.0
    at = np.zeros(table.shape[1])

    def loss(place: Float64Array) -> float:
        odds = table @ place
        each = np.logaddexp(0, odds) - labels * odds
        return float(counts @ each + 0.5 * (penalty * place) @ place)

    here = loss(at)
    for _ in range(_STEPS):
        chance = 0.5 * (1 + np.tanh(0.5 * (table @ at)))
        slope = table.T @ (counts * (chance - labels)) + penalty * at
        curve = (table * (counts * chance * (1 - chance))[:, None]).T @ table + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        if slope @ step <= _CLOSE * (1 + here):  # a whole step from here squares what is wrong
            at -= step
            return float(at[0]), at[1:]
        size = 1.0
        while size > _CLOSE and loss(at - size * step) > here:
            size /= 2
        at -= size * step
        here = loss(at)
    raise FailedWhileRunning(
        f"the regression did not settle in {_STEPS} steps; choose an l2 above {l2}"
    )


def _checked(
    columns: ArrayLike, labels: ArrayLike, weights: ArrayLike | None, l2: float
) -> tuple[Float64Array, Float64Array, Float64Array]:
    table = np.asarray(columns, np.float64)
    wanted = np.asarray(labels, np.float64)
    counts = np.ones(len(wanted)) if weights is None else np.asarray(weights, np.float64)
    if table.ndim != 2 or table.shape[1] != len(FEATURES):
        raise BadArguments(
            f"the columns have shape {list(table.shape)}; expected one row an example and the "
            f"{len(FEATURES)} features"
        )
    for name, found in (("labels", wanted), ("weights", counts)):
        if found.shape != (len(table),):
            raise BadArguments(
                f"{name} have shape {list(found.shape)} for {len(table):,} examples; expected one "
                f"for each"
            )
    if not _finite(table, counts) or (counts < 0).any():
        raise BadArguments("a feature or a weight is not finite, or a weight is below 0")
    kinds = set(np.unique(wanted[counts > 0]).tolist())
    if kinds != {0.0, 1.0}:
        raise BadArguments(
            f"the labels that count are {sorted(kinds)[:3]}; expected 0 and 1, and some of both"
        )
    if not (math.isfinite(l2) and l2 > 0):
        raise BadArguments(
            f"l2 is {l2}; expected a number above 0: without it weights may run away"
        )
    return table, wanted, counts


def _finite(*arrays: NDArray[np.float64]) -> bool:
    return all(bool(np.isfinite(array).all()) for array in arrays)

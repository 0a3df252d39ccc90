"""How well a score of passages tells the labelled ones from the rest: the area under the ROC curve.

It is the chance that a positive passage, drawn at random, scores above a negative one, ties
counted half. DeLong's interval and test (DeLong, DeLong and Clarke-Pearson 1988) treat passages as
independent of each other; where labels come from queries, passages of one query are not, and the
bootstrap over queries is the honest one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..core.errors import BadData, Mismatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from ..core.records import Float64Array

    BoolArray: TypeAlias = NDArray[np.bool_]

CONFIDENCE = 0.95
RESAMPLES = 2_000
_BATCH = 4_000_000
"""Weights held at once in a bootstrap: 32 MB of them."""


@dataclass(frozen=True, slots=True)
class Area:
    """An area under the ROC curve, .5 for a score that knows nothing, and its 95 % interval.

    Bounds are None where none can be had; ``reason`` then says why.
    """

    value: float
    positives: int
    negatives: int
    low: float | None
    high: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AreaDifference:
    """First area minus second over the same passages, its 95 % interval, and the two-sided p value
    of "no difference"; None where none can be had, ``reason`` then says why."""

    first: float
    second: float
    low: float | None
    high: float | None
    p: float | None
    reason: str = ""

    @property
    def delta(self) -> float:
        return self.first - self.second


def area_under_roc(scores: ArrayLike, labels: ArrayLike) -> float:
    """scores [passages], finite; labels [passages], True for the passages that should score high.

    Raises BadData when one of the two kinds is missing or a score is not finite; Mismatch for
    arrays of two lengths.
    """
    rows, positive = _checked([scores], labels)
    above, _ = _placements(rows, positive)
    return float(above.mean())


def delong_interval(scores: ArrayLike, labels: ArrayLike) -> Area:
    """The area with DeLong's normal interval, cut at 0 and 1. Raises what ``area_under_roc`` does.

    There is no interval for fewer than two positives or negatives, nor for an area of 0 or 1,
    whose estimated variance is 0.
    """
    rows, positive = _checked([scores], labels)
    above, below = _placements(rows, positive)
    value = float(above.mean())
    counts = (int(positive.sum()), int((~positive).sum()))
    reason = _too_few(positive)
    error = 0.0 if reason else float(np.sqrt(_covariance(above, below)[0, 0]))
    if not reason and error == 0:
        reason = "the placements do not vary: DeLong's variance is 0"
    if reason:
        return Area(value, *counts, None, None, reason)
    half = _normal_quantile() * error
    return Area(value, *counts, max(0.0, value - half), min(1.0, value + half))


def delong_test(first: ArrayLike, second: ArrayLike, labels: ArrayLike) -> AreaDifference:
    """DeLong's paired test of two scores of the same passages. Raises what ``area_under_roc`` does.

    Two scores that order positives against negatives alike have p = 1.
    """
    from scipy import special

    rows, positive = _checked([first, second], labels)
    above, below = _placements(rows, positive)
    one, two = (float(value) for value in above.mean(axis=1))
    if (above[0] == above[1]).all() and (below[0] == below[1]).all():
        return AreaDifference(one, two, 0.0, 0.0, 1.0, "both scores order all passages alike")
    reason = _too_few(positive)
    variance = 0.0
    if not reason:
        covariance = _covariance(above, below)
        variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
        if variance <= np.finfo(np.float64).eps * covariance.trace():
            reason = "the differences of the placements do not vary: DeLong's variance is 0"
    if reason:
        return AreaDifference(one, two, None, None, None, reason)
    error = float(np.sqrt(variance))
    half = _normal_quantile() * error
    p = float(2 * special.ndtr(-abs(one - two) / error))
    return AreaDifference(one, two, one - two - half, one - two + half, p)


def clustered_interval(
    scores: ArrayLike, labels: ArrayLike, queries: Sequence[Sequence[str]], *, seed: int = 0
) -> Area:
    """The area with a percentile bootstrap interval over queries instead of passages.

    queries [passages]: the ids of the queries whose judgments or candidates brought the passage
    in. A resample draws queries with replacement, and a passage weighs as often as its queries were
    drawn, on average over them. A passage of no query stands for itself and is drawn like one.
    Resamples without any positive or any negative are left out. Raises as ``area_under_roc`` does.
    """
    rows, positive = _checked([scores], labels)
    value = float(_placements(rows, positive)[0].mean())
    counts = (int(positive.sum()), int((~positive).sum()))
    areas, reason = _resampled(rows, positive, queries, seed)
    if reason:
        return Area(value, *counts, None, None, reason)
    low, high = np.quantile(areas[:, 0], _tails())
    return Area(value, *counts, float(low), float(high))


def clustered_difference(
    first: ArrayLike,
    second: ArrayLike,
    labels: ArrayLike,
    queries: Sequence[Sequence[str]],
    *,
    seed: int = 0,
) -> AreaDifference:
    """Two scores of the same passages under the same resamples of queries: ``clustered_interval``.

    The p value is twice the smaller share of resamples on either side of 0, the observed sample
    counted among them, so it is never 0.
    """
    rows, positive = _checked([first, second], labels)
    one, two = (float(value) for value in _placements(rows, positive)[0].mean(axis=1))
    areas, reason = _resampled(rows, positive, queries, seed)
    if reason:
        return AreaDifference(one, two, None, None, None, reason)
    deltas = areas[:, 0] - areas[:, 1]
    low, high = np.quantile(deltas, _tails())
    side = min(int((deltas <= 0).sum()), int((deltas >= 0).sum()))
    p = min(1.0, 2 * (side + 1) / (len(deltas) + 1))
    return AreaDifference(one, two, float(low), float(high), p)


def _checked(scores: Sequence[ArrayLike], labels: ArrayLike) -> tuple[Float64Array, BoolArray]:
    """Scores [systems, passages] and labels [passages]."""
    positive = np.asarray(labels, np.bool_)
    each = [np.asarray(row, np.float64) for row in scores]
    for row in each:
        if row.shape != positive.shape or row.ndim != 1:
            raise Mismatch(
                f"there are scores of shape {row.shape} and labels of shape {positive.shape}; "
                f"expected one of each a passage"
            )
        if not np.isfinite(row).all():
            place = int(np.flatnonzero(~np.isfinite(row))[0])
            raise BadData(f"passage {place} has the score {row[place]}; expected a finite number")
    if positive.all() or not positive.any():
        kind = "negative" if positive.any() else "positive"
        raise BadData(
            f"among {len(positive)} labelled passages not one is {kind}; expected both kinds: the "
            f"area under the ROC curve compares them"
        )
    return np.stack(each), positive


def _placements(scores: Float64Array, positive: BoolArray) -> tuple[Float64Array, Float64Array]:
    """Per positive the share of negatives below it, per negative that of positives above it.

    [systems, positives] and [systems, negatives]; ties count half. By ranks (Sun and Xu 2014).
    """
    from scipy import stats

    ranks = stats.rankdata(scores, axis=1)
    among_positives = stats.rankdata(scores[:, positive], axis=1)
    among_negatives = stats.rankdata(scores[:, ~positive], axis=1)
    above = (ranks[:, positive] - among_positives) / (~positive).sum()
    below = 1 - (ranks[:, ~positive] - among_negatives) / positive.sum()
    return above, below


def _covariance(above: Float64Array, below: Float64Array) -> Float64Array:
    """DeLong's covariance of the areas [systems, systems]."""
    parts = [np.atleast_2d(np.cov(each)) / each.shape[1] for each in (above, below)]
    return np.asarray(parts[0] + parts[1])


def _too_few(positive: BoolArray) -> str:
    if positive.sum() < 2:
        return "only one positive passage"
    return "only one negative passage" if (~positive).sum() < 2 else ""


def _normal_quantile() -> float:
    from scipy import special

    return float(special.ndtri((1 + CONFIDENCE) / 2))


def _tails() -> tuple[float, float]:
    return (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2


def _resampled(
    scores: Float64Array, positive: BoolArray, queries: Sequence[Sequence[str]], seed: int
) -> tuple[Float64Array, str]:
    """Areas [resamples, systems] without the undefined ones, or why there are none."""
    if len(queries) != len(positive):
        raise Mismatch(
            f"queries are given for {len(queries)} passages, labels for {len(positive)}; "
            f"expected a list of query ids for every passage, empty where it has none"
        )
    membership = _membership(queries)
    if membership.shape[1] < 2:
        return np.empty((0, len(scores))), "all labels come from one query"
    groups = [np.unique(row, return_inverse=True)[1] for row in scores]
    found = [
        np.stack([_weighted(group, positive, weights) for group in groups], axis=1)
        for weights in _weights(membership, seed)
    ]
    areas = np.concatenate(found)
    areas = areas[np.isfinite(areas).all(axis=1)]
    reason = "" if len(areas) >= 2 else "no resample of the queries holds both kinds of passages"
    return areas, reason


def _membership(queries: Sequence[Sequence[str]]) -> Any:
    """Sparse [passages, clusters]; a passage's row sums to 1. Clusters: queries, lone passages."""
    from scipy import sparse

    distinct = [dict.fromkeys(each) for each in queries]
    counts = np.array([max(1, len(each)) for each in distinct])
    number: dict[object, int] = {}
    columns = [
        number.setdefault(cluster, len(number))
        for row, each in enumerate(distinct)
        for cluster in chain(each, () if each else (row,))
    ]
    indptr = np.concatenate([[0], np.cumsum(counts)])
    weights = np.repeat(1 / counts, counts)
    return sparse.csr_array((weights, columns, indptr), shape=(len(queries), len(number)))


def _weights(membership: Any, seed: int) -> Iterator[Float64Array]:
    """Weights [resamples of a batch, passages], all resamples together."""
    rng = np.random.default_rng(seed)
    passages, clusters = membership.shape
    at_once = max(1, _BATCH // max(passages, clusters))
    for start in range(0, RESAMPLES, at_once):
        size = min(at_once, RESAMPLES - start)
        drawn = rng.integers(clusters, size=(size, clusters))
        drawn += clusters * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * clusters).reshape(size, clusters)
        yield np.asarray((membership @ times.T).T)


def _weighted(group: NDArray[np.intp], positive: BoolArray, weights: Float64Array) -> Float64Array:
    """Areas [resamples]; group [passages] numbers the scores from the lowest, equal ones alike."""
    from scipy import sparse

    passages, levels = len(group), int(group.max()) + 1
    ones = np.ones(passages)
    by_level = sparse.csr_array((ones, (np.arange(passages), group)), shape=(passages, levels))
    up = np.asarray((weights * positive) @ by_level)
    down = np.asarray((weights * ~positive) @ by_level)
    below = np.cumsum(down, axis=1) - down / 2
    pairs = up.sum(axis=1) * down.sum(axis=1)
    with np.errstate(invalid="ignore"):  # without positives or negatives the area is undefined: NaN
        return np.asarray((up * below).sum(axis=1) / pairs)

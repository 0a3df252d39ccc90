"""How far a mean over queries can be trusted: a bootstrap interval over queries."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..core.records import Float64Array


RESAMPLES = 10_000
CONFIDENCE = 0.95
_BATCH = 4_000_000
"""Numbers drawn at once: 32 MB of them."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The bounds of a mean; both None where none can be had, ``reason`` then says why."""

    low: float | None
    high: float | None
    reason: str = ""


def bootstrap_intervals(values: Float64Array, *, seed: int = 0) -> list[Interval]:
    """95 % intervals of the means of several samples over the same queries.

    values [samples, queries]. One set of 10,000 seeded resamples of queries serves all samples,
    so a sample's interval does not depend on its neighbours. Bounds are bias-corrected and
    accelerated (BCa, Efron 1987); where that is undefined, plain percentiles. There is no
    interval for one query, nor where all queries have the same value: resampling cannot vary.
    """
    found = [_hopeless(row) for row in values]
    open_ = [place for place, interval in enumerate(found) if interval is None]
    if open_:
        low, high = _bounds(values[open_], seed)
        for place, bottom, top in zip(open_, low, high, strict=True):
            found[place] = Interval(float(bottom), float(top))
    return [interval for interval in found if interval is not None]


def _hopeless(row: Float64Array) -> Interval | None:
    if not np.isfinite(row).all():
        return Interval(None, None, "a value that is not finite")
    if len(row) < 2:
        return Interval(None, None, "only one query")
    if (row == row[0]).all():
        return Interval(None, None, "every query has the same value")
    return None


def _bounds(values: Float64Array, seed: int) -> tuple[Float64Array, Float64Array]:
    """Low and high, each [samples]."""
    result = _bootstrap(values, "BCa", seed)
    low, high = np.array(result.low), np.array(result.high)
    undefined = ~(np.isfinite(low) & np.isfinite(high))
    if undefined.any():
        plain = _bootstrap(values[undefined], "percentile", seed)
        low[undefined], high[undefined] = plain.low, plain.high
    return low, high


def _bootstrap(values: Float64Array, method: str, seed: int) -> Any:
    from scipy import stats

    with warnings.catch_warnings():
        # scipy warns where BCa is undefined; the caller asks for percentiles there
        warnings.simplefilter("ignore")
        return stats.bootstrap(
            (values,),
            np.mean,
            axis=-1,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            batch=max(1, _BATCH // values.size),
            method=method,
            random_state=np.random.default_rng(seed),
        ).confidence_interval

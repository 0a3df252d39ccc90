"""Whether two systems differ on the same queries by more than chance."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.records import Float64Array


RESAMPLES = 10_000
_BATCH = 2_000_000
"""Numbers permuted at once."""


@dataclass(frozen=True, slots=True)
class PairedTest:
    """System minus baseline over the same queries, and two-sided p values of "no difference".

    ``p_t`` is None for one query, where a t test is undefined.
    """

    delta: float
    p_randomisation: float
    p_t: float | None


def paired_tests(
    system: Float64Array, baseline: Float64Array, *, seed: int = 0
) -> list[PairedTest]:
    """One test a row; system and baseline [comparisons, queries], the same query a column.

    The randomisation test (Fisher; Smucker, Allan and Carterette 2007) flips the sign of each
    query's difference: all ways when they are at most 10,000, else 10,000 seeded ones, and the
    observed one counts among them. Systems equal on every query give p = 1.
    """
    differences = system - baseline
    randomisation = _randomisation(differences, seed)
    student = _student(system, baseline)
    return [
        PairedTest(float(row.mean()), float(p), t)
        for row, p, t in zip(differences, randomisation, student, strict=True)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjustment of a family of p values, in the order given."""
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, (len(p_values) - rank) * p_values[place])
        adjusted[place] = min(1.0, highest)
    return adjusted


def _randomisation(differences: Float64Array, seed: int) -> Float64Array:
    from scipy import stats

    if differences.shape[1] < 2:
        return np.ones(len(differences))  # one query, flipped or not, is as far from 0
    result = stats.permutation_test(
        (differences,),
        _mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH // differences.size),
        alternative="two-sided",
        axis=-1,
        random_state=np.random.default_rng(seed),
    )
    return np.atleast_1d(np.asarray(result.pvalue, dtype=np.float64))


def _mean(values: Float64Array, axis: int) -> Float64Array:
    return np.asarray(values.mean(axis=axis))


def _student(system: Float64Array, baseline: Float64Array) -> list[float | None]:
    from scipy import stats

    if system.shape[1] < 2:
        return [None] * len(system)
    with warnings.catch_warnings():
        # equal differences have no variance: scipy warns, and answers NaN (all 0) or p = 0
        warnings.simplefilter("ignore", RuntimeWarning)
        p_values = np.asarray(stats.ttest_rel(system, baseline, axis=1).pvalue)
    equal = (system == baseline).all(axis=1)
    return [1.0 if same else float(p) for same, p in zip(equal, p_values, strict=True)]

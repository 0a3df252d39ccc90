"""Bootstrap intervals over queries."""

from __future__ import annotations

import numpy as np
import pytest

from tamis.eval.intervals import bootstrap_intervals


def test_they_cover_the_true_mean_about_95_times_in_100() -> None:
    """600 samples of 40 values, skewed to the right; the true mean is 1."""
    samples = np.random.default_rng(0).exponential(1.0, (600, 40))
    found = bootstrap_intervals(samples)
    covered = np.mean([each.low < 1 < each.high for each in found])  # type: ignore[operator]
    assert 0.91 < covered < 0.97


def test_a_large_sample_has_the_normal_interval() -> None:
    sample = np.random.default_rng(1).normal(0.4, 0.2, 3000)
    (found,) = bootstrap_intervals(sample[None])
    half = 1.959964 * sample.std(ddof=1) / np.sqrt(len(sample))
    assert found.low == pytest.approx(sample.mean() - half, abs=0.04 * half)
    assert found.high == pytest.approx(sample.mean() + half, abs=0.04 * half)


def test_skew_moves_the_interval_towards_the_long_tail() -> None:
    """Plain percentiles of a small skewed sample lie too low; BCa corrects upwards."""
    sample = np.array([0.0] * 15 + [0.1, 0.2, 0.9, 1.0])
    (found,) = bootstrap_intervals(sample[None])
    resamples = np.random.default_rng(2).choice(sample, (10_000, len(sample))).mean(axis=1)
    low, high = np.percentile(resamples, [2.5, 97.5])
    assert found.low is not None
    assert found.high is not None
    assert found.low > low + 0.005
    assert found.high > high + 0.01


def test_seeded_and_independent_of_neighbours() -> None:
    values = np.random.default_rng(3).random((4, 30))
    first = bootstrap_intervals(values, seed=5)
    assert first == bootstrap_intervals(values, seed=5)
    assert first != bootstrap_intervals(values, seed=6)
    (alone,) = bootstrap_intervals(values[2:3], seed=5)
    assert alone.low == pytest.approx(first[2].low, abs=1e-12)
    assert alone.high == pytest.approx(first[2].high, abs=1e-12)


def test_no_interval_says_why_and_leaves_the_others_alone() -> None:
    values = np.array([[0.5, 0.5, 0.5], [0.1, 0.5, 0.9], [0.1, np.nan, 0.2]])
    constant, fine, broken = bootstrap_intervals(values)
    assert (constant.low, constant.high) == (None, None)
    assert constant.reason == "every query has the same value"
    assert fine.reason == ""
    assert fine.low is not None
    assert fine.high is not None
    assert 0.1 <= fine.low < 0.5 < fine.high <= 0.9
    assert broken.reason == "a value that is not finite"


def test_one_query_has_no_interval() -> None:
    (found,) = bootstrap_intervals(np.array([[0.7]]))
    assert (found.low, found.high, found.reason) == (None, None, "only one query")


def test_where_bca_is_undefined_percentiles_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy import stats

    whole = stats.bootstrap

    def half_blind(*args: object, method: str, **options: object) -> object:
        result = whole(*args, method=method, **options)
        if method == "BCa":
            result.confidence_interval.low[0] = np.nan
        return result

    values = np.random.default_rng(4).exponential(1.0, (2, 20))
    (_, other) = bootstrap_intervals(values)
    monkeypatch.setattr(stats, "bootstrap", half_blind)
    first, second = bootstrap_intervals(values)
    assert second == other
    resamples = np.random.default_rng(5).choice(values[0], (10_000, 20)).mean(axis=1)
    low, high = np.percentile(resamples, [2.5, 97.5])
    assert first.low == pytest.approx(low, abs=0.03)
    assert first.high == pytest.approx(high, abs=0.03)

"""Equivalence at a margin: by hand, by simulation, and where it cannot be tested."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tamis.core.errors import BadArguments, BadData, Mismatch
from tamis.eval.equivalence import detectable_effect, equivalence, equivalence_in
from tamis.eval.evaluate import evaluate

BASELINE = np.array([0.5, 0.7, 0.3, 0.9, 0.6])


def test_five_queries_by_hand() -> None:
    """Differences 1 2 3 4 5 hundredths: mean .03, error sqrt(2.5e-4 / 5) = .0070711, 4 df.

    The margin is .1 * .6 = .06: t = .09 / .0070711 = 12.7279 and -.03 / .0070711 = -4.24264,
    whose tail at 4 df is .0066177 (half of the two-sided .0132355); t of 5 % at 4 df is 2.131847.
    """
    found = equivalence(BASELINE + np.array([1, 2, 3, 4, 5]) / 100, BASELINE, margin=0.1)
    assert (found.queries, found.relative_margin, found.alpha) == (5, 0.1, 0.05)
    assert (found.baseline_mean, found.delta) == (pytest.approx(0.6), pytest.approx(0.03))
    assert found.margin == pytest.approx(0.06)
    assert found.sd == pytest.approx(math.sqrt(2.5e-4))
    assert found.p_upper == pytest.approx(0.0066177, abs=2e-7)
    assert found.p_lower == pytest.approx(0.000109, abs=2e-6)
    assert found.p_equivalence == found.p_upper
    assert found.low == pytest.approx(0.03 - 2.131847 * 0.00707107, abs=1e-7)
    assert found.high == pytest.approx(0.03 + 2.131847 * 0.00707107, abs=1e-7)
    assert found.equivalence_margin == found.high
    assert found.equivalent
    assert found.not_inferior
    assert found.reason == ""


def test_a_better_system_is_not_inferior_yet_not_equivalent() -> None:
    found = equivalence(BASELINE + np.array([9, 10, 11, 12, 13]) / 100, BASELINE)
    assert found.not_inferior
    assert not found.equivalent
    assert found.non_inferiority_margin == 0
    worse = equivalence(BASELINE - np.array([9, 10, 11, 12, 13]) / 100, BASELINE)
    assert not worse.not_inferior
    assert not worse.equivalent
    assert worse.non_inferiority_margin == pytest.approx(found.equivalence_margin)


def random_pair(seed: int, queries: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    baseline = rng.random(queries)
    return baseline + shift + rng.normal(0, 0.05, queries), baseline


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9999), st.integers(2, 60), st.floats(-0.1, 0.1), st.floats(0.01, 0.3))
def test_it_is_two_one_sided_t_tests(seed: int, queries: int, shift: float, margin: float) -> None:
    system, baseline = random_pair(seed, queries, shift)
    found = equivalence(system, baseline, margin=margin)
    bound = margin * baseline.mean()
    lower = stats.ttest_rel(system + bound, baseline, alternative="greater").pvalue
    upper = stats.ttest_rel(system - bound, baseline, alternative="less").pvalue
    assert found.p_lower == pytest.approx(lower, rel=1e-6, abs=1e-12)
    assert found.p_upper == pytest.approx(upper, rel=1e-6, abs=1e-12)
    interval = stats.ttest_rel(system, baseline).confidence_interval(0.9)
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    inside = -bound < interval.low and interval.high < bound
    assert found.equivalent == inside
    assert found.not_inferior == (-bound < interval.low)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9999), st.integers(2, 60), st.floats(-0.1, 0.1))
def test_equivalence_just_holds_at_its_margin(seed: int, queries: int, shift: float) -> None:
    system, baseline = random_pair(seed, queries, shift)
    share = equivalence(system, baseline).equivalence_margin
    assert share is not None
    share /= baseline.mean()
    assert equivalence(system, baseline, margin=share * 1.0001).equivalent
    assert not equivalence(system, baseline, margin=share * 0.9999).equivalent


@pytest.mark.parametrize("side", [-1, 1])
def test_a_system_at_the_border_passes_at_most_5_times_in_100(side: int) -> None:
    """The type I error, for a border reached from below and from above; 1,000 samples."""
    rng = np.random.default_rng(0)
    baseline = rng.random(30)
    border = side * 0.05 * baseline.mean()
    noise = rng.normal(border, 0.02, (1000, 30))
    passed = np.mean([equivalence(baseline + each, baseline).equivalent for each in noise])
    assert abs(passed - 0.05) < 3.3 * math.sqrt(0.05 * 0.95 / 1000)


def test_noise_beyond_the_margin_never_passes() -> None:
    """With noise far beyond the margin TOST passes almost never, even at its border."""
    rng = np.random.default_rng(1)
    baseline = rng.random(10)
    noise = rng.normal(0.05 * baseline.mean(), 0.3, (100, 10))
    assert not any(equivalence(baseline + each, baseline).equivalent for each in noise)


def test_what_could_have_been_shown_is_the_textbook_sample_size() -> None:
    """Cohen's d = .5 needs 34 pairs for a power of .8, .2 needs 199, .8 needs 15 (two-sided)."""
    for effect, queries in [(0.5, 34), (0.2, 199), (0.8, 15)]:
        assert detectable_effect(queries) < effect < detectable_effect(queries - 1)
    for queries in (5, 30, 300):
        shift, t = detectable_effect(queries) * math.sqrt(queries), stats.t.isf(0.025, queries - 1)
        assert stats.nct.sf(t, queries - 1, shift) == pytest.approx(0.8, abs=1e-5)
    with pytest.raises(BadArguments, match="1 queries"):
        detectable_effect(1)


@pytest.mark.parametrize("queries", [2, 8, 50])
def test_what_could_have_been_shown_is_shown_8_times_in_10(queries: int) -> None:
    system, baseline = random_pair(2, queries)
    found = equivalence(system, baseline)
    assert found.detectable is not None
    assert found.sd is not None
    assert found.detectable_share == pytest.approx(found.detectable / baseline.mean())
    drawn = np.random.default_rng(3).normal(found.detectable, found.sd, (20_000, queries))
    shown = stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05
    assert shown.mean() == pytest.approx(0.8, abs=0.012)


@pytest.mark.parametrize(("queries", "margin"), [(3, 0.3), (20, 0.05), (20, 0.1), (60, 0.05)])
def test_power_of_equal_systems_by_simulation(queries: int, margin: float) -> None:
    system, baseline = random_pair(4, queries)
    found = equivalence(system, baseline, margin=margin)
    assert found.sd is not None
    assert found.power_if_equal is not None
    drawn = np.random.default_rng(5).normal(0, found.sd, (20_000, queries))
    half = stats.t.isf(0.05, queries - 1) * drawn.std(axis=1, ddof=1) / math.sqrt(queries)
    passing = np.abs(drawn.mean(axis=1)) + half < found.margin
    assert found.power_if_equal == pytest.approx(passing.mean(), abs=0.013)


def test_many_queries_agree_with_the_normal_rule() -> None:
    """Power .9 at no true difference: sd = margin * sqrt(n) / 3.29 (1.645 + 1.645)."""
    rng = np.random.default_rng(6)
    baseline = rng.random(3000)
    noise = rng.normal(0, 1, 3000)
    noise -= noise.mean()
    sd = 0.05 * baseline.mean() * math.sqrt(3000) / 3.28971
    found = equivalence(baseline + noise * sd / noise.std(ddof=1), baseline)
    assert found.power_if_equal == pytest.approx(0.9, abs=0.001)


def test_identical_systems_are_equivalent_and_power_is_not_claimed() -> None:
    found = equivalence(BASELINE, BASELINE.copy())
    assert found.equivalent
    assert found.not_inferior
    assert (found.delta, found.sd, found.low, found.high, found.p_equivalence) == (0, 0, 0, 0, 0)
    assert found.equivalence_margin == 0
    assert (found.detectable, found.detectable_share, found.power_if_equal) == (None, None, None)
    assert found.reason == "no query differs: without variance nothing can be said of power"


@pytest.mark.parametrize(
    ("shift", "equivalent", "not_inferior"),
    [(-0.02, True, True), (-0.04, False, False), (0.04, False, True)],
)
def test_one_difference_everywhere(shift: float, equivalent: bool, not_inferior: bool) -> None:
    """The margin is .03; rounding leaves the differences a little apart."""
    found = equivalence(BASELINE + shift, BASELINE)
    assert (found.equivalent, found.not_inferior) == (equivalent, not_inferior)
    assert found.detectable is None
    assert found.reason.startswith("every query differs by one amount")


def test_one_query_proves_nothing() -> None:
    for value in (0.5, 0.1):
        found = equivalence(np.array([value]), np.array([0.5]))
        assert not found.equivalent
        assert not found.not_inferior
        assert found.p_equivalence is found.low is found.high is found.equivalence_margin is None
        assert found.detectable is found.non_inferiority_margin is None
        assert found.delta == value - 0.5
        assert found.reason == "only one query"


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(BadData, match="no query"):
        equivalence(np.empty(0), np.empty(0))
    with pytest.raises(Mismatch, match=r"\(4,\).*\(5,\)"):
        equivalence(BASELINE[:4], BASELINE)
    with pytest.raises(BadData, match="system has nan at query 1"):
        equivalence(np.array([0.1, np.nan]), np.array([0.1, 0.2]))
    with pytest.raises(BadData, match="baseline's mean is 0"):
        equivalence(np.array([0.1, 0.2]), np.zeros(2))
    for margin in (0.0, -0.1, math.nan):
        with pytest.raises(BadArguments, match="margin"):
            equivalence(BASELINE, BASELINE, margin=margin)
    for alpha in (0.0, 0.5, math.nan):
        with pytest.raises(BadArguments, match="alpha"):
            equivalence(BASELINE, BASELINE, alpha=alpha)


def test_evaluations_must_judge_the_same_queries() -> None:
    judgments = {"a": {"1": 1}, "b": {"2": 1}, "c": {"1": 1, "2": 1}}
    good = {query: {"1": 2.0, "2": 1.0, "3": 0.5} for query in judgments}
    bad = {query: {"1": 2.0, "3": 1.0, "2": 0.5} for query in judgments}
    first, second = (evaluate(run, judgments, ["nDCG@10"]) for run in (good, bad))
    found = equivalence_in("nDCG@10", second, first, margin=0.5)
    assert found == equivalence(second.values["nDCG@10"], first.values["nDCG@10"], margin=0.5)
    fewer = {query: judgments[query] for query in ("a", "b")}
    with pytest.raises(Mismatch, match=r"2 queries.* 3, 1 of them \(c"):
        equivalence_in("nDCG@10", evaluate(bad, fewer, ["nDCG@10"]), first)
    renamed = evaluate({"z": good["a"]}, {"z": {"1": 1}}, ["nDCG@10"])
    one = evaluate({"a": good["a"]}, {"a": {"1": 1}}, ["nDCG@10"])
    with pytest.raises(Mismatch, match="2 of them"):
        equivalence_in("nDCG@10", renamed, one)
    with pytest.raises(BadArguments, match=r"'RR@10' was not measured; measured: nDCG@10"):
        equivalence_in("RR@10", first, second)

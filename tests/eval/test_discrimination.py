"""Areas under the ROC curve against all pairs, plain bootstraps and known coverage."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.core.errors import BadData, Mismatch
from tamis.eval import discrimination as module
from tamis.eval.discrimination import (
    area_under_roc,
    clustered_difference,
    clustered_interval,
    delong_interval,
    delong_test,
)

SCORES = np.array([0.9, 0.8, 0.8, 0.4, 0.4, 0.1])
LABELS = np.array([1, 1, 0, 1, 0, 0], bool)

labelled = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.booleans()), min_size=4)


def columns(data: list[tuple[int, int, bool]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two scores with many ties, and labels of which both kinds occur at least twice."""
    first, second, labels = (np.array(column) for column in zip(*data, strict=True))
    labels[:2], labels[-2:] = True, False
    return first, second, labels


def over_pairs(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """[positives, negatives]: 1 where the positive is above, one half for a tie, else 0."""
    up, down = scores[labels][:, None], scores[~labels][None]
    return (up > down) + 0.5 * (up == down)


def delong_covariance(first: np.ndarray, second: np.ndarray) -> float:
    """The textbook sums over the pairs of two scores."""
    total = 0.0
    for axis in (1, 0):
        one, two = first.mean(axis=axis), second.mean(axis=axis)
        n = len(one)
        total += sum((one - one.mean()) * (two - two.mean())) / (n - 1) / n
    return total


def test_six_passages_by_hand() -> None:
    """.9 beats all three; .8 ties one and beats two; .4 ties one and beats one: 3 + 2.5 + 1.5."""
    assert area_under_roc(SCORES, LABELS) == pytest.approx(7 / 9)
    found = delong_interval(SCORES, LABELS)
    # placements 1, 5/6, 1/2 and, of the negatives, 1/2, 5/6, 1: variance .064815 each, over 3
    half = 1.959964 * math.sqrt(2 * 0.06481481 / 3)
    assert (found.positives, found.negatives, found.reason) == (3, 3, "")
    assert found.value == pytest.approx(7 / 9)
    assert found.low == pytest.approx(7 / 9 - half, abs=1e-6)
    assert found.high == 1


@settings(max_examples=60, deadline=None)
@given(labelled)
def test_ranks_agree_with_all_pairs(data: list[tuple[int, int, bool]]) -> None:
    first, second, labels = columns(data)
    one, two = over_pairs(first, labels), over_pairs(second, labels)
    assert area_under_roc(first, labels) == pytest.approx(one.mean(), abs=1e-12)
    assert area_under_roc(-first, labels) == pytest.approx(1 - one.mean(), abs=1e-12)
    area = delong_interval(first, labels)
    variance = delong_covariance(one, one)
    if variance > 1e-12:
        assert area.low == pytest.approx(
            max(0, one.mean() - 1.959964 * math.sqrt(variance)), abs=1e-6
        )
        assert area.high == pytest.approx(
            min(1, one.mean() + 1.959964 * math.sqrt(variance)), abs=1e-6
        )
    else:
        assert area.low is area.high is None
    variance += delong_covariance(two, two) - 2 * delong_covariance(one, two)
    test = delong_test(first, second, labels)
    assert (test.first, test.second) == (pytest.approx(one.mean()), pytest.approx(two.mean()))
    if variance > 1e-12:
        z = (one.mean() - two.mean()) / math.sqrt(variance)
        assert test.p == pytest.approx(math.erfc(abs(z) / math.sqrt(2)), abs=1e-6)
        assert test.high == pytest.approx(test.delta + 1.959964 * math.sqrt(variance), abs=1e-6)
    swapped = delong_test(second, first, labels)
    assert swapped.p == test.p or swapped.p == pytest.approx(test.p)
    assert swapped.delta == -test.delta


@settings(max_examples=30, deadline=None)
@given(labelled)
def test_the_weighted_area_is_the_area_of_repeated_passages(
    data: list[tuple[int, int, bool]],
) -> None:
    first, _, labels = columns(data)
    times = np.random.default_rng(len(data)).integers(0, 4, len(first))
    times[[0, -1]] = 2
    group = np.unique(first, return_inverse=True)[1]
    (found,) = module._weighted(group, labels, times[None].astype(float))
    expected = over_pairs(np.repeat(first, times), np.repeat(labels, times)).mean()
    assert found == pytest.approx(expected, abs=1e-12)


def sample(seed: int, size: int = 80, gain: float = 0.5) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    labels = rng.random(size) < 0.4
    shared = rng.normal(size=size) + gain * labels
    return np.round(shared + rng.normal(size=size), 1), np.round(shared, 1), labels


def test_delong_agrees_with_a_plain_bootstrap() -> None:
    first, second, labels = sample(0, 300)
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(1000):
        rows = np.concatenate(
            [
                rng.choice(np.flatnonzero(labels == kind), (labels == kind).sum())
                for kind in (True, False)
            ]
        )
        drawn.append([area_under_roc(score[rows], labels[rows]) for score in (first, second)])
    areas = np.array(drawn)
    area = delong_interval(first, labels)
    assert area.low is not None
    assert area.high is not None
    assert (area.high - area.low) / 2 / 1.96 == pytest.approx(areas[:, 0].std(), rel=0.08)
    test = delong_test(first, second, labels)
    assert test.low is not None
    assert test.high is not None
    spread = (areas[:, 0] - areas[:, 1]).std()
    assert (test.high - test.low) / 2 / 1.96 == pytest.approx(spread, rel=0.08)


def test_p_values_are_uniform_when_nothing_differs() -> None:
    """Two noisy readings of one signal have the same true area."""
    rng = np.random.default_rng(2)
    p_values = []
    for _ in range(600):
        labels = rng.random(60) < 0.5
        signal = rng.normal(size=60) + 0.7 * labels
        found = delong_test(*(signal + rng.normal(size=(2, 60))), labels)
        p_values.append(found.p)
    assert 0.025 < np.mean(np.array(p_values) < 0.05) < 0.08
    assert 0.43 < np.mean(np.array(p_values) < 0.5) < 0.57


def test_queries_of_one_passage_each_are_a_plain_bootstrap() -> None:
    first, second, labels = sample(3, 300)
    lone = clustered_interval(first, labels, [[]] * 300)
    named = clustered_interval(first, labels, [[str(row)] for row in range(300)])
    assert lone == named
    delong = delong_interval(first, labels)
    assert lone.value == delong.value
    assert (lone.low, lone.high) == (
        pytest.approx(delong.low, abs=0.01),
        pytest.approx(delong.high, abs=0.01),
    )
    pair, test = (
        clustered_difference(first, second, labels, [[]] * 300),
        delong_test(first, second, labels),
    )
    assert (pair.low, pair.high) == (
        pytest.approx(test.low, abs=0.01),
        pytest.approx(test.high, abs=0.01),
    )
    assert pair.p == pytest.approx(test.p, abs=0.03)


def test_passages_that_come_together_widen_the_interval_as_far_as_they_should() -> None:
    """A passage written ten times is one piece of evidence still, when its copies share a query."""
    first, _, labels = sample(4, 60)
    copies, copied = np.repeat(first, 10), np.repeat(labels, 10)
    queries = [[str(row)] for row in np.repeat(np.arange(60), 10)]
    honest = clustered_interval(first, labels, [[]] * 60)
    grouped = clustered_interval(copies, copied, queries)
    fooled = clustered_interval(copies, copied, [[]] * 600)
    assert (grouped.low, grouped.high) == (honest.low, honest.high)
    width = [each.high - each.low for each in (honest, fooled)]  # type: ignore[operator]
    assert width[1] < 0.4 * width[0]


def test_a_passage_of_two_queries_weighs_their_mean() -> None:
    weights = np.concatenate(
        list(module._weights(module._membership([["a", "b", "a"], ["a"], ["b"], []]), 0))
    )
    assert weights.shape == (module.RESAMPLES, 4)
    np.testing.assert_allclose(weights[:, 0], (weights[:, 1] + weights[:, 2]) / 2)
    np.testing.assert_allclose(weights[:, 1:].sum(axis=1), 3)  # three clusters, three draws
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.06)


def test_batches_and_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, labels = sample(5)
    queries = [[str(row % 9)] for row in range(80)]
    found = clustered_difference(first, second, labels, queries)
    assert found == clustered_difference(first, second, labels, queries)
    assert found != clustered_difference(first, second, labels, queries, seed=1)
    monkeypatch.setattr(module, "_BATCH", 80 * 7)
    assert found == clustered_difference(first, second, labels, queries)


def test_resamples_without_one_kind_are_left_out() -> None:
    """Two queries, one with all positives: half of the resamples lack a kind."""
    area = clustered_interval([1, 2, 3, 0], [1, 1, 0, 0], [["a"], ["a"], ["b"], ["b"]])
    assert (area.value, area.low, area.high) == (0.5, 0.5, 0.5)


def test_no_interval_says_why() -> None:
    for scores, labels, reason in [
        ([3, 2, 1], [1, 0, 0], "only one positive passage"),
        ([3, 2, 1], [1, 1, 0], "only one negative passage"),
        ([4, 3, 2, 1], [1, 1, 0, 0], "DeLong's variance is 0"),
    ]:
        area = delong_interval(scores, labels)
        assert (area.value, area.low, area.high) == (1, None, None)
        assert reason in area.reason
        test = delong_test(scores, scores[::-1], labels)
        assert (test.delta, test.low, test.high, test.p) == (1, None, None, None)
        assert reason in test.reason
    one = clustered_interval([3, 2, 1], [1, 0, 0], [["a"], ["a"], ["a"]])
    assert (one.low, one.reason) == (None, "all labels come from one query")
    pair = clustered_difference([3, 2, 1], [1, 2, 3], [1, 0, 0], [["a"]] * 3)
    assert (pair.delta, pair.p, pair.reason) == (1, None, one.reason)


def test_scores_that_order_alike_do_not_differ() -> None:
    found = delong_test(SCORES, 10 * SCORES - 3, LABELS)
    assert (found.delta, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_what_has_no_area_is_refused() -> None:
    for labels, kind in [([1, 1], "negative"), ([0, 0], "positive"), ([], "positive")]:
        scores = np.arange(len(labels))
        for call in (area_under_roc, delong_interval):
            with pytest.raises(BadData, match=f"not one is {kind}"):
                call(scores, labels)
    for bad in (np.nan, np.inf):
        with pytest.raises(BadData, match="passage 1 has the score"):
            delong_test([1, 2], [1, bad], [1, 0])
    with pytest.raises(Mismatch, match=r"\(3,\).*\(2,\)"):
        area_under_roc([1, 2, 3], [1, 0])
    with pytest.raises(Mismatch, match="1 passages, labels for 2"):
        clustered_interval([1, 2], [1, 0], [["a"]])


def test_every_small_case_is_between_0_and_1() -> None:
    for scores, labels in product(product(range(3), repeat=4), [(1, 1, 0, 0), (1, 0, 1, 0)]):
        area = delong_interval(scores, labels)
        if area.low is not None and area.high is not None:
            assert 0 <= area.low <= area.value <= area.high <= 1

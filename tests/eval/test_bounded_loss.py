"""The bound holds as often as it says, and no loss among few queries is no proof of none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tamis.core.errors import BadArguments, BadData
from tamis.eval.bounded_loss import bounded_loss


def test_a_bound_set_by_hand() -> None:
    found = bounded_loss(np.array([1.0, 0.5, 0.8]), np.array([1.0, 0.5, 0.5]))
    padded = np.array([0.0, 0.0, 0.3, 1.0])
    expected = stats.ttest_1samp(padded, 0, alternative="less").confidence_interval(0.95).high
    assert found.loss == pytest.approx(0.1)
    assert found.bound == pytest.approx(expected)
    assert found.queries == 3


@pytest.mark.parametrize("n", [50, 300, 3000])
def test_no_loss_is_bounded_by_about_the_rule_of_three(n: int) -> None:
    bound = bounded_loss(np.full(n, 0.7), np.full(n, 0.7)).bound
    assert 2.5 / n < bound < 3 / n


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_the_bound_is_broken_as_seldom_as_promised(share: float) -> None:
    """Losses of 0 to .5 in a share of the queries, as exits cause them; alpha is .05."""
    rng = np.random.default_rng(0)
    truth, broken, draws = share * 0.25, 0, 2000
    for _ in range(draws):
        losses = np.where(rng.random(400) < share, rng.uniform(0, 0.5, 400), 0)
        broken += bounded_loss(np.ones(400), 1 - losses).bound < truth
    assert broken / draws < 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_the_bound_lies_above_the_loss_and_falls_with_alpha(
    pairs: list[tuple[float, float]],
) -> None:
    whole, short = np.array(pairs).T
    strict, loose = bounded_loss(whole, short, alpha=0.01), bounded_loss(whole, short, alpha=0.2)
    assert strict.loss <= loose.bound <= strict.bound


def test_wrong_values_are_refused() -> None:
    with pytest.raises(BadArguments, match="alpha is 0"):
        bounded_loss(np.ones(2), np.ones(2), alpha=0.7)
    for whole, short in (([], []), ([1.0], [1.0, 0.5]), ([1.5], [1.0]), ([np.nan], [1.0])):
        with pytest.raises(BadData, match="expected"):
            bounded_loss(np.array(whole), np.array(short))

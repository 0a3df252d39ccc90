"""Shares and their intervals, against worked values and another formula."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.core.errors import BadArguments
from tamis.eval.proportions import proportion

Z = 1.959963984540054


def test_no_success_still_leaves_room_above() -> None:
    found = proportion(0, 200)
    assert (found.share, found.low) == (0, 0)
    assert found.high == pytest.approx(Z**2 / (200 + Z**2), abs=1e-9)


def test_nothing_tried_nothing_known() -> None:
    found = proportion(0, 0)
    assert (found.share, found.low, found.high) == (0, 0, 1)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_bounds_are_wilsons(counted: tuple[int, int]) -> None:
    count, n = counted
    p, found = count / n, proportion(count, n)
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n * n)) / (1 + Z**2 / n)
    assert found.low == pytest.approx(centre - half, abs=1e-9)
    assert found.high == pytest.approx(centre + half, abs=1e-9)
    assert found.low - 1e-12 <= found.share <= found.high + 1e-12


@pytest.mark.parametrize(("count", "trials"), [(-1, 3), (4, 3), (1, 0)])
def test_an_impossible_count_is_refused(count: int, trials: int) -> None:
    with pytest.raises(BadArguments, match="expected a count"):
        proportion(count, trials)

"""The cut: which rows stay, counted by hand and against a second implementation."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.core.errors import BadArguments
from tamis.index.pruning import Cut

SCORES = [3, 9, 1, 9, 5, 2, 9, 7, 4, 9]
BEST = [1, 3, 6, 9, 7, 4, 8, 0, 5, 2]  # rows by score, equal ones in order


def kept(cut: Cut, scores: list[float], protected: list[int] | None = None) -> list[int]:
    rows = np.array(protected or [], np.int64)
    return np.flatnonzero(cut.mask(np.array(scores, np.float32), rows)).tolist()


@pytest.mark.parametrize(
    ("keep", "count"),
    [(1e-9, 1), (0.05, 1), (0.1, 1), (0.11, 2), (0.3, 3), (0.4, 4), (0.75, 8), (0.91, 10), (1, 10)],
)
def test_a_share_is_rounded_up_and_of_equal_scores_the_first_stay(keep: float, count: int) -> None:
    assert kept(Cut(keep), SCORES) == sorted(BEST[:count])


@pytest.mark.parametrize(("keep", "rows", "count"), [(0.07, 100, 7), (0.55, 100, 55), (0.1, 3, 1)])
def test_a_share_is_what_was_written_not_its_binary_neighbour(
    keep: float, rows: int, count: int
) -> None:
    assert len(kept(Cut(keep), [0.0] * rows)) == count
    assert len(kept(Cut(float(np.float64(keep))), [0.0] * rows)) == count


@pytest.mark.parametrize(("least", "count"), [(5, 6), (5.1, 5), (9, 4), (-3, 10)])
def test_a_least_score_is_enough(least: float, count: int) -> None:
    assert kept(Cut(min_quality=least), SCORES) == sorted(BEST[:count])


def test_a_least_score_is_compared_as_the_scores_are_stored() -> None:
    assert kept(Cut(min_quality=0.1), [0.1, 0.2, 0.05]) == [0, 1]
    assert kept(Cut(min_quality=0.7), [0.7, 0.2]) == [0]


def test_no_rule_keeps_all() -> None:
    assert kept(Cut(), SCORES) == list(range(10))


@pytest.mark.parametrize(
    ("cut", "rows"),
    [
        (Cut(0.4), [1, 2, 3, 5]),
        (Cut(0.2), [2, 5]),
        (Cut(0.1), [2, 5]),
        (Cut(min_quality=9), [1, 2, 3, 5, 6, 9]),
        (Cut(min_quality=99), [2, 5]),
    ],
)
def test_protected_rows_stay_and_count(cut: Cut, rows: list[int]) -> None:
    assert kept(cut, SCORES, [2, 5]) == rows


@given(
    st.lists(st.integers(-2, 2).map(float), min_size=1, max_size=40),
    st.integers(1, 100),
    st.data(),
)
def test_as_a_sort_says_it(scores: list[float], percent: int, data: st.DataObject) -> None:
    protected = data.draw(st.sets(st.integers(0, len(scores) - 1)))
    order = sorted(range(len(scores)), key=lambda row: (row not in protected, -scores[row], row))
    count = max(math.ceil(Fraction(percent, 100) * len(scores)), len(protected))
    assert kept(Cut(percent / 100), scores, sorted(protected)) == sorted(order[:count])


@pytest.mark.parametrize("keep", [0, -0.5, 1.01, 75, math.nan])
def test_a_share_out_of_range_is_refused(keep: float) -> None:
    with pytest.raises(BadArguments, match="above 0 and at most 1"):
        Cut(keep)


@pytest.mark.parametrize("least", [math.nan, math.inf, -math.inf])
def test_a_least_score_that_is_no_number_is_refused(least: float) -> None:
    with pytest.raises(BadArguments, match="finite score"):
        Cut(min_quality=least)


def test_two_rules_at_once_are_refused() -> None:
    with pytest.raises(BadArguments, match="say one of them"):
        Cut(0.5, 3)


def test_a_cut_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(BadArguments, match=r"9\.5 and the best passage scores 9: nothing"):
        kept(Cut(min_quality=9.5), SCORES)

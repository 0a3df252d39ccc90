"""The best k: score descending, then row ascending, exactly."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.core.topk import best_first, top_k

few_values = st.sampled_from([-1.0, 0.0, 0.25, 0.5, 0.75, 1.0])
scores = st.lists(few_values | st.floats(-2, 2, width=32), max_size=40)


def slow(values: np.ndarray, k: int) -> list[int]:
    return sorted((row for row in range(len(values)) if values[row] > 0), key=_by(values))[:k]


def _by(values: np.ndarray):
    return lambda row: (-values[row], row)


def test_by_hand() -> None:
    values = np.array([0.5, 2, 0, 2, -1, 0.5, 0.5], np.float32)
    rows, kept = top_k(values, 4)
    assert rows.tolist() == [1, 3, 0, 5]
    assert kept.tolist() == [2, 2, 0.5, 0.5]
    assert (rows.dtype, kept.dtype) == (np.int64, np.float32)


@given(scores, st.integers(1, 50))
def test_top_k_is_a_sort(values: list[float], k: int) -> None:
    array = np.array(values, np.float32)
    rows, kept = top_k(array, k)
    assert rows.tolist() == slow(array, k)
    assert kept.tolist() == array[rows].tolist()


@given(scores)
def test_best_first_is_a_sort_of_all(values: list[float]) -> None:
    array = np.array(values, np.float32)
    shuffled = np.random.default_rng(0).permutation(len(values)).astype(np.int64)
    rows, kept = best_first(shuffled, array[shuffled])
    assert rows.tolist() == sorted(range(len(values)), key=_by(array))
    assert kept.tolist() == array[rows].tolist()


def test_nothing() -> None:
    rows, kept = top_k(np.empty(0, np.float32), 3)
    assert (rows.tolist(), kept.tolist()) == ([], [])
    assert top_k(np.zeros(5, np.float32), 3)[0].tolist() == []

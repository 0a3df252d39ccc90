"""token_batches: every text once, within the budget, with hardly any padding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.encoders.token_batches import token_batches

lengths = st.lists(st.integers(0, 600), max_size=200).map(lambda n: np.array(n, np.int32))
budgets = st.integers(1, 5000)


@given(lengths=lengths, budget=budgets)
def test_every_text_is_in_one_batch(lengths: np.ndarray, budget: int) -> None:
    batches = list(token_batches(lengths, budget))
    assert sorted(np.concatenate([*batches, []]).tolist()) == list(range(len(lengths)))
    assert all(len(batch) and batch.dtype == np.int64 for batch in batches)


@given(lengths=lengths, budget=budgets)
def test_a_padded_batch_keeps_the_budget(lengths: np.ndarray, budget: int) -> None:
    for batch in token_batches(lengths, budget):
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= budget


@given(lengths=lengths, budget=budgets)
def test_padding_is_at_most_a_sixteenth(lengths: np.ndarray, budget: int) -> None:
    for batch in token_batches(lengths, budget):
        longest = int(lengths[batch].max())
        assert longest - int(lengths[batch].min()) <= longest / 16


@given(lengths=lengths, budget=budgets)
def test_the_longest_texts_come_first(lengths: np.ndarray, budget: int) -> None:
    longest = [int(lengths[batch].max()) for batch in token_batches(lengths, budget)]
    assert longest == sorted(longest, reverse=True)
    if len(lengths):
        assert longest[0] == lengths.max()


@given(length=st.integers(1, 600), n=st.integers(1, 300), budget=budgets)
def test_texts_of_one_length_fill_their_batches(length: int, n: int, budget: int) -> None:
    sizes = [len(batch) for batch in token_batches(np.full(n, length, np.int32), budget)]
    room = max(1, budget // length)
    assert sizes == [room] * (n // room) + ([n % room] if n % room else [])


@pytest.mark.parametrize(
    ("lengths", "budget", "expected"),
    [
        ([], 10, []),
        ([3, 9, 3, 3], 6, [[1], [0, 2], [3]]),
        ([32, 31, 30, 29], 1000, [[0, 1, 2], [3]]),
        ([0, 0, 5], 10, [[2], [0, 1]]),
    ],
)
def test_by_hand(lengths: list[int], budget: int, expected: list[list[int]]) -> None:
    found = token_batches(np.array(lengths, np.int32), budget)
    assert [batch.tolist() for batch in found] == expected

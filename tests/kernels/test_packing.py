"""``Packed`` and ``Steps`` against plain loops over segments."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.core.errors import BadArguments
from tamis.kernels.packing import pack_lengths

lengths_of_packs = st.lists(st.integers(0, 12), max_size=9)


def test_a_pack_by_hand() -> None:
    packed = pack_lengths([3, 0, 1, 5])
    assert packed.cu_seqlens.tolist() == [0, 3, 3, 4, 9]
    assert packed.cu_seqlens.dtype == packed.order.dtype == torch.int32
    assert packed.order.tolist() == [3, 0, 2, 1]
    assert (len(packed), packed.tokens, packed.max_length) == (4, 9, 5)
    assert packed.segment_ids.tolist() == [0, 0, 0, 2, 3, 3, 3, 3, 3]
    assert packed.positions.tolist() == [0, 1, 2, 0, 0, 1, 2, 3, 4]


def test_steps_by_hand() -> None:
    forward, backward = (pack_lengths([2, 0, 3]).steps(reverse=r) for r in (False, True))
    assert [rows.tolist() for rows in forward.rows] == [[2, 0], [3, 1], [4]]
    assert [rows.tolist() for rows in backward.rows] == [[4, 1], [3, 0], [2]]


def test_equal_lengths_keep_their_order() -> None:
    assert pack_lengths([2, 5, 2, 5]).order.tolist() == [1, 3, 0, 2]


@settings(max_examples=30, deadline=None)
@given(lengths_of_packs, st.booleans())
def test_steps_visit_every_token_once_in_time_order(lengths: list[int], reverse: bool) -> None:
    packed = pack_lengths(lengths)
    steps = packed.steps(reverse=reverse)
    assert len(steps.rows) == packed.max_length
    time = torch.full((packed.tokens,), -1)
    for t, rows in enumerate(steps.rows):
        assert (time[rows] == -1).all()
        time[rows] = t
    left = torch.from_numpy(np.repeat(packed.lengths, packed.lengths)) - 1 - packed.positions
    assert torch.equal(time, left if reverse else packed.positions)


@settings(max_examples=30, deadline=None)
@given(lengths_of_packs, st.booleans())
def test_what_the_steps_take_apart_they_put_together(lengths: list[int], reverse: bool) -> None:
    packed = pack_lengths(lengths)
    steps = packed.steps(reverse=reverse)
    x = torch.arange(packed.tokens * 2.0).view(-1, 2)
    if packed.tokens:
        assert torch.equal(steps.to_tokens([x[rows] for rows in steps.rows]), x)
    states = torch.arange(len(packed))
    assert torch.equal(steps.to_segments(steps.from_segments(states)), states)
    alive = [rows.shape[0] for rows in steps.rows]
    assert alive == sorted(alive, reverse=True)
    # a state in step order meets its own segment's tokens
    ordered = steps.from_segments(states)
    for rows in steps.rows:
        assert torch.equal(packed.segment_ids[rows], ordered[: len(rows)])


def test_a_pack_made_while_encoding_serves_training() -> None:
    with torch.inference_mode():
        packed = pack_lengths([2, 1])
        steps = packed.steps()
        ids = packed.segment_ids
    x = torch.ones(3, 1, requires_grad=True)
    (
        steps.to_tokens(steps.by_step(x)) * x[steps.rows[0][0]] * x.index_select(0, ids)
    ).sum().backward()
    assert x.grad is not None


def test_the_callers_array_stays_the_callers() -> None:
    lengths = np.array([2, 1])
    packed = pack_lengths(lengths)
    lengths[:] = 9
    assert packed.lengths.tolist() == [2, 1]


def test_no_segment_at_all() -> None:
    packed = pack_lengths([])
    assert (len(packed), packed.tokens, packed.max_length) == (0, 0, 0)
    assert packed.cu_seqlens.tolist() == [0]
    assert packed.steps().rows == ()


def test_impossible_lengths_are_refused() -> None:
    with pytest.raises(BadArguments, match="-1 tokens"):
        pack_lengths([2, -1])
    with pytest.raises(BadArguments, match="2147483648 tokens"):
        pack_lengths([2**30, 2**30])

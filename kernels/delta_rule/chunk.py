"""The delta rule by chunks of tokens: products of matrices instead of one update after another.

Within a chunk that starts from S, the error e_i that step i writes back depends on those before
it: e_i = v_i - G_i S^T k_i - sum_{j<i} (G_i / G_j) beta_j (k_i . k_j) e_j, where G_i is the decay
from the chunk's start to i. That is one unit lower triangular system per chunk, solved for all
chunks of all segments at once; only S then goes from chunk to chunk (the WY form of
arXiv 2406.06484, with the decay of 2412.06464). A token's several steps follow one another; the
first decays and the last is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..packing import pack_lengths
from .reference import reference

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed

_STEPS = 32  # of one chunk, all its tokens together
_FORGOTTEN = -1e6  # a decay of exp(-inf) would make differences of sums undefined


def chunked(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    packed: Packed,
    *,
    log_decay: Tensor | None = None,
    reverse: bool = False,
) -> Tensor:
    """As ``delta_rule``, with the axis of steps."""
    tokens, steps, heads, _ = v.shape
    if not tokens:
        return reference(q, k, v, beta, packed, log_decay=log_decay)
    size = max(_STEPS // steps, 1)
    chunks = pack_lengths(-(-packed.lengths // size), packed.device)
    slots = _slots(packed, chunks, size, reverse=reverse)
    wide = torch.promote_types(q.dtype, torch.float32)
    if log_decay is None:
        log_decay = q.new_zeros(tokens, heads)
    # float64: the difference of two sums must keep its digits after a token that forgets all
    gates = log_decay.double().clamp(min=_FORGOTTEN)[:, None, :, None]

    def spread(value: Tensor) -> Tensor:
        """[tokens, m, heads, D] to [chunks, heads, size * m, D], zero where no token is."""
        padded = value.new_zeros(chunks.tokens * size, *value.shape[1:])
        padded = padded.index_copy(0, slots, value)
        return padded.view(chunks.tokens, -1, *value.shape[2:]).transpose(1, 2).contiguous()

    Q, K, V, B = (spread(value.to(wide)) for value in (q[:, None], k, v, beta[..., None]))
    out = _mix(Q, K, V, B * K, spread(gates).cumsum(2), chunks)
    return out.transpose(1, 2).flatten(0, 1).index_select(0, slots).to(q.dtype)


def _mix(Q: Tensor, K: Tensor, V: Tensor, B: Tensor, G: Tensor, chunks: Packed) -> Tensor:
    """Q [chunks, H, size, DK]; K, V, B = beta K [chunks, H, size * steps, D]; G [.., size, 1].

    Returns the outputs [chunks, H, size, DV].
    """
    steps = K.shape[2] // Q.shape[2]
    by_step = G.repeat_interleave(steps, 2)
    last = torch.arange(1, Q.shape[2] + 1, device=Q.device) * steps - 1
    place = torch.arange(K.shape[2], device=Q.device)
    before = _decay(by_step, by_step, place[:, None] > place, Q) * (K @ B.mT)
    reads = _decay(G, by_step, last[:, None] >= place, Q) * (Q @ B.mT)
    start = by_step.exp().to(Q.dtype)
    right = torch.cat([V, start * K], 3)
    solved = torch.linalg.solve_triangular(before, right, upper=False, unitriangular=True)
    alone, from_state = solved.split([V.shape[3], K.shape[3]], 3)
    to_end = (by_step[:, :, -1:] - by_step).exp().to(Q.dtype) * B
    states, errors = _across(alone, from_state, to_end.mT, start[:, :, -1:], chunks)
    return (G.exp().to(Q.dtype) * Q) @ states + reads @ errors


def _decay(later: Tensor, earlier: Tensor, wanted: Tensor, like: Tensor) -> Tensor:
    """exp(later_i - earlier_j) where ``wanted``, else 0; the others would overflow."""
    difference = (later - earlier.mT).to(like.dtype)
    return difference.masked_fill(~wanted, -torch.inf).exp()


def _across(
    alone: Tensor, from_state: Tensor, to_end: Tensor, decay: Tensor, chunks: Packed
) -> tuple[Tensor, Tensor]:
    """The state before each chunk and the errors within it: the only loop, over chunks."""
    order = chunks.steps()
    inputs = (order.by_step(value) for value in (alone, from_state, to_end, decay))
    heads, DK, DV = alone.shape[1], from_state.shape[3], alone.shape[3]
    state = alone.new_zeros(len(chunks), heads, DK, DV)
    states, errors = [], []
    for alone_t, from_state_t, to_end_t, decay_t in zip(*inputs, strict=True):
        state = state[: len(alone_t)]
        states.append(state)
        errors.append(alone_t - from_state_t @ state)
        state = decay_t * state + to_end_t @ errors[-1]
    return order.to_tokens(states), order.to_tokens(errors)


def _slots(packed: Packed, chunks: Packed, size: int, *, reverse: bool) -> Tensor:
    """[tokens] int64: each token's place among [chunks.tokens * size]."""
    lengths = packed.lengths
    starts = (np.cumsum(chunks.lengths) - chunks.lengths) * size
    inside = np.arange(packed.tokens) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    if reverse:
        inside = np.repeat(lengths, lengths) - 1 - inside
    return torch.from_numpy(np.repeat(starts, lengths) + inside).to(packed.device)

"""The delta rule as a loop over time: the oracle of every faster form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed


def reference(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    packed: Packed,
    *,
    log_decay: Tensor | None = None,
    reverse: bool = False,
) -> Tensor:
    """As ``delta_rule``, with the axis of steps; one token of every segment at a time."""
    order = packed.steps(reverse=reverse)
    tokens, heads, DK = q.shape
    steps, DV = v.shape[1], v.shape[3]
    wide = torch.promote_types(q.dtype, torch.float32)
    decay = q.new_ones(tokens, heads) if log_decay is None else log_decay.to(wide).exp()
    if not order.rows:  # empty, and yet a function of every tensor: all get their zero gradients
        at_key = (q * k[:, 0]).sum(2) * beta[:, 0] * decay
        return (at_key[:, :, None] * v[:, 0]).to(q.dtype)
    inputs = (order.by_step(value.to(wide)) for value in (q, k, v, beta, decay))
    state = torch.zeros(len(packed), heads, DK, DV, dtype=wide, device=q.device)
    outputs = []
    for q_t, k_t, v_t, beta_t, decay_t in zip(*inputs, strict=True):
        # segments that have ended are the last rows of the state
        state = state[: len(q_t)]
        if log_decay is not None:
            state = decay_t[:, :, None, None] * state
        for step in range(steps):
            key, value = k_t[:, step, :, :, None], v_t[:, step, :, None]
            error = value - key.mT @ state
            state = state + (beta_t[:, step, :, None, None] * key) * error
        outputs.append((q_t[:, :, None] @ state)[:, :, 0])
    return order.to_tokens(outputs).to(q.dtype)

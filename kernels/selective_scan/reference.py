"""The recurrence as a loop over time: the oracle, and what runs without a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed


def reference(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    packed: Packed,
    *,
    reverse: bool = False,
) -> Tensor:
    """As ``selective_scan``; the states of one step [n_t, channels, N] are held, not all tokens'.

    Autograd keeps every step's, so training on long packs is for the fused twin.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    u, dt, A, B, C, D = (value.to(wide) for value in (x, dt, A, B, C, D))
    steps = packed.steps(reverse=reverse)
    if not steps.rows:  # empty, and yet a function of every tensor: all get their zero gradients
        return (u * dt * (B * C).sum(1, keepdim=True) * A.sum(1) * D).to(x.dtype)
    inputs = (steps.by_step(value) for value in (u * dt, dt, B, C))
    state = u.new_zeros(len(packed), *A.shape)
    outputs = []
    for inject, dt_t, B_t, C_t in zip(*inputs, strict=True):
        decay = torch.exp(dt_t[:, :, None] * A)
        # segments that have ended are the last rows of the state
        state = decay * state[: len(dt_t)] + inject[:, :, None] * B_t[:, None]
        outputs.append(torch.matmul(state, C_t[:, :, None])[:, :, 0])
    y: Tensor = steps.to_tokens(outputs) + u * D
    return y.to(x.dtype)

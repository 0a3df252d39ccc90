"""The recurrence as a loop over time: the oracle of the convolution and of the kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .discretise import discretise

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed


def reference(
    x: Tensor,
    log_dt: Tensor,
    A_re: Tensor,
    A_im: Tensor,
    C_re: Tensor,
    C_im: Tensor,
    D: Tensor,
    packed: Packed,
    *,
    reverse: bool = False,
) -> Tensor:
    """As ``diagonal_ssm``, one token of every segment at a time, in complex numbers."""
    wide = torch.promote_types(x.dtype, torch.float32)
    u = x.to(wide)
    discrete = (value.to(wide) for value in discretise(log_dt, A_re, A_im, C_re, C_im))
    a_re, a_im, w_re, w_im = discrete
    abar, weight = torch.complex(a_re, a_im), torch.complex(w_re, w_im)
    steps = packed.steps(reverse=reverse)
    if not steps.rows:  # empty, and yet a function of every tensor: all get their zero gradients
        return (u * (weight.sum(1).real + D)).to(x.dtype)
    state = abar.new_zeros(len(packed), *abar.shape)
    outputs = []
    for x_t in steps.by_step(u):
        # segments that have ended are the last rows of the state
        state = abar * state[: len(x_t)] + x_t[:, :, None]
        outputs.append(2 * (weight * state).sum(2).real)
    y: Tensor = steps.to_tokens(outputs) + u * D.to(wide)
    return y.to(x.dtype)

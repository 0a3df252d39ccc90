"""From continuous to discrete time by zero-order hold, with all the digits of a small step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def discretise(
    log_dt: Tensor, A_re: Tensor, A_im: Tensor, C_re: Tensor, C_im: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """abar = exp(dt A) and w = C (abar - 1) / A: real and imaginary part [channels, N] of each.

    With w the output is 2 Re sum_n w_n g_n for g = abar g + x, the input being unscaled.
    All in float64, which so few numbers can afford: a phase that is off by one bit is off by
    hundreds of bits after hundreds of steps. And abar - 1 comes from expm1: for dt A near 0.001
    the difference itself would lose three digits.
    """
    log_dt, A_re, A_im, C_re, C_im = (value.double() for value in (log_dt, A_re, A_im, C_re, C_im))
    dt = log_dt.exp()[:, None]
    real, imaginary = dt * A_re, dt * A_im
    less_re = torch.expm1(real) * imaginary.cos() - 2 * (imaginary / 2).sin().square()
    less_im = real.exp() * imaginary.sin()
    size = A_re.square() + A_im.square()
    hold_re = (less_re * A_re + less_im * A_im) / size
    hold_im = (less_im * A_re - less_re * A_im) / size
    w_re = C_re * hold_re - C_im * hold_im
    w_im = C_re * hold_im + C_im * hold_re
    return real.exp() * imaginary.cos(), less_im, w_re, w_im

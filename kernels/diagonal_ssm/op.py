"""The public function: check the shapes, choose a twin, run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import BadArguments
from ..dispatch import choose
from ..packing import on_one_device

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed


def diagonal_ssm(
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
    """A linear state space with N complex states per channel, the same at every token (S4D).

    h_n = abar_n h_n + bbar_n x and y = 2 Re sum_n C_n h_n + D x, with h = 0 before a segment; the
    N states stand for N conjugate pairs. Discretised by zero-order hold with B = 1 and
    dt = exp(log_dt): abar = exp(dt A), bbar = (abar - 1) / A.
    x [tokens, channels]; log_dt, D [channels]; A_re (negative), A_im, C_re, C_im [channels, N].
    ``reverse`` runs each segment from its last token to its first.
    Returns y [tokens, channels] in x's dtype; the states are float32 (float64 for float64).
    Gradients reach every tensor. Segments of zero and of one token are legal.
    Raises BadArguments for shapes that do not fit. Source: S4D, arXiv 2206.11893.
    """
    _check(x, log_dt, A_re, A_im, C_re, C_im, D, packed)
    parameters = (log_dt, A_re, A_im, C_re, C_im, D)
    twin = choose("diagonal_ssm", x, ("triton", "torch"))
    if twin == "triton":
        from .fused import fused

        return fused(x, *parameters, packed, reverse=reverse)
    if twin == "torch":
        from .convolution import convolution

        return convolution(x, *parameters, packed, reverse=reverse)
    from .reference import reference

    return reference(x, *parameters, packed, reverse=reverse)


def _check(
    x: Tensor,
    log_dt: Tensor,
    A_re: Tensor,
    A_im: Tensor,
    C_re: Tensor,
    C_im: Tensor,
    D: Tensor,
    packed: Packed,
) -> None:
    on_one_device("diagonal_ssm", packed, x, log_dt, A_re, A_im, C_re, C_im, D)
    if not x.is_floating_point():
        raise BadArguments(f"x is {x.dtype}, expected a floating dtype")
    if x.ndim != 2 or x.shape[0] != packed.tokens:
        raise BadArguments(f"x is {list(x.shape)}, expected [{packed.tokens} tokens, channels]")
    if A_re.ndim != 2 or A_re.shape[0] != x.shape[1]:
        raise BadArguments(f"A_re is {list(A_re.shape)}, expected [{x.shape[1]} channels, states]")
    expected = {
        "log_dt": (log_dt, x.shape[1:]),
        "A_im": (A_im, A_re.shape),
        "C_re": (C_re, A_re.shape),
        "C_im": (C_im, A_re.shape),
        "D": (D, x.shape[1:]),
    }
    for name, (value, shape) in expected.items():
        if value.shape != shape:
            raise BadArguments(f"{name} is {list(value.shape)}, expected {list(shape)}")

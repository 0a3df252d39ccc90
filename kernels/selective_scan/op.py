"""The public function: check the shapes, choose a twin, run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import BadArguments
from ..dispatch import choose
from ..packing import on_one_device

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed


def selective_scan(
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
    """N decaying states per channel whose step, input and output each token chooses (Mamba-1).

    h_n = exp(dt A_n) h_n + dt B_n x and y = sum_n C_n h_n + D x, with h = 0 before a segment.
    x, dt [tokens, channels], dt >= 0 (after softplus); A [channels, N], negative; B, C [tokens, N];
    D [channels]. ``reverse`` runs each segment from its last token to its first.
    Returns y [tokens, channels] in x's dtype; the states are float32 (float64 for float64).
    Gradients reach x, dt, A, B, C and D. Segments of zero and of one token are legal.
    Raises BadArguments for shapes that do not fit. Source: Gu and Dao, arXiv 2312.00752, eq. 2
    with the simplified step of B (dt B).
    """
    _check(x, dt, A, B, C, D, packed)
    twin = choose("selective_scan", x, ["triton"])
    if twin == "triton":
        from .fused import fused

        return fused(x, dt, A, B, C, D, packed, reverse=reverse)
    from .reference import reference

    return reference(x, dt, A, B, C, D, packed, reverse=reverse)


def _check(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, packed: Packed
) -> None:
    on_one_device("selective_scan", packed, x, dt, A, B, C, D)
    if not x.is_floating_point():
        raise BadArguments(f"x is {x.dtype}, expected a floating dtype")
    if x.ndim != 2 or x.shape[0] != packed.tokens:
        raise BadArguments(f"x is {list(x.shape)}, expected [{packed.tokens} tokens, channels]")
    if A.ndim != 2 or A.shape[0] != x.shape[1]:
        raise BadArguments(f"A is {list(A.shape)}, expected [{x.shape[1]} channels, states]")
    by_state = (packed.tokens, A.shape[1])
    expected = {"dt": (dt, x.shape), "B": (B, by_state), "C": (C, by_state), "D": (D, x.shape[1:])}
    for name, (value, shape) in expected.items():
        if value.shape != shape:
            raise BadArguments(f"{name} is {list(value.shape)}, expected {list(shape)}")

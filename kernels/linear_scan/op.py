"""``linear_scan``: the public face, which checks its arguments and chooses who computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

from ...core.errors import BadArguments
from ..dispatch import choose
from ..packing import on_one_device

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed


@overload
def linear_scan(
    a: Tensor,
    b: Tensor,
    packed: Packed,
    *,
    h0: Tensor | None = None,
    reverse: bool = False,
    return_last: Literal[False] = False,
) -> Tensor: ...


@overload
def linear_scan(
    a: Tensor,
    b: Tensor,
    packed: Packed,
    *,
    h0: Tensor | None = None,
    reverse: bool = False,
    return_last: Literal[True],
) -> tuple[Tensor, Tensor]: ...


def linear_scan(
    a: Tensor,
    b: Tensor,
    packed: Packed,
    *,
    h0: Tensor | None = None,
    reverse: bool = False,
    return_last: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """h_t = a_t h_{t-1} + b_t over each segment, from h0 (or zeros); gradients reach a, b and h0.

    a, b [tokens, C], one floating dtype; h0 [N, C] in any floating dtype.
    reverse: from each segment's last token to its first.
    Returns h [tokens, C] in the dtype of b; with ``return_last`` also the state after each
    segment's last step, [N, C] float32 (float64 of float64). A segment without tokens has h0 (or
    zeros) as its last state. States are kept in float32 (float64), whatever the input.
    Raises BadArguments when shapes, dtypes or devices do not fit.
    """
    _check(a, b, packed, h0)
    backend = choose("linear_scan", b, ("triton", "native"))
    if backend == "triton":
        from .fused import scan
    elif backend == "native":
        from .native import scan
    else:
        from .reference import scan
    h, last = scan(a, b, packed, h0=h0, reverse=reverse)
    return (h, last) if return_last else h


def _check(a: Tensor, b: Tensor, packed: Packed, h0: Tensor | None) -> None:
    if a.dim() != 2 or a.shape != b.shape or len(a) != packed.tokens:
        raise BadArguments(
            f"linear_scan got a {tuple(a.shape)} and b {tuple(b.shape)} for a pack of "
            f"{packed.tokens} tokens; both must be [tokens, channels]"
        )
    if a.dtype != b.dtype or not b.is_floating_point():
        raise BadArguments(f"a is {a.dtype} and b {b.dtype}; give both in one floating dtype")
    if h0 is not None and h0.shape != (len(packed), a.shape[1]):
        raise BadArguments(
            f"h0 is {tuple(h0.shape)}; one row a segment is {(len(packed), a.shape[1])}"
        )
    on_one_device("linear_scan", packed, a, b, h0)

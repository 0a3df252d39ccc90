"""``depthwise_conv``: each channel's own filter over each segment of a pack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from ...core.errors import BadArguments
from ..dispatch import choose
from ..packing import on_one_device
from .reference import depthwise_conv as reference

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed

Activation: TypeAlias = Literal["silu"]


def depthwise_conv(
    x: Tensor,
    w: Tensor,
    bias: Tensor | None,
    packed: Packed,
    *,
    causal: bool = False,
    activation: Activation | None = None,
) -> Tensor:
    """y[t, c] = activation(bias[c] + sum_k w[k, c] x[t + k - left, c]), zero beyond the segment.

    x [tokens, C]; w [K, C]; bias [C] or None. left is K - 1 if causal, so that w[K - 1] meets the
    token itself and no later one counts, else (K - 1) / 2: the sign convention of
    ``torch.nn.Conv1d`` (no filter is turned round).
    Returns [tokens, C] in x's dtype, summed in float32 (float64 for float64 x). Differentiable in
    x, w and bias; with Triton the gradients are the same bits every time.
    Raises BadArguments for shapes that do not fit, an even K when not causal, another activation.
    """
    _check(x, w, bias, packed, causal, activation)
    left = len(w) - 1 if causal else len(w) // 2
    backend = choose("depthwise_conv", x, ("triton", "torch"))
    if backend == "triton":
        from .fused import depthwise_conv as fused

        return fused(x, w, bias, packed, left, activation == "silu")
    if backend == "torch":
        from .gapped import depthwise_conv as gapped

        return gapped(x, w, bias, packed, left, activation == "silu")
    return reference(x, w, bias, packed, left, activation == "silu")


def _check(
    x: Tensor,
    w: Tensor,
    bias: Tensor | None,
    packed: Packed,
    causal: bool,
    activation: str | None,
) -> None:
    if x.ndim != 2 or len(x) != packed.tokens:
        raise BadArguments(f"x is {list(x.shape)}, not [{packed.tokens} tokens, channels]")
    if w.ndim != 2 or not len(w) or w.shape[1] != x.shape[1]:
        raise BadArguments(f"w is {list(w.shape)}, not [taps, {x.shape[1]} channels]")
    if bias is not None and bias.shape != x.shape[1:]:
        raise BadArguments(f"bias is {list(bias.shape)}, not [{x.shape[1]} channels]")
    if not causal and len(w) % 2 == 0:
        raise BadArguments(f"w has {len(w)} taps: an even filter has no middle; use causal=True")
    on_one_device("depthwise_conv", packed, x, w, bias)
    if activation not in (None, "silu"):
        raise BadArguments(f"activation {activation!r}: it is None or 'silu'")

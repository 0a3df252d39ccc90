"""``attention_pool``: the softmax average over each whole segment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import BadArguments
from ..dispatch import choose
from ..packing import on_one_device
from .reference import attention_pool as reference

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed


def attention_pool(s: Tensor, v: Tensor, packed: Packed) -> Tensor:
    """sum_t p_t v_t over each segment, p = softmax of s over the segment, head by head.

    s [tokens, H], v [tokens, H, D] to [N, H, D], float32 (float64 for float64 v). An empty
    segment is 0. No finite score over- or underflows. Differentiable in s and v.
    Raises BadArguments for shapes that do not fit.
    """
    check_scores(s, v, packed)
    on_one_device("attention_pool", packed, s, v)
    backend = choose("attention_pool", v, ("triton", "torch"))
    if backend == "triton":
        from .fused import attention_pool as fused

        return fused(s, v, packed)
    if backend == "torch":
        from .scattered import attention_pool as scattered

        return scattered(s, v, packed)
    return reference(s, v, packed)


def check_scores(s: Tensor, v: Tensor, packed: Packed) -> None:
    if v.ndim != 3 or len(v) != packed.tokens:
        raise BadArguments(f"v is {list(v.shape)}, not [{packed.tokens} tokens, heads, width]")
    if s.shape != v.shape[:2]:
        raise BadArguments(f"s is {list(s.shape)}, not {list(v.shape[:2])}: a score for each of v")

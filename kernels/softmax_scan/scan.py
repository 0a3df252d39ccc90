"""``softmax_scan``: at every token, the softmax average of the values so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import BadArguments
from ..dispatch import choose
from ..packing import on_one_device
from .pool import check_scores
from .reference import softmax_scan as reference

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed


def softmax_scan(
    s: Tensor,
    v: Tensor,
    packed: Packed,
    *,
    decay: Tensor | None = None,
    bonus: Tensor | None = None,
    reverse: bool = False,
) -> Tensor:
    """out_t = sum_i p_i v_i over i <= t of t's segment, p = softmax_i(s_i - (t - i) decay).

    s [tokens, H] scores and v [tokens, H, D] values; [tokens, H, D] in v's dtype. Without decay
    this is softmax attention of a query that does not change (Aaren, arXiv 2405.13956).
    decay [H], at least 0: the score of a token falls by this much with each token after it.
    bonus [H]: the token itself is weighed by s_t + bonus instead, and the decay of those before
    starts one token later, p = softmax(s_i - (t - 1 - i) decay for i < t, s_t + bonus): the "wkv"
    of RWKV-4 (arXiv 2305.13048), where D = 1 and decay = exp(time_decay).
    reverse: from each segment's last token to its first.
    The state is float32 (float64 for float64) and carries the largest exponent beside the sums,
    so no finite score over- or underflows. Differentiable in s, v, decay and bonus.
    Raises BadArguments for shapes that do not fit.
    """
    check_scores(s, v, packed)
    for name, values in (("decay", decay), ("bonus", bonus)):
        if values is not None and values.shape != s.shape[1:]:
            raise BadArguments(f"{name} is {list(values.shape)}, not [{s.shape[1]} heads]")
    on_one_device("softmax_scan", packed, s, v, decay, bonus)
    backend = choose("softmax_scan", v, ["triton"])
    if backend == "triton":
        from .fused import softmax_scan as fused

        return fused(s, v, packed, decay, bonus, reverse)
    return reference(s, v, packed, decay, bonus, reverse)

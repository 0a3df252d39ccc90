"""The convolution tap by tap: every token gathers its neighbours, zero beyond the segment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed


def depthwise_conv(
    x: Tensor, w: Tensor, bias: Tensor | None, packed: Packed, left: int, silu: bool
) -> Tensor:
    wide = torch.promote_types(x.dtype, torch.float32)
    y = torch.zeros_like(x, dtype=wide)
    for k in range(len(w)):
        y = y + _neighbour(x.to(wide), packed, k - left) * w[k].to(wide)
    if bias is not None:
        y = y + bias.to(wide)
    return (torch.nn.functional.silu(y) if silu else y).to(x.dtype)


def _neighbour(x: Tensor, packed: Packed, offset: int) -> Tensor:
    """x[t + offset] for every token t, 0 where that is outside t's segment."""
    at = torch.arange(packed.tokens, device=x.device) + offset
    start, end = packed.cu_seqlens[:-1], packed.cu_seqlens[1:]
    inside = (at >= start[packed.segment_ids]) & (at < end[packed.segment_ids])
    return torch.where(inside[:, None], x[at.clamp(0, packed.tokens - 1)], 0)

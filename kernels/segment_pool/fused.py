"""Pooling in Triton: one program a segment and block of channels, all ops in one reading of x."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..ahead_of_time import Variant
from ..packing.in_triton import own_segment

if TYPE_CHECKING:
    from ..packing import Packed

BT, BC = 16, 64  # a tile: tokens, channels
NOWHERE = tl.constexpr(2**31 - 1)


@triton.jit
def pool(
    x, y, argmax, order, cu_seqlens, C, PARTS: tl.constexpr,
    MEAN: tl.constexpr, MAX: tl.constexpr, FIRST: tl.constexpr, LAST: tl.constexpr,
    KEEP: tl.constexpr, BT: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """y [N, PARTS, C]. MEAN, MAX, ...: which part of y that op fills, -1 for none.

    With KEEP, argmax [N, C] receives the row of the first largest.
    """
    segment, start, end = own_segment(order, cu_seqlens)
    cols = tl.program_id(1) * BC + tl.arange(0, BC)
    here = cols < C
    y += segment * PARTS * C + cols
    if MEAN >= 0 or MAX >= 0:
        total = tl.zeros([BT, BC], tl.float32)
        best = tl.full([BT, BC], float("-inf"), tl.float32)
        where = tl.full([BT, BC], NOWHERE, tl.int32)
        for first in range(start, end, BT):
            rows = first + tl.arange(0, BT)
            inside = (rows < end)[:, None] & here[None, :]
            value = tl.load(x + rows[:, None] * C + cols[None, :], mask=inside, other=0.0)
            value = value.to(tl.float32)
            total += value
            larger = inside & (value > best)
            best = tl.where(larger, value, best)
            where = tl.where(larger, rows.to(tl.int32)[:, None], where)
        if MEAN >= 0:
            count = tl.maximum(end - start, 1).to(tl.float32)
            tl.store(y + MEAN * C, tl.sum(total, axis=0) / count, mask=here)
        if MAX >= 0:
            largest = tl.max(best, axis=0)
            tl.store(y + MAX * C, tl.where(end > start, largest, 0.0), mask=here)
            if KEEP:
                row = tl.min(tl.where(best == largest[None, :], where, NOWHERE), axis=0)
                tl.store(argmax + segment * C + cols, row, mask=here)
    some = cols < tl.where(end > start, C, 0)
    if FIRST >= 0:
        value = tl.load(x + start * C + cols, mask=some, other=0.0)
        tl.store(y + FIRST * C, value.to(tl.float32), mask=here)
    if LAST >= 0:
        value = tl.load(x + (end - 1) * C + cols, mask=some, other=0.0)
        tl.store(y + LAST * C, value.to(tl.float32), mask=here)


@triton.jit
def spread(
    dy, argmax, dx, order, cu_seqlens, C, PARTS: tl.constexpr,
    MEAN: tl.constexpr, MAX: tl.constexpr, FIRST: tl.constexpr, LAST: tl.constexpr,
    BT: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """dx [tokens, C]: every token's share of its segment's gradient dy [N, PARTS, C]."""
    segment, start, end = own_segment(order, cu_seqlens)
    cols = tl.program_id(1) * BC + tl.arange(0, BC)
    here = cols < C
    dy += segment * PARTS * C + cols
    if MEAN >= 0:
        mean = tl.load(dy + MEAN * C, mask=here, other=0.0)
        mean = mean / tl.maximum(end - start, 1).to(tl.float32)
    if MAX >= 0:
        largest = tl.load(dy + MAX * C, mask=here, other=0.0)
        row = tl.load(argmax + segment * C + cols, mask=here, other=NOWHERE)
    if FIRST >= 0:
        head = tl.load(dy + FIRST * C, mask=here, other=0.0)
    if LAST >= 0:
        tail = tl.load(dy + LAST * C, mask=here, other=0.0)
    for first in range(start, end, BT):
        rows = first + tl.arange(0, BT)
        slope = tl.zeros([BT, BC], tl.float32)
        if MEAN >= 0:
            slope += mean[None, :]
        if MAX >= 0:
            slope += tl.where(rows[:, None] == row[None, :], largest[None, :], 0.0)
        if FIRST >= 0:
            slope += tl.where(rows == start, 1.0, 0.0)[:, None] * head[None, :]
        if LAST >= 0:
            slope += tl.where(rows == end - 1, 1.0, 0.0)[:, None] * tail[None, :]
        inside = (rows < end)[:, None] & here[None, :]
        place = rows[:, None] * C + cols[None, :]
        tl.store(dx + place, slope.to(dx.dtype.element_ty), mask=inside)


def segment_pool(x: Tensor, packed: Packed, ops: tuple[str, ...]) -> Tensor:
    keep = "max" in ops and torch.is_grad_enabled() and x.requires_grad
    y: Tensor = _Pool.apply(x.contiguous(), packed, ops, keep)
    return y


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Packed, ops: tuple[str, ...], keep: bool) -> Tensor:
        N, C = len(packed), x.shape[1]
        y = torch.empty(N, len(ops) * C, device=x.device, dtype=torch.float32)
        argmax = torch.empty(N, C, device=x.device, dtype=torch.int32) if keep else None
        if y.numel():
            with torch.cuda.device_of(x):
                pool[N, triton.cdiv(C, BC)](
                    x, y, argmax, packed.order, packed.cu_seqlens, C,
                    **_parts(ops), KEEP=keep, BT=BT, BC=BC,
                )  # fmt: skip
        ctx.save_for_backward(argmax)
        ctx.packed, ctx.ops, ctx.like = packed, ops, (x.shape, x.dtype)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None, None]:
        packed, (shape, dtype) = ctx.packed, ctx.like
        dx = torch.empty(shape, device=dy.device, dtype=dtype)
        if dx.numel():
            with torch.cuda.device_of(dy):
                spread[len(packed), triton.cdiv(shape[1], BC)](
                    dy.contiguous(), *ctx.saved_tensors, dx, packed.order, packed.cu_seqlens,
                    shape[1], **_parts(ctx.ops), BT=BT, BC=BC,
                )  # fmt: skip
        return dx, None, None, None


def _parts(ops: tuple[str, ...]) -> dict[str, int]:
    places = {
        op.upper(): ops.index(op) if op in ops else -1 for op in ("mean", "max", "first", "last")
    }
    return {"PARTS": len(ops)} | places


def variants() -> list[Variant]:
    found = []
    for dtype, ops in (("fp32", ("mean", "max")), ("bf16", ("max",)), ("bf16", ("first", "last"))):
        table = {"argmax": "*i32", "order": "*i32", "cu_seqlens": "*i32", "C": "i32"}
        tile = _parts(ops) | {"BT": BT, "BC": BC}
        name = f"{'+'.join(ops)} {dtype}"
        there = {"x": f"*{dtype}", "y": "*fp32"} | table
        back = {"dy": "*fp32", "dx": f"*{dtype}"} | table
        found.append(Variant(f"pool {name}", pool, there, tile | {"KEEP": "max" in ops}, {}))
        found.append(Variant(f"spread {name}", spread, back, tile, {}))
    return found

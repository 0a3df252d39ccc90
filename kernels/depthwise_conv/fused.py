"""The convolution in Triton: tiles of tokens and channels, all in parallel.

Backward is the same kernel with the filter turned round; the weights' gradients are summed by
program and then over programs, in one order every time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..ahead_of_time import Variant

if TYPE_CHECKING:
    from ..packing import Packed

BT, BC = 32, 64  # a tile: tokens, channels
SPAN = 256  # tokens whose share of the weights' gradients one program sums


@triton.jit
def _window(
    x, w, rows, start, end, cols, C, K: tl.constexpr, LEFT: tl.constexpr, FLIP: tl.constexpr
):
    """fp32 [rows, cols]: the filter over x at these rows."""
    total = tl.zeros([rows.shape[0], cols.shape[0]], tl.float32)
    for k in tl.static_range(K):
        tap = K - 1 - k if FLIP else k
        at = rows + (k - LEFT)
        inside = ((at >= start) & (at < end))[:, None] & (cols < C)[None, :]
        value = tl.load(x + at[:, None] * C + cols[None, :], mask=inside, other=0.0)
        weight = tl.load(w + tap * C + cols, mask=cols < C, other=0.0)
        total += value.to(tl.float32) * weight.to(tl.float32)[None, :]
    return total


@triton.jit
def _bounds(rows, tokens, segments, cu_seqlens):
    """Where each row's segment starts and ends; a row beyond the pack is in an empty one."""
    segment = tl.load(segments + rows, mask=rows < tokens, other=0)
    start = tl.load(cu_seqlens + segment).to(tl.int64)
    end = tl.load(cu_seqlens + segment + 1).to(tl.int64)
    return start, tl.where(rows < tokens, end, start)


@triton.jit(do_not_specialize=["tokens"])
def convolve(
    x, w, bias, y, segments, cu_seqlens, tokens, C,
    K: tl.constexpr, LEFT: tl.constexpr, FLIP: tl.constexpr, BIAS: tl.constexpr, SILU: tl.constexpr,
    BT: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0).to(tl.int64) * BT + tl.arange(0, BT)
    cols = tl.program_id(1) * BC + tl.arange(0, BC)
    start, end = _bounds(rows, tokens, segments, cu_seqlens)
    total = _window(x, w, rows, start, end, cols, C, K, LEFT, FLIP)
    if BIAS:
        total += tl.load(bias + cols, mask=cols < C, other=0.0).to(tl.float32)[None, :]
    if SILU:
        total = total * tl.sigmoid(total)
    inside = (rows < tokens)[:, None] & (cols < C)[None, :]
    tl.store(y + rows[:, None] * C + cols[None, :], total.to(y.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["tokens"])
def convolve_weights(
    x, w, bias, dy, dz, partial, segments, cu_seqlens, tokens, C,
    K: tl.constexpr, LEFT: tl.constexpr, BIAS: tl.constexpr, SILU: tl.constexpr,
    SPAN: tl.constexpr, KP: tl.constexpr, BT: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """partial[program, k] is the gradient of w[k] over the program's tokens, [program, K] of bias.

    With SILU, dz receives the gradient before the activation, which is computed again.
    """
    span = tl.program_id(0).to(tl.int64)
    cols = tl.program_id(1) * BC + tl.arange(0, BC)
    taps = tl.arange(0, KP)
    total = tl.zeros([KP, BC], tl.float32)
    for first in range(0, SPAN, BT):
        rows = span * SPAN + first + tl.arange(0, BT)
        start, end = _bounds(rows, tokens, segments, cu_seqlens)
        inside = (rows < tokens)[:, None] & (cols < C)[None, :]
        place = rows[:, None] * C + cols[None, :]
        slope = tl.load(dy + place, mask=inside, other=0.0).to(tl.float32)
        if SILU:
            z = _window(x, w, rows, start, end, cols, C, K, LEFT, False)
            if BIAS:
                z += tl.load(bias + cols, mask=cols < C, other=0.0).to(tl.float32)[None, :]
            gate = tl.sigmoid(z)
            slope = slope * gate * (1 + z * (1 - gate))
            tl.store(dz + place, slope.to(dz.dtype.element_ty), mask=inside)
        for k in tl.static_range(K):
            at = rows + (k - LEFT)
            near = ((at >= start) & (at < end))[:, None] & (cols < C)[None, :]
            value = tl.load(x + at[:, None] * C + cols[None, :], mask=near, other=0.0)
            share = tl.sum(slope * value.to(tl.float32), axis=0)
            total += tl.where(taps == k, 1.0, 0.0)[:, None] * share[None, :]
        total += tl.where(taps == K, 1.0, 0.0)[:, None] * tl.sum(slope, axis=0)[None, :]
    place = (span * (K + 1) + taps[:, None]) * C + cols[None, :]
    tl.store(partial + place, total, mask=(taps <= K)[:, None] & (cols < C)[None, :])


def depthwise_conv(
    x: Tensor, w: Tensor, bias: Tensor | None, packed: Packed, left: int, silu: bool
) -> Tensor:
    bias = None if bias is None else bias.contiguous()
    y: Tensor = _Convolution.apply(x.contiguous(), w.contiguous(), bias, packed, left, silu)
    return y


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Tensor, bias: Tensor | None, packed: Packed, left: int, silu: bool
    ) -> Tensor:
        ctx.save_for_backward(x, w, bias)
        ctx.packed, ctx.left, ctx.silu = packed, left, silu
        y = torch.empty_like(x)
        _convolve(x, w, bias, y, packed, left, flip=False, silu=silu)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, w, bias = ctx.saved_tensors
        packed, left, silu = ctx.packed, ctx.left, ctx.silu
        dz = dy.contiguous()
        dx = dw = db = None
        if silu or any(ctx.needs_input_grad[1:3]):
            dz, total = _convolve_weights(x, w, bias, dz, packed, left, silu)
            dw = total[:-1].to(w.dtype)
            db = None if bias is None else total[-1].to(bias.dtype)
        if ctx.needs_input_grad[0]:
            dx = torch.empty_like(x)
            # what token t sent to t + left - k comes back: the same filter turned round
            _convolve(dz, w, None, dx, packed, len(w) - 1 - left, flip=True, silu=False)
        return dx, dw, db, None, None, None


def _convolve(
    x: Tensor, w: Tensor, bias: Tensor | None, y: Tensor, packed: Packed, left: int,
    *, flip: bool, silu: bool,
) -> None:  # fmt: skip
    tokens, C = x.shape
    grid = (triton.cdiv(tokens, BT), triton.cdiv(C, BC))
    if all(grid):
        with torch.cuda.device_of(x):
            convolve[grid](
                x, w, bias, y, packed.segment_ids, packed.cu_seqlens, tokens, C,
                K=len(w), LEFT=left, FLIP=flip, BIAS=bias is not None, SILU=silu, BT=BT, BC=BC,
            )  # fmt: skip


def _convolve_weights(
    x: Tensor, w: Tensor, bias: Tensor | None, dy: Tensor, packed: Packed, left: int, silu: bool
) -> tuple[Tensor, Tensor]:
    """The gradient before the activation [tokens, C], and of the taps and the bias [K + 1, C]."""
    tokens, C = x.shape
    spans = triton.cdiv(tokens, SPAN)
    dz = torch.empty_like(x) if silu else dy
    partial = torch.empty(spans, len(w) + 1, C, device=x.device, dtype=torch.float32)
    if partial.numel():
        with torch.cuda.device_of(x):
            convolve_weights[spans, triton.cdiv(C, BC)](
                x, w, bias, dy, dz, partial, packed.segment_ids, packed.cu_seqlens, tokens, C,
                K=len(w), LEFT=left, BIAS=bias is not None, SILU=silu,
                SPAN=SPAN, KP=triton.next_power_of_2(len(w) + 1), BT=BT, BC=BC,
            )  # fmt: skip
    return dz, partial.sum(0)


def variants() -> list[Variant]:
    found = []
    table = {"segments": "*i64", "cu_seqlens": "*i32", "tokens": "i32", "C": "i32"}
    for dtype, taps, left in (("fp32", 5, 2), ("bf16", 4, 3)):
        data = table | dict.fromkeys(("x", "w", "bias"), f"*{dtype}")
        there = data | {"y": f"*{dtype}"}
        back = data | {"dy": f"*{dtype}", "dz": f"*{dtype}", "partial": "*fp32"}
        both = {"K": taps, "LEFT": left, "BIAS": True, "SILU": True, "BT": BT, "BC": BC}
        turned = both | {"FLIP": True, "BIAS": False, "SILU": False, "bias": None}
        spans = both | {"SPAN": SPAN, "KP": 8}
        found += [
            Variant(f"convolve {dtype}", convolve, there, both | {"FLIP": False}, {}),
            Variant(f"convolve turned {dtype}", convolve, there, turned, {}),
            Variant(f"convolve_weights {dtype}", convolve_weights, back, spans, {}),
        ]
    return found

"""Running and whole softmax averages in Triton.

The scan is sequential in time, heads and their channels in parallel. Backward runs the other way
with the same carry: from log-sums L_t kept by the forward pass, the gradient's sums
G_i = sum_t e^(-L_t - (t - i) decay) dy_t need a largest exponent of their own, and
e^(s_i) G_i is a sum over probabilities again. The average before each token is kept in float32,
as a gradient is the difference of a value and an average.
"""

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

CHANNELS = 64  # of a program in the scan, heads x channels, unless a single head has more
STAGES = 8  # of the scan's pipeline: 7 rows of 64 channels in flight, as in the gated scans
STAGES_BACK = 4  # it fetches twice as many tensors
TILE = 2048  # of a program in the pool, tokens x channels


@triton.jit
def _dot(a, b):
    """[heads]: the inner products of two [heads, channels]."""
    return tl.sum(a * b, axis=1)


@triton.jit
def scan(
    s, v, decay, bonus, out, mean, lse, order, cu_seqlens, H, D,
    DECAY: tl.constexpr, BONUS: tl.constexpr, REVERSE: tl.constexpr,
    KEEP: tl.constexpr, KEEP_MEAN: tl.constexpr, BH: tl.constexpr, BD: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    """lse receives the log-sum after each token (KEEP), mean the average (KEEP_MEAN)."""
    _, start, end = own_segment(order, cu_seqlens)
    heads = tl.program_id(1) * BH + tl.arange(0, BH)
    place = heads[:, None] * D + tl.arange(0, BD)[None, :]
    some = heads < H
    inside = some[:, None] & (tl.arange(0, BD) < D)[None, :]
    fall = tl.zeros([BH], tl.float32)
    if DECAY:
        fall = tl.load(decay + heads, mask=some, other=0.0).to(tl.float32)
    if BONUS:
        own = tl.load(bonus + heads, mask=some, other=0.0).to(tl.float32)
    # differences of exponents come first: beside a large score, a small fall loses its bits
    top = tl.full([BH], float("-inf"), tl.float32)
    total = tl.zeros([BH], tl.float32)
    summed = tl.zeros([BH, BD], tl.float32)
    for t in tl.range(0, end - start, num_stages=STAGES):
        row = end - 1 - t if REVERSE else start + t
        score = tl.load(s + row * H + heads, mask=some, other=0.0).to(tl.float32)
        value = tl.load(v + row * H * D + place, mask=inside, other=0.0).to(tl.float32)
        if BONUS:
            highest = tl.maximum(top, score + own)
            old, new = tl.exp(top - highest), tl.exp((score - highest) + own)
            mixed = summed * old[:, None] + value * new[:, None]
            y = mixed / (total * old + new)[:, None]
        highest = tl.maximum(top - fall, score)
        old, new = tl.exp((top - highest) - fall), tl.exp(score - highest)
        top, total = highest, total * old + new
        summed = summed * old[:, None] + value * new[:, None]
        if not BONUS:
            y = summed / total[:, None]
        tl.store(out + row * H * D + place, y.to(out.dtype.element_ty), mask=inside)
        if KEEP:
            tl.store(lse + row * H + heads, top + tl.log(total), mask=some)
        if KEEP_MEAN:
            tl.store(mean + row * H * D + place, summed / total[:, None], mask=inside)


@triton.jit
def scan_back(
    s, v, decay, bonus, mean, lse, dy, ds, dv, dfall, down, order, cu_seqlens, H, D,
    DECAY: tl.constexpr, BONUS: tl.constexpr, REVERSE: tl.constexpr,
    BH: tl.constexpr, BD: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """dfall and down [N, H]: each segment's share of the gradients of decay and bonus."""
    segment, start, end = own_segment(order, cu_seqlens)
    heads = tl.program_id(1) * BH + tl.arange(0, BH)
    place = heads[:, None] * D + tl.arange(0, BD)[None, :]
    some = heads < H
    inside = some[:, None] & (tl.arange(0, BD) < D)[None, :]
    fall = tl.zeros([BH], tl.float32)
    if DECAY:
        fall = tl.load(decay + heads, mask=some, other=0.0).to(tl.float32)
    if BONUS:
        own = tl.load(bonus + heads, mask=some, other=0.0).to(tl.float32)
    # the gradients of summed and of -total, both times e^-top
    top = tl.full([BH], float("-inf"), tl.float32)
    dsummed = tl.zeros([BH, BD], tl.float32)
    dtotal = tl.zeros([BH], tl.float32)
    fall_share = tl.zeros([BH], tl.float32)
    own_share = tl.zeros([BH], tl.float32)
    for step in tl.range(0, end - start, num_stages=STAGES):
        t = end - start - 1 - step
        row = end - 1 - t if REVERSE else start + t
        score = tl.load(s + row * H + heads, mask=some, other=0.0).to(tl.float32)
        value = tl.load(v + row * H * D + place, mask=inside, other=0.0).to(tl.float32)
        slope = tl.load(dy + row * H * D + place, mask=inside, other=0.0).to(tl.float32)
        if DECAY or BONUS:
            # the state before this token; before the first there is none
            before = row + 1 if REVERSE else row - 1
            known = heads < tl.where(t > 0, H, 0)
            before_lse = tl.load(lse + before * H + heads, mask=known, other=float("-inf"))
            before_mean = tl.load(
                mean + before * H * D + place, mask=known[:, None] & inside, other=0.0
            )
        if BONUS:
            highest = tl.maximum(before_lse, score + own)
            old, new = tl.exp(before_lse - highest), tl.exp((score - highest) + own)
            around = highest + tl.log(old + new)
            share = new / (old + new)
            average = before_mean + share[:, None] * (value - before_mean)
            direct = share * (old / (old + new)) * _dot(slope, value - before_mean)
        else:
            around = tl.load(lse + row * H + heads, mask=some, other=0.0)
            average = tl.load(mean + row * H * D + place, mask=inside, other=0.0)
            highest = tl.maximum(top - fall, -around)
            old, new = tl.exp((top - highest) - fall), tl.exp(-around - highest)
            top = highest
            dsummed = dsummed * old[:, None] + new[:, None] * slope
            dtotal = dtotal * old + new * _dot(slope, average)
        weight = tl.exp(score + top)
        dvalue = weight[:, None] * dsummed
        dscore = weight * (_dot(dsummed, value) - dtotal)
        if DECAY:
            kept = tl.exp((before_lse + top) - fall)
            fall_share -= kept * (_dot(dsummed, before_mean) - dtotal)
        if BONUS:
            dvalue += share[:, None] * slope
            dscore += direct
            own_share += direct
            highest = tl.maximum(top - fall, -around)
            old, new = tl.exp((top - highest) - fall), tl.exp(-around - highest)
            top = highest
            dsummed = dsummed * old[:, None] + new[:, None] * slope
            dtotal = dtotal * old + new * _dot(slope, average)
        tl.store(ds + row * H + heads, dscore.to(ds.dtype.element_ty), mask=some)
        tl.store(dv + row * H * D + place, dvalue.to(dv.dtype.element_ty), mask=inside)
    if DECAY:
        tl.store(dfall + segment * H + heads, fall_share, mask=some)
    if BONUS:
        tl.store(down + segment * H + heads, own_share, mask=some)


@triton.jit
def pool(
    s, v, out, lse, order, cu_seqlens, H, D, KEEP: tl.constexpr, BT: tl.constexpr, BD: tl.constexpr
):
    segment, start, end = own_segment(order, cu_seqlens)
    head = tl.program_id(1)
    cols = tl.arange(0, BD)
    top = tl.max(tl.full([BT], float("-inf"), tl.float32), axis=0)
    total = tl.sum(tl.zeros([BT], tl.float32), axis=0)
    summed = tl.zeros([BD], tl.float32)
    for first in range(start, end, BT):
        rows = first + tl.arange(0, BT)
        score = tl.load(s + rows * H + head, mask=rows < end, other=float("-inf")).to(tl.float32)
        inside = (rows < end)[:, None] & (cols < D)[None, :]
        place = (rows[:, None] * H + head) * D + cols[None, :]
        value = tl.load(v + place, mask=inside, other=0.0).to(tl.float32)
        highest = tl.maximum(top, tl.max(score, axis=0))
        old, new = tl.exp(top - highest), tl.exp(score - highest)
        top, total = highest, total * old + tl.sum(new, axis=0)
        summed = summed * old + tl.sum(new[:, None] * value, axis=0)
    total = tl.maximum(total, 1.0)  # the largest adds 1: less is an empty segment, whose sum is 0
    tl.store(out + (segment * H + head) * D + cols, summed / total, mask=cols < D)
    if KEEP:
        tl.store(lse + segment * H + head, top + tl.log(total))


@triton.jit
def pool_back(
    s, v, out, lse, dy, ds, dv, order, cu_seqlens, H, D, BT: tl.constexpr, BD: tl.constexpr
):
    segment, start, end = own_segment(order, cu_seqlens)
    head = tl.program_id(1)
    cols = tl.arange(0, BD)
    own = (segment * H + head) * D + cols
    slope = tl.load(dy + own, mask=cols < D, other=0.0)
    average = tl.load(out + own, mask=cols < D, other=0.0)
    level = tl.load(lse + segment * H + head)
    for first in range(start, end, BT):
        rows = first + tl.arange(0, BT)
        score = tl.load(s + rows * H + head, mask=rows < end, other=float("-inf")).to(tl.float32)
        inside = (rows < end)[:, None] & (cols < D)[None, :]
        place = (rows[:, None] * H + head) * D + cols[None, :]
        value = tl.load(v + place, mask=inside, other=0.0).to(tl.float32)
        share = tl.exp(score - level)
        dscore = share * tl.sum((value - average[None, :]) * slope[None, :], axis=1)
        tl.store(ds + rows * H + head, dscore.to(ds.dtype.element_ty), mask=rows < end)
        dvalue = share[:, None] * slope[None, :]
        tl.store(dv + place, dvalue.to(dv.dtype.element_ty), mask=inside)


def softmax_scan(
    s: Tensor,
    v: Tensor,
    packed: Packed,
    decay: Tensor | None,
    bonus: Tensor | None,
    reverse: bool,
) -> Tensor:
    keep = _needs_gradient(s, v, decay, bonus)
    if v.shape[2] > 1:
        # a few scores of 2 bytes are too narrow a load to be fetched ahead: every step would wait
        s = s.float()
    given = [None if x is None else x.contiguous() for x in (s, v, decay, bonus)]
    out: Tensor = _Scan.apply(*given, packed, reverse, keep)
    return out


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        s: Tensor,
        v: Tensor,
        decay: Tensor | None,
        bonus: Tensor | None,
        packed: Packed,
        reverse: bool,
        keep: bool,
    ) -> Tensor:
        out, mean, lse = torch.empty_like(v), None, None
        # in float32 and without bonus the average kept is the output itself
        keep_mean = keep and (bonus is not None or v.dtype != torch.float32)
        if keep:
            mean = torch.empty_like(v, dtype=torch.float32) if keep_mean else out
            lse = torch.empty_like(s, dtype=torch.float32)
        if v.numel():
            grid, tile = _scan_grid(packed, v)
            with torch.cuda.device_of(v):
                scan[grid](
                    s, v, decay, bonus, out, mean, lse, packed.order, packed.cu_seqlens,
                    *v.shape[1:], DECAY=decay is not None, BONUS=bonus is not None,
                    REVERSE=reverse, KEEP=keep, KEEP_MEAN=keep_mean, STAGES=STAGES, **tile,
                )  # fmt: skip
        ctx.save_for_backward(s, v, decay, bonus, mean, lse)
        ctx.packed, ctx.reverse = packed, reverse
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        s, v, decay, bonus, mean, lse = ctx.saved_tensors
        packed, (_, H, D) = ctx.packed, v.shape
        ds, dv = torch.empty_like(s), torch.empty_like(v)
        dfall, down = (
            None if given is None else torch.zeros(len(packed), H, device=v.device)
            for given in (decay, bonus)
        )
        if v.numel():
            grid, tile = _scan_grid(packed, v)
            with torch.cuda.device_of(v):
                scan_back[grid](
                    s, v, decay, bonus, mean, lse, dy.contiguous(), ds, dv, dfall, down,
                    packed.order, packed.cu_seqlens, H, D, DECAY=decay is not None,
                    BONUS=bonus is not None, REVERSE=ctx.reverse, STAGES=STAGES_BACK, **tile,
                )  # fmt: skip
        ddecay = None if decay is None or dfall is None else dfall.sum(0).to(decay.dtype)
        dbonus = None if bonus is None or down is None else down.sum(0).to(bonus.dtype)
        return ds, dv, ddecay, dbonus, None, None, None


def _scan_grid(packed: Packed, v: Tensor) -> tuple[tuple[int, int], dict[str, int]]:
    _, H, D = v.shape
    tile = _scan_tile(H, D)
    return (len(packed), triton.cdiv(H, tile["BH"])), tile


def _scan_tile(H: int, D: int) -> dict[str, int]:
    BD = triton.next_power_of_2(D)
    BH = max(1, min(CHANNELS // BD, triton.next_power_of_2(H)))
    return {"BH": BH, "BD": BD, "num_warps": min(8, max(1, BH * BD // CHANNELS))}


def attention_pool(s: Tensor, v: Tensor, packed: Packed) -> Tensor:
    keep = _needs_gradient(s, v)
    pooled: Tensor = _Pool.apply(s.contiguous(), v.contiguous(), packed, keep)
    return pooled


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, s: Tensor, v: Tensor, packed: Packed, keep: bool) -> Tensor:
        (_, H, D), N = v.shape, len(packed)
        out = torch.empty(N, H, D, device=v.device, dtype=torch.float32)
        lse = torch.empty(N, H, device=v.device, dtype=torch.float32) if keep else None
        if out.numel():
            with torch.cuda.device_of(v):
                pool[N, H](
                    s, v, out, lse, packed.order, packed.cu_seqlens, H, D,
                    KEEP=keep, **_pool_tile(D),
                )  # fmt: skip
        ctx.save_for_backward(s, v, out, lse)
        ctx.packed = packed
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, None, None]:
        s, v, out, lse = ctx.saved_tensors
        (_, H, D), packed = v.shape, ctx.packed
        ds, dv = torch.empty_like(s), torch.empty_like(v)
        if v.numel():
            with torch.cuda.device_of(v):
                pool_back[len(packed), H](
                    s, v, out, lse, dy.contiguous(), ds, dv, packed.order, packed.cu_seqlens,
                    H, D, **_pool_tile(D),
                )  # fmt: skip
        return ds, dv, None, None


def _needs_gradient(*inputs: Tensor | None) -> bool:
    """To be asked before the autograd function, in which gradients are always off."""
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)


def _pool_tile(D: int) -> dict[str, int]:
    BD = triton.next_power_of_2(D)
    return {"BT": max(1, min(64, TILE // BD)), "BD": BD}


def variants() -> list[Variant]:
    table = {"order": "*i32", "cu_seqlens": "*i32", "H": "i32", "D": "i32"}
    kept = {"mean": "*fp32", "lse": "*fp32"}
    found = []
    for dtype, H, D, wkv in (("fp32", 384, 1, True), ("bf16", 12, 32, False)):
        tile = _scan_tile(H, D)
        options = {"num_warps": tile.pop("num_warps")}
        types = table | kept | dict.fromkeys(("s", "v", "out", "dy", "ds", "dv"), f"*{dtype}")
        pooled = types | {"out": "*fp32", "dy": "*fp32"}
        types |= {"s": "*fp32", "ds": "*fp32"}
        if wkv:
            types |= dict.fromkeys(("decay", "bonus", "dfall", "down"), "*fp32")
        flags = tile | {"DECAY": wkv, "BONUS": wkv, "REVERSE": wkv}
        keep, name = {"KEEP": True, "KEEP_MEAN": True}, f"{'wkv' if wkv else 'plain'} {dtype}"
        found += [
            _variant(f"scan {name}", scan, types, flags | keep | {"STAGES": STAGES}, options),
            _variant(
                f"scan_back {name}", scan_back, types, flags | {"STAGES": STAGES_BACK}, options
            ),
            _variant(f"pool {dtype}", pool, pooled, _pool_tile(D) | {"KEEP": True}, {}),
            _variant(f"pool_back {dtype}", pool_back, pooled, _pool_tile(D), {}),
        ]
    return found


def _variant(
    name: str, kernel: Any, types: dict[str, str], flags: dict[str, Any], options: dict[str, Any]
) -> Variant:
    """Of the types only those of the kernel's arguments; a tensor without type is not given."""
    signature = {arg: types[arg] for arg in kernel.arg_names if arg in types}
    absent = dict.fromkeys(set(kernel.arg_names) - set(types) - set(flags))
    return Variant(name, kernel, signature, flags | absent, options)

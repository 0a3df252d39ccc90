"""The Triton twin: sequential in time, the N complex states of a block of channels in registers.

The map is linear and the same at every step, which makes the backward pass light. The gradient of
x is the same recurrence over dy in the opposite direction, so the forward kernel computes it. The
gradients of abar and w need no pass back in time either: beside g_t, its derivative
s_t = d g_t / d abar = abar s_{t-1} + g_{t-1} is carried forward, and sums of dy g and dy s, one per
segment, are all there is to keep. Nothing is saved but x.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from torch.autograd.function import once_differentiable

from ..ahead_of_time import Variant
from ..packing.in_triton import append
from .discretise import discretise

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed

CHUNK = 8  # steps whose loads are in flight together
_TILE = 512  # channels x states of one program


@triton.jit
def _recur(
    x,
    a_re,
    a_im,
    w_re,
    w_im,
    D,
    y,
    bounds,
    order,
    channels,
    N,
    REVERSE: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    blocks = tl.cdiv(channels, BLOCK_C)
    segment = tl.load(order + tl.program_id(0) // blocks)
    start = tl.load(bounds + segment).to(tl.int64)
    length = tl.load(bounds + segment + 1).to(tl.int64) - start
    c = (tl.program_id(0) % blocks) * BLOCK_C + tl.arange(0, BLOCK_C)
    n = tl.arange(0, BLOCK_N)
    tile = c[:, None] * N + n[None, :]
    inside = (c[:, None] < channels) & (n[None, :] < N)
    ar = tl.load(a_re + tile, mask=inside, other=0.0)
    ai = tl.load(a_im + tile, mask=inside, other=0.0)
    wr = tl.load(w_re + tile, mask=inside, other=0.0)
    wi = tl.load(w_im + tile, mask=inside, other=0.0)
    skip = tl.load(D + c, mask=c < channels, other=0.0)
    gr = tl.zeros([BLOCK_C, BLOCK_N], tl.float32)
    gi = tl.zeros([BLOCK_C, BLOCK_N], tl.float32)
    for base in range(0, length, CHUNK):
        xs = ()
        for j in tl.static_range(CHUNK):
            t = base + j
            row = start + (length - 1 - t if REVERSE else t)
            some = c < tl.where(length > t, channels, 0)
            xs = append(xs, tl.load(x + row * channels + c, mask=some, other=0.0).to(tl.float32))
        for j in tl.static_range(CHUNK):
            t = base + j
            row = start + (length - 1 - t if REVERSE else t)
            turned = ar * gr - ai * gi + xs[j][:, None]
            gi = ar * gi + ai * gr
            gr = turned
            out = 2.0 * tl.sum(wr * gr - wi * gi, axis=1) + skip * xs[j]
            tl.store(y + row * channels + c, out, mask=c < tl.where(length > t, channels, 0))


@triton.jit
def _accumulate(
    x,
    dy,
    a_re,
    a_im,
    sums,
    skips,
    bounds,
    order,
    channels,
    N,
    REVERSE: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    blocks = tl.cdiv(channels, BLOCK_C)
    segment = tl.load(order + tl.program_id(0) // blocks)
    start = tl.load(bounds + segment).to(tl.int64)
    length = tl.load(bounds + segment + 1).to(tl.int64) - start
    c = (tl.program_id(0) % blocks) * BLOCK_C + tl.arange(0, BLOCK_C)
    n = tl.arange(0, BLOCK_N)
    tile = c[:, None] * N + n[None, :]
    inside = (c[:, None] < channels) & (n[None, :] < N)
    ar = tl.load(a_re + tile, mask=inside, other=0.0)
    ai = tl.load(a_im + tile, mask=inside, other=0.0)
    gr = tl.zeros([BLOCK_C, BLOCK_N], tl.float32)
    gi = tl.zeros([BLOCK_C, BLOCK_N], tl.float32)
    sr = tl.zeros([BLOCK_C, BLOCK_N], tl.float32)
    si = tl.zeros([BLOCK_C, BLOCK_N], tl.float32)
    of_gr = tl.zeros([BLOCK_C, BLOCK_N], tl.float32)
    of_gi = tl.zeros([BLOCK_C, BLOCK_N], tl.float32)
    of_sr = tl.zeros([BLOCK_C, BLOCK_N], tl.float32)
    of_si = tl.zeros([BLOCK_C, BLOCK_N], tl.float32)
    of_x = tl.zeros([BLOCK_C], tl.float32)
    for base in range(0, length, CHUNK):
        xs, dys = (), ()
        for j in tl.static_range(CHUNK):
            t = base + j
            row = start + (length - 1 - t if REVERSE else t)
            some = c < tl.where(length > t, channels, 0)
            xs = append(xs, tl.load(x + row * channels + c, mask=some, other=0.0).to(tl.float32))
            dys = append(dys, tl.load(dy + row * channels + c, mask=some, other=0.0).to(tl.float32))
        for j in tl.static_range(CHUNK):
            # s before g: it takes the state before this step, zero at a segment's first
            turned = ar * sr - ai * si + gr
            si = ar * si + ai * sr + gi
            sr = turned
            turned = ar * gr - ai * gi + xs[j][:, None]
            gi = ar * gi + ai * gr
            gr = turned
            of_gr += dys[j][:, None] * gr
            of_gi += dys[j][:, None] * gi
            of_sr += dys[j][:, None] * sr
            of_si += dys[j][:, None] * si
            of_x += dys[j] * xs[j]
    size = channels * N
    mine = segment.to(tl.int64) * 4 * size + tile
    tl.store(sums + mine, of_gr, mask=inside)
    tl.store(sums + mine + size, of_gi, mask=inside)
    tl.store(sums + mine + 2 * size, of_sr, mask=inside)
    tl.store(sums + mine + 3 * size, of_si, mask=inside)
    tl.store(skips + segment.to(tl.int64) * channels + c, of_x, mask=c < channels)


def fused(
    x: Tensor,
    log_dt: Tensor,
    A_re: Tensor,
    A_im: Tensor,
    C_re: Tensor,
    C_im: Tensor,
    D: Tensor,
    packed: Packed,
    *,
    reverse: bool = False,
) -> Tensor:
    """As ``diagonal_ssm``, on a GPU or in Triton's interpreter."""
    discrete = [value.float() for value in discretise(log_dt, A_re, A_im, C_re, C_im)]
    y: Tensor = _DiagonalSsm.apply(x, *discrete, D.float(), packed, reverse)
    return y


class _DiagonalSsm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        *inputs, packed, reverse = arguments
        x, *parameters = (value.contiguous() for value in inputs)
        ctx.save_for_backward(x, *parameters)
        ctx.packed, ctx.reverse = packed, reverse
        return _run(x, parameters, packed, reverse=reverse)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, *parameters = ctx.saved_tensors
        a_re, a_im, w_re, w_im, _ = parameters
        packed, dy = ctx.packed, dy.contiguous()
        dx = _run(dy, parameters, packed, reverse=not ctx.reverse)
        channels, N = a_re.shape
        wide = {"dtype": torch.float32, "device": x.device}
        sums = torch.zeros(len(packed), 4, channels, N, **wide)
        skips = torch.zeros(len(packed), channels, **wide)
        if x.numel():
            launch = _launch(channels, N)
            with torch.cuda.device_of(x):
                _accumulate[_grid(launch, packed, channels)](
                    x,
                    dy,
                    a_re,
                    a_im,
                    sums,
                    skips,
                    packed.cu_seqlens,
                    packed.order,
                    channels,
                    N,
                    REVERSE=ctx.reverse,
                    **launch,
                )
        g_re, g_im, s_re, s_im = sums.sum(0) * 2
        # y = 2 Re(w g): its derivative by abar is w s, by i abar it is i w s
        into_a = (w_re * s_re - w_im * s_im, -w_re * s_im - w_im * s_re)
        return dx, *into_a, g_re, -g_im, skips.sum(0), None, None


def _run(x: Tensor, parameters: list[Tensor], packed: Packed, *, reverse: bool) -> Tensor:
    y = torch.empty_like(x)
    if y.numel():
        channels, N = parameters[0].shape
        launch = _launch(channels, N)
        with torch.cuda.device_of(y):
            _recur[_grid(launch, packed, channels)](
                x,
                *parameters,
                y,
                packed.cu_seqlens,
                packed.order,
                channels,
                N,
                REVERSE=reverse,
                **launch,
            )
    return y


def _launch(channels: int, N: int) -> dict[str, int]:
    block_n = triton.next_power_of_2(N)
    block_c = min(triton.next_power_of_2(channels), max(_TILE // block_n, 8))
    return {"CHUNK": CHUNK, "BLOCK_C": block_c, "BLOCK_N": block_n, "num_warps": 4}


def _grid(launch: dict[str, int], packed: Packed, channels: int) -> tuple[int]:
    # one axis: the second axis of a grid holds no more than 65,535 programs
    return (len(packed) * triton.cdiv(channels, launch["BLOCK_C"]),)


def variants() -> list[Variant]:
    """What the ahead-of-time test compiles: 32 states, blocks of 16 channels."""
    launch = _launch(256, 32)
    options = {"num_warps": launch.pop("num_warps")}
    found = []
    for dtype in ("fp32", "bf16"):
        row = dict.fromkeys(("x", "y", "dy"), f"*{dtype}")
        wide = dict.fromkeys(("a_re", "a_im", "w_re", "w_im", "D", "sums", "skips"), "*fp32")
        numbers = {"bounds": "*i32", "order": "*i32", "channels": "i32", "N": "i32"}
        types = row | wide | numbers
        for kernel, name in ((_recur, "forward"), (_accumulate, "backward")):
            signature = {key: types[key] for key in kernel.arg_names if key in types}
            for reverse in (False, True) if kernel is _recur else (False,):
                constants = {"REVERSE": reverse} | launch
                title = f"{name} {dtype}{' reverse' if reverse else ''}"
                found.append(Variant(title, kernel, signature, constants, options))
    return found

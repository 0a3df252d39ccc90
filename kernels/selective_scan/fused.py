"""The Triton twin: sequential in time, the N states of a block of channels in registers.

The forward pass leaves one checkpoint of the states every ``CHUNK`` steps; the backward pass
walks the chunks from last to first, recomputes the states of one chunk in registers, and goes
back through them. Gradients that sum over channels (B, C) or segments (A, D) are written as one
partial result per program and summed afterwards: the same bits every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from torch.autograd.function import once_differentiable

from ..ahead_of_time import Variant
from ..packing.in_triton import append

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed

CHUNK = 8  # steps between checkpoints; so many states of a tile live in registers at once
_TILE = 512  # channels x states of one program


@triton.jit
def _forward(
    x,
    dt,
    A,
    B,
    C,
    D,
    y,
    checkpoints,
    bounds,
    order,
    channels,
    N,
    REVERSE: tl.constexpr,
    SAVE: tl.constexpr,
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
    rate = tl.load(A + tile, mask=inside, other=0.0).to(tl.float32)
    skip = tl.load(D + c, mask=c < channels, other=0.0).to(tl.float32)
    # each segment has room for one chunk more than its share, so rows never collide
    first_checkpoint = start // CHUNK + segment
    h = tl.zeros([BLOCK_C, BLOCK_N], tl.float32)
    for chunk in range(tl.cdiv(length, CHUNK)):
        if SAVE:
            place = (first_checkpoint + chunk) * channels * N
            tl.store(checkpoints + place + tile, h, mask=inside)
        # all loads of the chunk first: they do not wait for the states
        xs, dts, Bs, Cs = (), (), (), ()
        for j in tl.static_range(CHUNK):
            t = chunk * CHUNK + j
            row = start + (length - 1 - t if REVERSE else t)
            # past the end nothing is loaded: dt = 0 and x = 0 leave the states as they are
            some_c = c < tl.where(length > t, channels, 0)
            some_n = n < tl.where(length > t, N, 0)
            xs = append(xs, tl.load(x + row * channels + c, mask=some_c, other=0.0).to(tl.float32))
            dts = append(
                dts, tl.load(dt + row * channels + c, mask=some_c, other=0.0).to(tl.float32)
            )
            Bs = append(Bs, tl.load(B + row * N + n, mask=some_n, other=0.0).to(tl.float32))
            Cs = append(Cs, tl.load(C + row * N + n, mask=some_n, other=0.0).to(tl.float32))
        for j in tl.static_range(CHUNK):
            t = chunk * CHUNK + j
            row = start + (length - 1 - t if REVERSE else t)
            h = tl.exp(dts[j][:, None] * rate) * h + (dts[j] * xs[j])[:, None] * Bs[j][None, :]
            out = tl.sum(h * Cs[j][None, :], axis=1) + skip * xs[j]
            tl.store(y + row * channels + c, out, mask=c < tl.where(length > t, channels, 0))


@triton.jit(do_not_specialize=["tokens"])
def _backward(
    x,
    dt,
    A,
    B,
    C,
    D,
    dy,
    checkpoints,
    dx,
    ddt,
    dA,
    dB,
    dC,
    dD,
    bounds,
    order,
    tokens,
    channels,
    N,
    REVERSE: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    blocks = tl.cdiv(channels, BLOCK_C)
    block = tl.program_id(0) % blocks
    segment = tl.load(order + tl.program_id(0) // blocks)
    start = tl.load(bounds + segment).to(tl.int64)
    length = tl.load(bounds + segment + 1).to(tl.int64) - start
    c = block * BLOCK_C + tl.arange(0, BLOCK_C)
    n = tl.arange(0, BLOCK_N)
    tile = c[:, None] * N + n[None, :]
    inside = (c[:, None] < channels) & (n[None, :] < N)
    rate = tl.load(A + tile, mask=inside, other=0.0).to(tl.float32)
    skip = tl.load(D + c, mask=c < channels, other=0.0).to(tl.float32)
    first_checkpoint = start // CHUNK + segment
    # partial sums of this block of channels lie [block, tokens, N]
    first_partial = block.to(tl.int64) * tokens * N
    g = tl.zeros([BLOCK_C, BLOCK_N], tl.float32)  # what later steps ask of the states
    sum_A = tl.zeros([BLOCK_C, BLOCK_N], tl.float32)
    sum_D = tl.zeros([BLOCK_C], tl.float32)
    chunks = tl.cdiv(length, CHUNK)
    for back in range(chunks):
        chunk = chunks - 1 - back
        place = (first_checkpoint + chunk) * channels * N
        h = tl.load(checkpoints + place + tile, mask=inside, other=0.0)
        before = ()
        for j in tl.static_range(CHUNK):
            before = append(before, h)
            t = chunk * CHUNK + j
            row = start + (length - 1 - t if REVERSE else t)
            some_c = c < tl.where(length > t, channels, 0)
            some_n = n < tl.where(length > t, N, 0)
            x_t = tl.load(x + row * channels + c, mask=some_c, other=0.0).to(tl.float32)
            dt_t = tl.load(dt + row * channels + c, mask=some_c, other=0.0).to(tl.float32)
            B_t = tl.load(B + row * N + n, mask=some_n, other=0.0).to(tl.float32)
            h = tl.exp(dt_t[:, None] * rate) * h + (dt_t * x_t)[:, None] * B_t[None, :]
        for j in tl.static_range(CHUNK - 1, -1, -1):
            t = chunk * CHUNK + j
            row = start + (length - 1 - t if REVERSE else t)
            some_c = c < tl.where(length > t, channels, 0)
            some_n = n < tl.where(length > t, N, 0)
            # read again, from the nearest cache: held for a whole chunk they would spill
            x_t = tl.load(x + row * channels + c, mask=some_c, other=0.0).to(tl.float32)
            dt_t = tl.load(dt + row * channels + c, mask=some_c, other=0.0).to(tl.float32)
            B_t = tl.load(B + row * N + n, mask=some_n, other=0.0).to(tl.float32)
            dy_t = tl.load(dy + row * channels + c, mask=some_c, other=0.0).to(tl.float32)
            C_t = tl.load(C + row * N + n, mask=some_n, other=0.0).to(tl.float32)
            decay = tl.exp(dt_t[:, None] * rate)
            kept = decay * before[j]  # what the step left of the state before it
            inject = x_t[:, None] * B_t[None, :]
            partial = first_partial + row * N + n
            after = kept + dt_t[:, None] * inject
            tl.store(dC + partial, tl.sum(dy_t[:, None] * after, axis=0), mask=some_n)
            g += dy_t[:, None] * C_t[None, :]
            tl.store(dB + partial, tl.sum(g * (dt_t * x_t)[:, None], axis=0), mask=some_n)
            into_x = dt_t * tl.sum(g * B_t[None, :], axis=1) + skip * dy_t
            tl.store(dx + row * channels + c, into_x, mask=some_c)
            into_dt = tl.sum(g * (kept * rate + inject), axis=1)
            tl.store(ddt + row * channels + c, into_dt, mask=some_c)
            sum_A += g * kept * dt_t[:, None]
            sum_D += dy_t * x_t
            g = g * decay
    mine = segment.to(tl.int64) * channels
    tl.store(dA + mine * N + tile, sum_A, mask=inside)
    tl.store(dD + mine + c, sum_D, mask=c < channels)


def fused(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    packed: Packed,
    *,
    reverse: bool = False,
) -> Tensor:
    """As ``selective_scan``, on a GPU or in Triton's interpreter."""
    inputs = (x, dt, A, B, C, D)
    # asked here: inside a Function gradients are off, and what needs them looks the same either way
    save = torch.is_grad_enabled() and any(value.requires_grad for value in inputs)
    y: Tensor = _SelectiveScan.apply(*inputs, packed, reverse, save)
    return y


class _SelectiveScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        *inputs, packed, reverse, save = arguments
        x, dt, A, B, C, D = (value.contiguous() for value in inputs)
        channels, N = A.shape
        y = torch.empty_like(x)
        kept = (packed.tokens // CHUNK + len(packed), channels, N) if save else (0,)
        checkpoints = torch.empty(kept, dtype=torch.float32, device=x.device)
        if y.numel():
            launch = _launch(channels, N)
            with torch.cuda.device_of(y):
                _forward[_grid(launch, packed, channels)](
                    x,
                    dt,
                    A,
                    B,
                    C,
                    D,
                    y,
                    checkpoints,
                    packed.cu_seqlens,
                    packed.order,
                    channels,
                    N,
                    REVERSE=reverse,
                    SAVE=save,
                    **launch,
                )
        ctx.save_for_backward(x, dt, A, B, C, D, checkpoints)
        ctx.packed, ctx.reverse = packed, reverse
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, dt, A, B, C, D, checkpoints = ctx.saved_tensors
        packed = ctx.packed
        channels, N = A.shape
        launch = _launch(channels, N)
        blocks = triton.cdiv(channels, launch["BLOCK_C"])
        wide = {"dtype": torch.float32, "device": x.device}
        dx, ddt = torch.empty_like(x), torch.empty_like(dt)
        dA = torch.zeros(len(packed), channels, N, **wide)
        dD = torch.zeros(len(packed), channels, **wide)
        dB = torch.empty(blocks, packed.tokens, N, **wide)
        dC = torch.empty_like(dB)
        if x.numel():
            with torch.cuda.device_of(x):
                _backward[_grid(launch, packed, channels)](
                    x,
                    dt,
                    A,
                    B,
                    C,
                    D,
                    dy.contiguous(),
                    checkpoints,
                    dx,
                    ddt,
                    dA,
                    dB,
                    dC,
                    dD,
                    packed.cu_seqlens,
                    packed.order,
                    packed.tokens,
                    channels,
                    N,
                    REVERSE=ctx.reverse,
                    **launch,
                )
        sums = (part.sum(0).to(whole.dtype) for part, whole in ((dA, A), (dB, B), (dC, C), (dD, D)))
        return dx, ddt, *sums, None, None, None


def _launch(channels: int, N: int) -> dict[str, int]:
    block_n = triton.next_power_of_2(N)
    block_c = min(triton.next_power_of_2(channels), max(_TILE // block_n, 8))
    return {"CHUNK": CHUNK, "BLOCK_C": block_c, "BLOCK_N": block_n, "num_warps": 4}


def _grid(launch: dict[str, int], packed: Packed, channels: int) -> tuple[int]:
    # one axis: the second axis of a grid holds no more than 65,535 programs
    return (len(packed) * triton.cdiv(channels, launch["BLOCK_C"]),)


def variants() -> list[Variant]:
    """What the ahead-of-time test compiles: 16 states, blocks of 32 channels."""
    launch = _launch(256, 16)
    options = {"num_warps": launch.pop("num_warps")}
    found = []
    for dtype in ("fp32", "bf16"):
        row = dict.fromkeys(("x", "dt", "B", "C", "y", "dy", "dx", "ddt"), f"*{dtype}")
        wide = dict.fromkeys(("A", "D", "checkpoints", "dA", "dB", "dC", "dD"), "*fp32")
        numbers = {
            "bounds": "*i32",
            "order": "*i32",
            "tokens": "i32",
            "channels": "i32",
            "N": "i32",
        }
        types = row | wide | numbers
        for kernel, name, constants in (
            (_forward, "forward", {"REVERSE": False, "SAVE": True}),
            (_backward, "backward", {"REVERSE": True}),
        ):
            signature = {key: types[key] for key in kernel.arg_names if key in types}
            found.append(Variant(f"{name} {dtype}", kernel, signature, constants | launch, options))
    return found

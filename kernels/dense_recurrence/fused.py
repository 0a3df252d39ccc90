"""The dense recurrence in Triton: sixteen passages at a time, one head's weights on the chip.

A program owns a tile of ``TILE`` passages of like length (``packed.order``), one head and one
direction, and walks time with the states in registers: one [TILE, DH] x [DH, DH] product a gate
and step. Rows whose passage has ended keep their state and store nothing. Weights up to 64 wide
stay in shared memory and registers from first step to last; wider ones, up to 128 and not in
fp32, are read again from the cache at every step.

Training stores the states *before* each token in fp32, so nothing in the backward pass depends on
where a passage starts. There, the gates' pre-activations of all tokens are one matmul; the kernel
walks time the other way and replaces them by their gradients; the gradients of the weights and of
the bias are one matmul and one sum over all tokens. No atomics, so results repeat bit for bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..ahead_of_time import Variant
from .cells import GATES, STATES
from .reference import matrices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..packing import Packed

TILE = 16
CELLS = {"gru": 0, "lstm": 1, "slstm": 2}


@triton.jit
def _tanh(x):
    # no libdevice in the interpreter
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def _log_sigmoid(x):
    return tl.minimum(x, 0.0) - tl.log(1 + tl.exp(-tl.abs(x)))


@triton.jit
def _held(W, square, D: tl.constexpr):
    """A gate's weights, to be held through the loop; up to 64 wide they fit on the chip."""
    weights = 0.0
    if D <= 64:
        weights = tl.load(W, mask=square, other=0.0).to(tl.float32)
    return weights


@triton.jit
def _product(state, held, W, square, D: tl.constexpr, PRECISION: tl.constexpr):
    """state [TILE, D] times a gate's weights: those held, or read again from the cache."""
    if D > 64:
        held = tl.load(W, mask=square, other=0.0).to(tl.float32)
    return tl.dot(state, held, input_precision=PRECISION)


@triton.jit
def _tile(cu_seqlens, order, segments, direction, TILE: tl.constexpr, REVERSE: tl.constexpr):
    """The tile's passages: which, whether there is one, its first step's row, the way to the next
    step's, and how many steps it has."""
    place = tl.program_id(0) * TILE + tl.arange(0, TILE)
    inside = place < segments
    segment = tl.load(order + place, mask=inside, other=0).to(tl.int64)
    begin = tl.load(cu_seqlens + segment, mask=inside, other=0).to(tl.int64)
    end = tl.load(cu_seqlens + segment + 1, mask=inside, other=0).to(tl.int64)
    backward = direction >= 0 if REVERSE else direction == 1
    first = tl.where(backward, end - 1, begin)
    stride = tl.where(backward, -1, 1)
    return segment, inside, first, stride, end - begin


@triton.jit(do_not_specialize=["segments", "tokens"])
def _forward(
    x,
    weights,
    bias,
    h0,
    before,
    out,
    last,
    cu_seqlens,
    order,
    segments,
    tokens,
    CELL: tl.constexpr,
    DIRS: tl.constexpr,
    H: tl.constexpr,
    DH: tl.constexpr,
    D: tl.constexpr,
    TILE: tl.constexpr,
    HAS_H0: tl.constexpr,
    KEEP: tl.constexpr,
    REVERSE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    G: tl.constexpr = 3 if CELL == 0 else 4
    head = tl.program_id(1).to(tl.int64)
    direction = tl.program_id(2).to(tl.int64)
    segment, inside, first, stride, length = _tile(
        cu_seqlens, order, segments, direction, TILE, REVERSE
    )
    channel = tl.arange(0, D)
    real = (channel < DH)[None, :]

    # this head's weights, transposed: [state's channel, gate's channel]
    square = (channel < DH)[:, None] & real
    gate = (direction * G * H + head) * DH
    W = weights + (gate + channel[None, :]) * DH + channel[:, None]
    W0 = _held(W, square, D)
    W1 = _held(W + H * DH * DH, square, D)
    W2 = _held(W + 2 * H * DH * DH, square, D)
    b = bias + gate + channel[None, :]
    b0 = tl.load(b, mask=real, other=0.0).to(tl.float32)
    b1 = tl.load(b + H * DH, mask=real, other=0.0).to(tl.float32)
    b2 = tl.load(b + 2 * H * DH, mask=real, other=0.0).to(tl.float32)
    if CELL != 0:
        W3 = _held(W + 3 * H * DH * DH, square, D)
        b3 = tl.load(b + 3 * H * DH, mask=real, other=0.0).to(tl.float32)

    # states [N, dirs, H, DH], one plane each; what is stored [dirs, H, tokens, DH], likewise
    ends = ((segment * DIRS + direction) * H + head)[:, None] * DH + channel[None, :]
    ends_plane = segments.to(tl.int64) * (DIRS * H * DH)
    held = inside[:, None] & real
    before += (direction * H + head) * tokens * DH + channel[None, :]
    before_plane = tokens.to(tl.int64) * (DIRS * H * DH)
    h = tl.zeros([TILE, D], tl.float32)
    c = tl.zeros([TILE, D], tl.float32)
    n = tl.zeros([TILE, D], tl.float32)
    m = tl.zeros([TILE, D], tl.float32)
    if HAS_H0:
        h = tl.load(h0 + ends, mask=held, other=0.0)
        if CELL >= 1:
            c = tl.load(h0 + ends + ends_plane, mask=held, other=0.0)
        if CELL == 2:
            n = tl.load(h0 + ends + 2 * ends_plane, mask=held, other=0.0)
            m = tl.load(h0 + ends + 3 * ends_plane, mask=held, other=0.0)

    x += gate + channel[None, :]
    alive = (length > 0)[:, None] & real
    here = x + first[:, None] * (DIRS * G * H * DH)
    u0 = tl.load(here, mask=alive, other=0.0).to(tl.float32)
    u1 = tl.load(here + H * DH, mask=alive, other=0.0).to(tl.float32)
    u2 = tl.load(here + 2 * H * DH, mask=alive, other=0.0).to(tl.float32)
    u3 = u2
    if CELL != 0:
        u3 = tl.load(here + 3 * H * DH, mask=alive, other=0.0).to(tl.float32)

    for t in range(tl.max(length, 0).to(tl.int32)):
        alive = (t < length)[:, None] & real
        row = first + t * stride
        # the next step's gates are on their way while this one is computed
        more = (t + 1 < length)[:, None] & real
        here = x + (row + stride)[:, None] * (DIRS * G * H * DH)
        v0 = tl.load(here, mask=more, other=0.0).to(tl.float32)
        v1 = tl.load(here + H * DH, mask=more, other=0.0).to(tl.float32)
        v2 = tl.load(here + 2 * H * DH, mask=more, other=0.0).to(tl.float32)
        v3 = v2
        if CELL != 0:
            v3 = tl.load(here + 3 * H * DH, mask=more, other=0.0).to(tl.float32)
        if KEEP:
            store = before + row[:, None] * DH
            tl.store(store, h, mask=alive)
            if CELL >= 1:
                tl.store(store + before_plane, c, mask=alive)
            if CELL == 2:
                tl.store(store + 2 * before_plane, n, mask=alive)
                tl.store(store + 3 * before_plane, m, mask=alive)

        a0 = b0 + _product(h, W0, W, square, D, PRECISION)
        a1 = b1 + _product(h, W1, W + H * DH * DH, square, D, PRECISION)
        a2 = b2 + _product(h, W2, W + 2 * H * DH * DH, square, D, PRECISION)
        if CELL == 0:
            update = tl.sigmoid(u1 + a1)
            new = _tanh(u2 + tl.sigmoid(u0 + a0) * a2)
            h_t = new + update * (h - new)
        else:
            a3 = b3 + _product(h, W3, W + 3 * H * DH * DH, square, D, PRECISION)
            cell = _tanh(u2 + a2)
            show = tl.sigmoid(u3 + a3)
            if CELL == 1:
                c_t = tl.sigmoid(u1 + a1) * c + tl.sigmoid(u0 + a0) * cell
                h_t = show * _tanh(c_t)
            else:
                i = u0 + a0
                kept = _log_sigmoid(u1 + a1) + m
                empty = n == 0
                m_t = tl.where(empty | (i >= kept), i, kept)
                forget = tl.where(empty, 0.0, tl.exp(kept - m_t))
                write = tl.exp(i - m_t)
                c_t = forget * c + write * cell
                n_t = forget * n + write
                h_t = show * c_t / tl.maximum(n_t, 1.0)
                n = tl.where(alive, n_t, n)
                m = tl.where(alive, m_t, m)
            c = tl.where(alive, c_t, c)
        h = tl.where(alive, h_t, h)
        tl.store(
            out + ((row * DIRS + direction) * H + head)[:, None] * DH + channel[None, :],
            h_t,
            mask=alive,
        )
        u0 = v0
        u1 = v1
        u2 = v2
        u3 = v3

    tl.store(last + ends, h, mask=held)
    if CELL >= 1:
        tl.store(last + ends + ends_plane, c, mask=held)
    if CELL == 2:
        tl.store(last + ends + 2 * ends_plane, n, mask=held)
        tl.store(last + ends + 3 * ends_plane, m, mask=held)


@triton.jit(do_not_specialize=["segments", "tokens"])
def _backward(
    pre,
    news,
    before,
    weights,
    dout,
    dlast,
    dh0,
    cu_seqlens,
    order,
    segments,
    tokens,
    CELL: tl.constexpr,
    DIRS: tl.constexpr,
    H: tl.constexpr,
    DH: tl.constexpr,
    D: tl.constexpr,
    TILE: tl.constexpr,
    HAS_DLAST: tl.constexpr,
    REVERSE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """pre [dirs, H, tokens, G, DH] goes in as pre-activations and comes out as their gradients.

    For the GRU the third plane holds what the state says to n, and ``news`` [dirs, H, tokens, DH]
    what the token says, which the reset gate keeps apart; so do the gradients.
    """
    G: tl.constexpr = 3 if CELL == 0 else 4
    head = tl.program_id(1).to(tl.int64)
    direction = tl.program_id(2).to(tl.int64)
    segment, inside, first, stride, length = _tile(
        cu_seqlens, order, segments, direction, TILE, REVERSE
    )
    channel = tl.arange(0, D)
    real = (channel < DH)[None, :]

    # this head's weights: [gate's channel, state's channel]
    square = (channel < DH)[:, None] & real
    W = weights + ((direction * G * H + head) * DH + channel[:, None]) * DH + channel[None, :]
    W0 = _held(W, square, D)
    W1 = _held(W + H * DH * DH, square, D)
    W2 = _held(W + 2 * H * DH * DH, square, D)
    if CELL != 0:
        W3 = _held(W + 3 * H * DH * DH, square, D)

    ends = ((segment * DIRS + direction) * H + head)[:, None] * DH + channel[None, :]
    ends_plane = segments.to(tl.int64) * (DIRS * H * DH)
    held = inside[:, None] & real
    side = (direction * H + head) * tokens * DH
    pre += side * G + channel[None, :]
    news += side + channel[None, :]
    before += side + channel[None, :]
    before_plane = tokens.to(tl.int64) * (DIRS * H * DH)
    dout += (direction * H + head) * DH + channel[None, :]
    dh = tl.zeros([TILE, D], tl.float32)
    dc = tl.zeros([TILE, D], tl.float32)
    dn = tl.zeros([TILE, D], tl.float32)
    dm = tl.zeros([TILE, D], tl.float32)
    if HAS_DLAST:
        dh = tl.load(dlast + ends, mask=held, other=0.0)
        if CELL >= 1:
            dc = tl.load(dlast + ends + ends_plane, mask=held, other=0.0)
        if CELL == 2:
            dn = tl.load(dlast + ends + 2 * ends_plane, mask=held, other=0.0)
            dm = tl.load(dlast + ends + 3 * ends_plane, mask=held, other=0.0)

    longest = tl.max(length, 0).to(tl.int32)
    for s in range(longest):
        t = longest - 1 - s
        alive = (t < length)[:, None] & real
        row = (first + t * stride)[:, None]
        gates = pre + row * (G * DH)
        p0 = tl.load(gates, mask=alive, other=0.0)
        p1 = tl.load(gates + DH, mask=alive, other=0.0)
        p2 = tl.load(gates + 2 * DH, mask=alive, other=0.0)
        dy = tl.load(dout + row * (DIRS * H * DH), mask=alive, other=0.0).to(tl.float32)
        dh_t = dh + dy
        if CELL == 0:
            u = tl.load(news + row * DH, mask=alive, other=0.0)
            h = tl.load(before + row * DH, mask=alive, other=0.0)
            reset = tl.sigmoid(p0)
            update = tl.sigmoid(p1)
            new = _tanh(u + reset * p2)
            du = dh_t * (1 - update) * (1 - new * new)
            d0 = du * p2 * reset * (1 - reset)
            d1 = dh_t * (h - new) * update * (1 - update)
            d2 = du * reset
            dh_t = dh_t * update
            tl.store(news + row * DH, du, mask=alive)
        else:
            p3 = tl.load(gates + 3 * DH, mask=alive, other=0.0)
            c = tl.load(before + before_plane + row * DH, mask=alive, other=0.0)
            cell = _tanh(p2)
            show = tl.sigmoid(p3)
            if CELL == 1:
                write = tl.sigmoid(p0)
                forget = tl.sigmoid(p1)
                shown = _tanh(forget * c + write * cell)
                dc_t = dc + tl.where(alive, dh_t * show * (1 - shown * shown), 0.0)
                d0 = dc_t * cell * write * (1 - write)
                d1 = dc_t * c * forget * (1 - forget)
                d3 = dh_t * shown * show * (1 - show)
                # not where(alive, dc_t * forget, dc): the compiler breaks on it (LLVM of Triton
                # 3.9, sm_90, float32, dlast there) and takes the process down
                dc = dc_t * tl.where(alive, forget, 1.0)
            else:
                n = tl.load(before + 2 * before_plane + row * DH, mask=alive, other=0.0)
                m = tl.load(before + 3 * before_plane + row * DH, mask=alive, other=0.0)
                kept = _log_sigmoid(p1) + m
                empty = n == 0
                fresh = empty | (p0 >= kept)
                top = tl.where(fresh, p0, kept)
                write = tl.exp(p0 - top)
                forget = tl.where(empty, 0.0, tl.exp(kept - top))
                n_t = forget * n + write
                bound = tl.maximum(n_t, 1.0)
                shown = (forget * c + write * cell) / bound
                dc_t = dc + dh_t * show / bound
                dn_t = dn - tl.where(n_t >= 1, dh_t * show * shown / bound, 0.0)
                # gradients of the two exponents, which share the stabiliser m
                dwrite = (dc_t * cell + dn_t) * write
                dforget = (dc_t * c + dn_t * n) * forget
                dtop = dm - dwrite - dforget
                d0 = dwrite + tl.where(fresh, dtop, 0.0)
                dkept = dforget + tl.where(fresh, 0.0, dtop)
                d1 = dkept * (1 - tl.sigmoid(p1))
                d3 = dh_t * shown * show * (1 - show)
                dc = tl.where(alive, dc_t * forget, dc)
                dn = tl.where(alive, dn_t * forget, dn)
                dm = tl.where(alive, dkept, dm)
            d2 = dc_t * write * (1 - cell * cell)
            dh_t = tl.zeros([TILE, D], tl.float32)
            d3 = tl.where(alive, d3, 0.0)
            tl.store(gates + 3 * DH, d3, mask=alive)
        d0 = tl.where(alive, d0, 0.0)
        d1 = tl.where(alive, d1, 0.0)
        d2 = tl.where(alive, d2, 0.0)
        tl.store(gates, d0, mask=alive)
        tl.store(gates + DH, d1, mask=alive)
        tl.store(gates + 2 * DH, d2, mask=alive)
        dh_t += _product(d0, W0, W, square, D, PRECISION)
        dh_t += _product(d1, W1, W + H * DH * DH, square, D, PRECISION)
        dh_t += _product(d2, W2, W + 2 * H * DH * DH, square, D, PRECISION)
        if CELL != 0:
            dh_t += _product(d3, W3, W + 3 * H * DH * DH, square, D, PRECISION)
        dh = tl.where(alive, dh_t, dh)

    tl.store(dh0 + ends, dh, mask=held)
    if CELL >= 1:
        tl.store(dh0 + ends + ends_plane, dc, mask=held)
    if CELL == 2:
        tl.store(dh0 + ends + 2 * ends_plane, dn, mask=held)
        tl.store(dh0 + ends + 3 * ends_plane, dm, mask=held)


def dense_recurrence(
    x_gates: Tensor,
    R: Tensor,
    bias: Tensor,
    packed: Packed,
    cell: str,
    h0: Sequence[Tensor] | None,
    *,
    reverse: bool,
    learns: bool,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Outputs and final states; see ``op.dense_recurrence``. Keeps nothing unless it ``learns``."""
    start = None if h0 is None else torch.stack([state.float() for state in h0])
    out, last = _DenseRecurrence.apply(x_gates, R, bias, start, packed, cell, reverse, learns)
    return out, last.unbind()


class _DenseRecurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x_gates: Tensor,
        R: Tensor,
        bias: Tensor,
        h0: Tensor | None,
        packed: Packed,
        cell: str,
        reverse: bool,
        learns: bool,
    ) -> tuple[Tensor, Tensor]:
        x_gates, weights, bias = x_gates.contiguous(), R.contiguous(), bias.contiguous()
        tokens, dirs, _, heads, dim = x_gates.shape
        states, device = len(STATES[cell]), x_gates.device
        out = x_gates.new_empty(tokens, dirs * heads * dim)
        last = torch.empty(states, len(packed), dirs, heads, dim, device=device)
        kept = states if learns else 0
        before = torch.empty(kept, dirs, heads, tokens, dim, device=device)
        if len(packed):
            with torch.cuda.device_of(x_gates):
                _forward[triton.cdiv(len(packed), TILE), heads, dirs](
                    x_gates,
                    weights,
                    bias,
                    last if h0 is None else h0.contiguous(),
                    before,
                    out,
                    last,
                    packed.cu_seqlens,
                    packed.order,
                    len(packed),
                    tokens,
                    HAS_H0=h0 is not None,
                    KEEP=learns,
                    **_constants(x_gates, cell, reverse=reverse),
                    **_options(dim),
                )
        if learns:
            ctx.save_for_backward(x_gates, R, bias, before)
            ctx.packed, ctx.cell, ctx.reverse, ctx.continues = packed, cell, reverse, h0 is not None
            ctx.set_materialize_grads(False)
        return out, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor | None, dlast: Tensor | None) -> tuple[Tensor | None, ...]:
        x_gates, R, bias, before = ctx.saved_tensors
        packed = ctx.packed
        tokens, dirs, _, heads, dim = x_gates.shape
        h = before[0].flatten(0, 1)
        pre, news = _pre_activations(x_gates, R, bias, h, ctx.cell)
        if dout is None:
            dout = x_gates.new_zeros(tokens, dirs * heads * dim)
        dh0 = h.new_empty(len(before), len(packed), dirs, heads, dim)
        if len(packed):
            with torch.cuda.device_of(x_gates):
                _backward[triton.cdiv(len(packed), TILE), heads, dirs](
                    pre,
                    news,
                    before,
                    R.contiguous(),
                    dout.contiguous(),
                    dh0 if dlast is None else dlast.contiguous(),
                    dh0,
                    packed.cu_seqlens,
                    packed.order,
                    len(packed),
                    tokens,
                    HAS_DLAST=dlast is not None,
                    **_constants(x_gates, ctx.cell, reverse=ctx.reverse),
                    **_options(dim),
                )
        dx, dR, dbias = _gather(pre, news, h, x_gates)
        begin = dh0 if ctx.continues else None
        return dx, dR.to(R.dtype), dbias.to(bias.dtype), begin, None, None, None, None


def _pre_activations(
    x_gates: Tensor, R: Tensor, bias: Tensor, h: Tensor, cell: str
) -> tuple[Tensor, Tensor]:
    """What ``_backward`` takes as ``pre`` and ``news``, in fp32, for all tokens at once."""
    tokens, dirs, gates, heads, dim = x_gates.shape
    weight, lift = matrices(R.float(), bias.float())
    pre = torch.baddbmm(lift, h, weight).view(dirs, heads, tokens, gates, dim)
    said = x_gates.permute(1, 3, 0, 2, 4)
    if cell != "gru":
        return pre.add_(said), pre
    pre[..., :2, :] += said[..., :2, :]
    return pre, said[..., 2, :].to(torch.float32, memory_format=torch.contiguous_format, copy=True)


def _gather(pre: Tensor, news: Tensor, h: Tensor, x_gates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of x_gates, R and bias from those that the kernel left in its buffers."""
    tokens, dirs, gates, heads, dim = x_gates.shape
    flat = pre.view(dirs * heads, tokens, gates * dim)
    dR = torch.bmm(flat.transpose(1, 2), h).view(dirs, heads, gates, dim, dim).transpose(1, 2)
    dbias = flat.sum(1).view(dirs, heads, gates, dim).transpose(1, 2)
    dx = torch.empty_like(x_gates)
    dx.copy_(pre.permute(2, 0, 3, 1, 4))
    if gates == 3:
        dx[:, :, 2].copy_(news.permute(2, 0, 1, 3))
    return dx, dR, dbias


def _constants(x_gates: Tensor, cell: str, *, reverse: bool) -> dict[str, Any]:
    _, dirs, _, heads, dim = x_gates.shape
    # TF32 holds bf16 weights exactly and keeps three more bits of the state than bf16 would
    precision = "ieee" if x_gates.dtype == torch.float32 else "tf32"
    return {
        "CELL": CELLS[cell],
        "DIRS": dirs,
        "H": heads,
        "DH": dim,
        "D": _padded(dim),
        "TILE": TILE,
        "REVERSE": reverse,
        "PRECISION": precision,
    }


def _padded(dim: int) -> int:
    """The next power of two; 16 is the least that a matrix product takes."""
    return max(16, int(triton.next_power_of_2(dim)))


def _options(dim: int) -> dict[str, int]:
    return {"num_warps": 4 if _padded(dim) <= 32 else 8, "num_stages": 1}


def variants() -> list[Variant]:
    """What is launched: every cell both ways in fp32, bf16 with the widest heads."""
    both = {"cu_seqlens": "*i32", "order": "*i32", "segments": "i32", "tokens": "i32"}
    found = []
    for cell, dtype, dim in (
        ("gru", "fp32", 32),
        ("lstm", "fp32", 64),
        ("slstm", "fp32", 32),
        ("slstm", "bf16", 64),
        ("lstm", "bf16", 128),
    ):
        like = torch.empty(0, 2, len(GATES[cell]), 2, dim, dtype=_DTYPES[dtype])
        constants = _constants(like, cell, reverse=False)
        given = dict.fromkeys(("x", "weights", "bias", "out", "dout"), f"*{dtype}")
        wide = dict.fromkeys(("h0", "before", "last", "pre", "news", "dlast", "dh0"), "*fp32")
        for kernel, extra in (
            (_forward, {"HAS_H0": True, "KEEP": True}),
            (_backward, {"HAS_DLAST": True}),
        ):
            signature = {
                name: kind
                for name, kind in (both | given | wide).items()
                if name in kernel.arg_names
            }
            name = f"{kernel.__name__[1:]}-{cell}-{dtype}-{dim}"
            found.append(Variant(name, kernel, signature, constants | extra, _options(dim)))
    return found


_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

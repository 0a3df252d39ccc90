"""The Triton twin: gates, recurrence and pooling in one launch, sequential in time.

One program walks one segment in one direction for a block of channels, its state in registers; at
passage length there are programs enough. Longest segments start first. Rows are fetched some steps
ahead by the pipeliner. The backward pass walks the other way, reads the states that the forward
pass left and computes the gates again. No two programs write to one place, so results repeat bit
by bit, and a segment's never depend on its neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from torch.autograd.function import once_differentiable

from ..ahead_of_time import Variant
from .cells import SHAPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ..packing import Packed

_BLOCK = 64  # channels of a program: two to a thread of one warp
# rows in flight: 7 rows x 2 gates x 128 bytes, so that 15 programs keep 26 KB a processor moving
_STAGES = 8
_STAGES_BACKWARD = 4  # it fetches twice as many tensors


@triton.jit
def _sigmoid(x):
    e = tl.exp(-tl.abs(x))
    return tl.where(x >= 0, 1.0, e) / (1.0 + e)


@triton.jit
def _slope(x):
    """The derivative of the sigmoid; s (1 - s) would lose its digits where s is near 1."""
    e = tl.exp(-tl.abs(x))
    return e / ((1.0 + e) * (1.0 + e))


@triton.jit
def _tanh(x):
    return 2.0 * _sigmoid(2.0 * x) - 1.0


@triton.jit
def _softplus(x):
    return tl.maximum(x, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(x)))


@triton.jit
def _one_minus_exp(x):
    """1 - e^x for x <= 0, to the last digits near 0 too: sqrt(1 - a^2) lives there."""
    series = 1.0 + x / 2 * (1.0 + x / 3 * (1.0 + x / 4 * (1.0 + x / 5 * (1.0 + x / 6))))
    return tl.where(x > -0.25, -x * series, 1.0 - tl.exp(x))


@triton.jit
def _lerp(CELL: tl.constexpr, x0, x1, x2, p0):
    """z and c of h += z (c - h)."""
    if CELL == "mingru":
        z = _sigmoid(x0)
        c = x1
    elif CELL == "mingru_pos":
        z = _sigmoid(x0)
        c = tl.where(x1 >= 0, x1 + 0.5, _sigmoid(x1))
    elif CELL == "minlstm":
        z = _sigmoid(_softplus(-x0) - _softplus(-x1))
        c = x2
    else:  # hgrn
        z = (1.0 - p0) * _sigmoid(-x0)
        c = x1 * _sigmoid(x1)
    return z, c


@triton.jit
def _lerp_adjoint(CELL: tl.constexpr, x0, x1, p0, dz, dc):
    """Gradients of the pre-activations and of the parameter from those of z and c."""
    d2 = dc
    dp = dz
    if CELL == "mingru":
        d0 = dz * _slope(x0)
        d1 = dc
    elif CELL == "mingru_pos":
        d0 = dz * _slope(x0)
        d1 = dc * tl.where(x1 >= 0, 1.0, _slope(x1))
    elif CELL == "minlstm":
        delta = dz * _slope(_softplus(-x0) - _softplus(-x1))
        d0 = -delta * _sigmoid(-x0)
        d1 = delta * _sigmoid(-x1)
    else:  # hgrn
        d0 = -dz * (1.0 - p0) * _slope(x0)
        d1 = dc * (_sigmoid(x1) + x1 * _slope(x1))
        dp = -dz * _sigmoid(-x0)
    return d0, d1, d2, dp


@triton.jit
def _rglru(r, p0, first):
    """a, the multiplier sqrt(1 - a^2) of the input, and s(r); first: the walk begins here."""
    gate = _sigmoid(r)
    log_a = -8.0 * gate * p0
    root = tl.sqrt(_one_minus_exp(2.0 * log_a))
    return tl.where(first, 0.0, tl.exp(log_a)), tl.where(first, 1.0, root), gate


@triton.jit
def _parameter(params, row, ROWS: tl.constexpr, WHICH: tl.constexpr, channels, channel, inside):
    if WHICH < ROWS:
        at = params + (row * ROWS + WHICH) * channels + channel
        value = tl.load(at, mask=inside, other=0.0)
    else:
        value = tl.zeros_like(channel).to(tl.float32)
    return value


@triton.jit
def _walk(cu_seqlens, order, channels, DIRECTIONS: tl.constexpr, BLOCK: tl.constexpr):
    """What a program works on: segment, direction, channels, and where its walk goes."""
    blocks = tl.cdiv(channels, BLOCK)
    program = tl.program_id(0)
    segment = tl.load(order + program // (DIRECTIONS * blocks)).to(tl.int64)
    direction = program // blocks % DIRECTIONS
    channel = program % blocks * BLOCK + tl.arange(0, BLOCK)
    start = tl.load(cu_seqlens + segment)
    length = tl.load(cu_seqlens + segment + 1) - start
    token = start + direction * (length - 1)
    return segment, direction, channel, length, token, 1 - 2 * direction


@triton.jit
def _forward(
    u,
    params,
    states,
    memory,
    pooled,
    winners,
    cu_seqlens,
    order,
    channels,
    CELL: tl.constexpr,
    GATES: tl.constexpr,
    ROWS: tl.constexpr,
    DIRECTIONS: tl.constexpr,
    MEAN: tl.constexpr,
    MAX: tl.constexpr,
    LAST: tl.constexpr,
    BLOCK: tl.constexpr,
    STAGES: tl.constexpr,
):
    """u [tokens, D, G, C]; params [D, P, C] float32. Written where the pointer is not None:

    states and memory (ParaLSTM's c) [tokens, D, C]; pooled [N, pools, D, C] float32; winners
    [N, D, C] int32, the step of the walk at which the maximum was met.
    """
    segment, direction, channel, length, token, step = _walk(
        cu_seqlens, order, channels, DIRECTIONS, BLOCK
    )
    inside = channel < channels
    p0 = _parameter(params, direction, ROWS, 0, channels, channel, inside)
    p1 = _parameter(params, direction, ROWS, 1, channels, channel, inside)
    p2 = _parameter(params, direction, ROWS, 2, channels, channel, inside)
    p3 = _parameter(params, direction, ROWS, 3, channels, channel, inside)
    p4 = _parameter(params, direction, ROWS, 4, channels, channel, inside)
    h = tl.zeros([BLOCK], tl.float32)
    c = tl.zeros([BLOCK], tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    best = tl.full([BLOCK], float("-inf"), tl.float32)
    winner = tl.zeros([BLOCK], tl.int32)
    for t in tl.range(0, length, num_stages=STAGES):
        row = (token + t * step).to(tl.int64) * DIRECTIONS + direction
        at = u + row * (GATES * channels) + channel
        x0 = tl.load(at, mask=inside, other=0.0).to(tl.float32)
        x1 = tl.load(at + channels, mask=inside, other=0.0).to(tl.float32)
        x2 = x1
        if GATES == 3:
            x2 = tl.load(at + 2 * channels, mask=inside, other=0.0).to(tl.float32)
        if CELL == "rglru":
            a, root, _ = _rglru(x0, p0, t == 0)
            h = a * h + root * _sigmoid(x1) * x2
        elif CELL == "paragru":
            z = _sigmoid(p0 * h + x0)
            r = _sigmoid(p1 * h + x1)
            h += z * (_tanh(p2 * h * r + x2) - h)
        elif CELL == "paralstm":
            f = _sigmoid(p0 * h + p1 * c + x0)
            n = _tanh(p2 * h + x1)
            c = n + f * (c - n)
            h = _sigmoid(p3 * h + p4 * c + x2) * _tanh(c)
        else:
            z, candidate = _lerp(CELL, x0, x1, x2, p0)
            h += z * (candidate - h)
        if states is not None:
            place = states + row * channels + channel
            tl.store(place, h.to(states.dtype.element_ty), mask=inside)
        if memory is not None:
            place = memory + row * channels + channel
            tl.store(place, c.to(memory.dtype.element_ty), mask=inside)
        if MEAN:
            total += h
        if MAX:
            # of equal states the first in the pack wins; NaN, once there, stays
            better = tl.where(direction == 0, h > best, h >= best) | (h != h)  # noqa: PLR0124
            best = tl.where(better, h, best)
            winner = tl.where(better, t, winner)
    if pooled is not None:
        width = DIRECTIONS * channels
        at = pooled + segment * ((MEAN + MAX + LAST) * width) + direction * channels + channel
        if MEAN:
            tl.store(at, total / tl.maximum(length, 1), mask=inside)
        if MAX:
            tl.store(at + MEAN * width, tl.where(length > 0, best, 0.0), mask=inside)
        if LAST:
            tl.store(at, h, mask=inside)
        if winners is not None:
            at = winners + segment * width + direction * channels + channel
            tl.store(at, winner, mask=inside)


@triton.jit
def _backward(
    u,
    params,
    states,
    memory,
    grad,
    winners,
    grad_u,
    partials,
    cu_seqlens,
    order,
    channels,
    CELL: tl.constexpr,
    GATES: tl.constexpr,
    ROWS: tl.constexpr,
    DIRECTIONS: tl.constexpr,
    MEAN: tl.constexpr,
    MAX: tl.constexpr,
    LAST: tl.constexpr,
    BLOCK: tl.constexpr,
    STAGES: tl.constexpr,
):
    """grad: of the states [tokens, D, C], or of what was pooled [N, pools, D, C].

    Writes grad_u as u is laid out and partials [N, D, P, C], each segment's share of the
    gradient of the parameters.
    """
    segment, direction, channel, length, token, step = _walk(
        cu_seqlens, order, channels, DIRECTIONS, BLOCK
    )
    inside = channel < channels
    p0 = _parameter(params, direction, ROWS, 0, channels, channel, inside)
    p1 = _parameter(params, direction, ROWS, 1, channels, channel, inside)
    p2 = _parameter(params, direction, ROWS, 2, channels, channel, inside)
    p3 = _parameter(params, direction, ROWS, 3, channels, channel, inside)
    p4 = _parameter(params, direction, ROWS, 4, channels, channel, inside)
    zeros = tl.zeros([BLOCK], tl.float32)
    q0, q1, q2, q3, q4 = zeros, zeros, zeros, zeros, zeros
    carry = zeros  # the gradient of h that the later steps of the walk send back
    carry_c = zeros
    mean, highest, last = zeros, zeros, zeros
    winner = tl.zeros([BLOCK], tl.int32)
    width = DIRECTIONS * channels
    at_pool = grad + segment * ((MEAN + MAX + LAST) * width) + direction * channels + channel
    if MEAN:
        mean = tl.load(at_pool, mask=inside, other=0.0) / tl.maximum(length, 1)
    if MAX:
        highest = tl.load(at_pool + MEAN * width, mask=inside, other=0.0)
        at_winner = winners + segment * width + direction * channels + channel
        winner = tl.load(at_winner, mask=inside, other=0)
    if LAST:
        last = tl.load(at_pool, mask=inside, other=0.0)
    for back in tl.range(0, length, num_stages=STAGES):
        t = length - 1 - back
        row = (token + t * step).to(tl.int64) * DIRECTIONS + direction
        at = u + row * (GATES * channels) + channel
        x0 = tl.load(at, mask=inside, other=0.0).to(tl.float32)
        x1 = tl.load(at + channels, mask=inside, other=0.0).to(tl.float32)
        x2 = x1
        if GATES == 3:
            x2 = tl.load(at + 2 * channels, mask=inside, other=0.0).to(tl.float32)
        # the state before this step; before a walk's first step there is none, whoever lies there
        before = (row - step * DIRECTIONS) * channels + channel
        known = channel < tl.where(t > 0, channels, 0)
        h = tl.load(states + before, mask=known, other=0.0).to(tl.float32)
        g = carry
        if MEAN:
            g += mean
        if MAX:
            g += tl.where(winner == t, highest, 0.0)
        if LAST:
            g += tl.where(back == 0, last, 0.0)
        if not (MEAN or MAX or LAST):
            g += tl.load(grad + row * channels + channel, mask=inside, other=0.0).to(tl.float32)
        if CELL == "rglru":
            a, root, gate = _rglru(x0, p0, t == 0)
            enter = _sigmoid(x1)
            d_root = g * enter * x2
            steepness = tl.minimum(0.5 / tl.maximum(root, 1e-4), 1000.0)
            # at a walk's first token a = 0, so both terms vanish
            d_log_a = g * h * a - 2.0 * d_root * a * a * steepness
            d0 = -8.0 * d_log_a * p0 * _slope(x0)
            d1 = g * root * x2 * _slope(x1)
            d2 = g * root * enter
            q0 -= 8.0 * d_log_a * gate
            carry = g * a
        elif CELL == "paragru":
            z = _sigmoid(p0 * h + x0)
            r = _sigmoid(p1 * h + x1)
            n = _tanh(p2 * h * r + x2)
            d0 = g * (n - h) * _slope(p0 * h + x0)
            d2 = g * z * 4.0 * _slope(2.0 * (p2 * h * r + x2))
            d1 = d2 * p2 * h * _slope(p1 * h + x1)
            q0 += d0 * h
            q1 += d1 * h
            q2 += d2 * h * r
            carry = g * (1.0 - z) + d0 * p0 + d1 * p1 + d2 * p2 * r
        elif CELL == "paralstm":
            c = tl.load(memory + before, mask=known, other=0.0).to(tl.float32)
            f = _sigmoid(p0 * h + p1 * c + x0)
            n = _tanh(p2 * h + x1)
            new = n + f * (c - n)
            o = _sigmoid(p3 * h + p4 * new + x2)
            d2 = g * _tanh(new) * _slope(p3 * h + p4 * new + x2)
            d_new = carry_c + g * o * 4.0 * _slope(2.0 * new) + d2 * p4
            d0 = d_new * (c - n) * _slope(p0 * h + p1 * c + x0)
            d1 = d_new * (1.0 - f) * 4.0 * _slope(2.0 * (p2 * h + x1))
            q0 += d0 * h
            q1 += d0 * c
            q2 += d1 * h
            q3 += d2 * h
            q4 += d2 * new
            carry = d0 * p0 + d1 * p2 + d2 * p3
            carry_c = d_new * f + d0 * p1
        else:
            z, candidate = _lerp(CELL, x0, x1, x2, p0)
            d0, d1, d2, dp = _lerp_adjoint(CELL, x0, x1, p0, g * (candidate - h), g * z)
            if ROWS == 1:
                q0 += dp
            carry = g - g * z
        at = grad_u + row * (GATES * channels) + channel
        tl.store(at, d0.to(grad_u.dtype.element_ty), mask=inside)
        tl.store(at + channels, d1.to(grad_u.dtype.element_ty), mask=inside)
        if GATES == 3:
            tl.store(at + 2 * channels, d2.to(grad_u.dtype.element_ty), mask=inside)
    if ROWS > 0:
        at = partials + (segment * DIRECTIONS + direction) * (ROWS * channels) + channel
        tl.store(at, q0, mask=inside)
        if ROWS >= 3:
            tl.store(at + channels, q1, mask=inside)
            tl.store(at + 2 * channels, q2, mask=inside)
        if ROWS == 5:
            tl.store(at + 3 * channels, q3, mask=inside)
            tl.store(at + 4 * channels, q4, mask=inside)


def fused_scan(
    u: Tensor,
    cell: str,
    packed: Packed,
    params: Tensor,
    pools: Sequence[str],
    out_dtype: torch.dtype,
) -> Tensor:
    """As ``bi_gated_scan``; params [D, P, C] float32, of "rglru" already sp(L)."""
    u, params = u.contiguous(), params.contiguous()
    if torch.is_grad_enabled() and (u.requires_grad or params.requires_grad):
        out: Tensor = _Scan.apply(u, params, cell, packed, tuple(pools), out_dtype)
        return out
    return _run(u, cell, packed, params, pools, out_dtype, keep=False)[0]


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        u: Tensor,
        params: Tensor,
        cell: str,
        packed: Packed,
        pools: tuple[str, ...],
        out_dtype: torch.dtype,
    ) -> Tensor:
        out, *kept = _run(u, cell, packed, params, pools, out_dtype, keep=True)
        ctx.save_for_backward(u, params, *kept)
        ctx.cell, ctx.packed, ctx.pools = cell, packed, pools
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        u, params, states, memory, winners = ctx.saved_tensors
        grad_u = torch.empty_like(u)
        partials = params.new_empty(len(ctx.packed), *params.shape)
        _launch(
            _backward,
            u,
            (params, states, memory, grad.contiguous(), winners, grad_u, partials),
            ctx.packed,
            _constants(ctx.cell, u, ctx.pools, _STAGES_BACKWARD),
        )
        return grad_u, partials.sum(0), None, None, None, None


def _run(
    u: Tensor,
    cell: str,
    packed: Packed,
    params: Tensor,
    pools: Sequence[str],
    out_dtype: torch.dtype,
    *,
    keep: bool,
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """The result and what the backward pass reads: states, ParaLSTM's c, the maxima's steps."""
    directions, channels = u.shape[1], u.shape[3]
    tokens, segments = (len(u), directions, channels), (len(packed), directions, channels)
    states: Tensor | None
    pooled: Tensor | None
    if pools:
        pooled = out = params.new_empty(len(packed), len(pools) * directions * channels)
        # without a backward pass nobody needs the states of the tokens: they are not written
        states = u.new_empty(tokens) if keep else None
    else:
        pooled, states = None, u.new_empty(tokens, dtype=out_dtype)
        out = states.flatten(1)
    memory = u.new_empty(tokens) if keep and cell == "paralstm" else None
    winners = params.new_empty(segments, dtype=torch.int32) if keep and "max" in pools else None
    _launch(
        _forward,
        u,
        (params, states, memory, pooled, winners),
        packed,
        _constants(cell, u, pools, _STAGES),
    )
    return out, states, memory, winners


def _launch(
    kernel: Any,
    u: Tensor,
    tensors: tuple[Tensor | None, ...],
    packed: Packed,
    constants: dict[str, Any],
) -> None:
    channels = u.shape[3]
    programs = len(packed) * u.shape[1] * triton.cdiv(channels, _BLOCK)
    if not programs:
        return
    with torch.cuda.device_of(u):
        kernel[(programs,)](
            u, *tensors, packed.cu_seqlens, packed.order, channels, **constants, num_warps=1
        )


def _constants(cell: str, u: Tensor, pools: Sequence[str], stages: int) -> dict[str, Any]:
    return {
        "CELL": cell,
        "GATES": u.shape[2],
        "ROWS": SHAPES[cell].parameters,
        "DIRECTIONS": u.shape[1],
        "MEAN": "mean" in pools,
        "MAX": "max" in pools,
        "LAST": "last" in pools,
        "BLOCK": _BLOCK,
        "STAGES": stages,
    }


def variants() -> list[Variant]:
    """Every cell once in one of the passes, every pool, both dtypes, one and two directions."""
    forward = [
        _variant(_forward, "mingru", "fp32", (), 2),
        _variant(_forward, "hgrn", "bf16", ("mean", "max"), 2),
        _variant(_forward, "rglru", "bf16", (), 1),
        _variant(_forward, "paralstm", "bf16", ("last",), 2),
    ]
    backward = [
        _variant(_backward, "mingru_pos", "bf16", (), 2),
        _variant(_backward, "minlstm", "fp32", ("mean", "max"), 2),
        _variant(_backward, "paragru", "bf16", ("last",), 1),
        _variant(_backward, "rglru", "fp32", (), 2),
    ]
    return forward + backward


def _variant(
    kernel: Any, cell: str, dtype: str, pools: tuple[str, ...], directions: int
) -> Variant:
    """The kernel as training launches it, so with everything that is saved or read."""
    forward = kernel is _forward
    types = dict.fromkeys(["u", "states", "memory", "grad_u"], f"*{dtype}")
    types |= dict.fromkeys(["params", "pooled", "partials"], "*fp32")
    types |= dict.fromkeys(["winners", "cu_seqlens", "order"], "*i32")
    types |= {"grad": "*fp32" if pools else f"*{dtype}", "channels": "i32"}
    absent = {"memory"} if cell != "paralstm" else set()
    absent |= set() if "max" in pools else {"winners"}
    absent |= set() if pools else {"pooled"}
    shape = SHAPES[cell]
    constants = {
        "CELL": cell,
        "GATES": shape.gates,
        "ROWS": shape.parameters,
        "DIRECTIONS": directions,
        "MEAN": "mean" in pools,
        "MAX": "max" in pools,
        "LAST": "last" in pools,
        "BLOCK": _BLOCK,
        "STAGES": _STAGES if forward else _STAGES_BACKWARD,
    }
    signature = {
        name: types[name] for name in kernel.arg_names if name in types and name not in absent
    }
    constants |= {name: None for name in kernel.arg_names if name in absent}
    name = f"{'forward' if forward else 'backward'} {cell} {'+'.join(pools) or 'states'} {dtype}"
    return Variant(name, kernel, signature, constants, {"num_warps": 1})

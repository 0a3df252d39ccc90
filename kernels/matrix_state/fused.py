"""The matrix state in Triton: one program a segment and head, blocks of 16 tokens in order.

The state stays in registers in float32 and visits the blocks; inside a block all pairs are
products of matrices. A decay enters as exp of a sum that is never positive. A pair's decays are a
difference of two sums that start at its block, so their rounding stays small however long the
segment. The backward pass recomputes the states: one kernel in the order of the forward pass for
what was read (dq), one in the opposite order for what was written (dk, dv, the decays). Nothing
is added atomically, so that gradients are the same bits every time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..ahead_of_time import Variant
from .pairs import INCLUSIVE, Sweep

if TYPE_CHECKING:
    from ..packing import Packed
    from .pairs import Pairs

# exp(-30) is 1e-13, lost beside anything float32 can hold next to 1; a gate closed further would
# only coarsen the sums of its block
CLOSED = tl.constexpr(-30.0)


@triton.jit
def _place(chunk, start, length, REVERSE: tl.constexpr, BT: tl.constexpr):
    """The row a block's first visit goes to, int64; and which of its visits the segment has."""
    first = chunk * BT
    row = start + ((length - 1 - first) if REVERSE else first)
    return row.to(tl.int64), first + tl.arange(0, BT) < length


@triton.jit
def _offsets(REVERSE: tl.constexpr, BT: tl.constexpr, BD: tl.constexpr, step: tl.constexpr):
    """From the block's first visit to each element of [BT, BD], rows ``step`` apart: int32."""
    rows = tl.arange(0, BT) * (-step if REVERSE else step)
    return rows[:, None] + tl.arange(0, BD)[None, :]


@triton.jit
def _load(
    x, row, valid, head, REVERSE: tl.constexpr, H: tl.constexpr, D: tl.constexpr, BD: tl.constexpr
):
    """fp32 [BT, BD] of x [tokens, H, D], zeros where there is nothing."""
    mask = valid[:, None] & (tl.arange(0, BD) < D)[None, :]
    place = x + (row * H + head) * D + _offsets(REVERSE, valid.shape[0], BD, H * D)
    return tl.load(place, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _store(
    x,
    value,
    row,
    valid,
    head,
    REVERSE: tl.constexpr,
    H: tl.constexpr,
    D: tl.constexpr,
    BD: tl.constexpr,
):
    mask = valid[:, None] & (tl.arange(0, BD) < D)[None, :]
    place = x + (row * H + head) * D + _offsets(REVERSE, valid.shape[0], BD, H * D)
    tl.store(place, value.to(x.dtype.element_ty), mask=mask)


@triton.jit
def _sums(g, chosen, CHANNEL: tl.constexpr):
    """For each row of ``chosen`` [BT, BT] the sum of g [BT, BG] over the rows it chooses."""
    if CHANNEL:
        found = tl.dot(chosen.to(tl.float32), g, input_precision="ieee")
    else:
        found = tl.sum(tl.where(chosen, tl.trans(g), 0.0), 1)[:, None]
    return found


@triton.jit
def _by_gate(x, CHANNEL: tl.constexpr):
    """x [BT, BK] as [BT, BG]: what the channels of one gate have together."""
    return x if CHANNEL else tl.sum(x, 1)[:, None]


@triton.jit
def _decays(
    g, row, valid, head, REVERSE: tl.constexpr, H: tl.constexpr, DG: tl.constexpr,
    READ_FIRST: tl.constexpr, DECAY_LAST: tl.constexpr, CHANNEL: tl.constexpr, BG: tl.constexpr,
):  # fmt: skip
    """Sums of log decays, [BT, BG]: start to reader, start to writer, writer to end; and over the
    block, [1, BG]."""
    G = tl.maximum(_load(g, row, valid, head, REVERSE, H, DG, BG), CLOSED)
    t, s = tl.arange(0, valid.shape[0])[:, None], tl.arange(0, valid.shape[0])[None, :]
    read = _sums(G, (s < t) if READ_FIRST else (s <= t), CHANNEL)
    write = _sums(G, (s < t) if DECAY_LAST else (s <= t), CHANNEL)
    after = _sums(G, (s >= t) if DECAY_LAST else (s > t), CHANNEL)
    return read, write, after, tl.sum(G, 0)[None, :]


@triton.jit
def _between(read, write, CHANNEL: tl.constexpr, BT: tl.constexpr):
    """How much of writer s is left at a later reader t: [t, s], or [t, s, BK]; 0 at others."""
    t, s = tl.arange(0, BT)[:, None], tl.arange(0, BT)[None, :]
    if CHANNEL:
        gap = tl.where((s < t)[:, :, None], read[:, None, :] - write[None, :, :], float("-inf"))
    else:
        gap = tl.where(s < t, read - tl.trans(write), float("-inf"))
    return tl.exp(gap)


@triton.jit
def _met(Q, K, left, CHANNEL: tl.constexpr):
    """[t, s]: how strongly s reaches t."""
    if CHANNEL:
        found = tl.sum(Q[:, None, :] * K[None, :, :] * left, 2)
    else:
        found = tl.dot(Q, tl.trans(K), input_precision="ieee") * left
    return found


@triton.jit
def forward(
    q, k, v, g, bonus, out, cu_seqlens, order,
    H: tl.constexpr, DK: tl.constexpr, DV: tl.constexpr, REVERSE: tl.constexpr,
    READ_FIRST: tl.constexpr, DECAY_LAST: tl.constexpr, DIAGONAL: tl.constexpr,
    BONUS: tl.constexpr, CHANNEL: tl.constexpr, BT: tl.constexpr, BK: tl.constexpr,
    BV: tl.constexpr,
):  # fmt: skip
    DG: tl.constexpr = DK if CHANNEL else 1
    BG: tl.constexpr = BK if CHANNEL else 1
    segment, head = tl.load(order + tl.program_id(0)), tl.program_id(1)
    start = tl.load(cu_seqlens + segment)
    length = tl.load(cu_seqlens + segment + 1) - start
    cols = tl.arange(0, BK)
    own = tl.full([BK], 1.0, tl.float32)
    if BONUS:
        own = tl.load(bonus + head * DK + cols, mask=cols < DK, other=0.0).to(tl.float32)
    state = tl.zeros([BK, BV], tl.float32)
    for chunk in range(tl.cdiv(length, BT)):
        row, valid = _place(chunk, start, length, REVERSE, BT)
        Q = _load(q, row, valid, head, REVERSE, H, DK, BK)
        K = _load(k, row, valid, head, REVERSE, H, DK, BK)
        V = _load(v, row, valid, head, REVERSE, H, DV, BV)
        read, write, after, total = _decays(
            g, row, valid, head, REVERSE, H, DG, READ_FIRST, DECAY_LAST, CHANNEL, BG
        )
        met = _met(Q, K, _between(read, write, CHANNEL, BT), CHANNEL)
        o = tl.dot(Q * tl.exp(read), state, input_precision="ieee")
        o += tl.dot(met, V, input_precision="ieee")
        if DIAGONAL:
            o += tl.sum(Q * K * own[None, :], 1)[:, None] * V
        _store(out, o, row, valid, head, REVERSE, H, DV, BV)
        state = state * tl.trans(tl.exp(total)) + tl.dot(
            tl.trans(K * tl.exp(after)), V, input_precision="ieee"
        )


@triton.jit
def backward_read(
    q, k, v, g, bonus, do, dq, reads, cu_seqlens, order,
    H: tl.constexpr, DK: tl.constexpr, DV: tl.constexpr, REVERSE: tl.constexpr,
    READ_FIRST: tl.constexpr, DECAY_LAST: tl.constexpr, DIAGONAL: tl.constexpr,
    BONUS: tl.constexpr, CHANNEL: tl.constexpr, DECAYS: tl.constexpr,
    BT: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
):  # fmt: skip
    """dq; and q dq without the diagonal, which is the gradient of "start to reader"."""
    DG: tl.constexpr = DK if CHANNEL else 1
    BG: tl.constexpr = BK if CHANNEL else 1
    segment, head = tl.load(order + tl.program_id(0)), tl.program_id(1)
    start = tl.load(cu_seqlens + segment)
    length = tl.load(cu_seqlens + segment + 1) - start
    cols = tl.arange(0, BK)
    own = tl.full([BK], 1.0, tl.float32)
    if BONUS:
        own = tl.load(bonus + head * DK + cols, mask=cols < DK, other=0.0).to(tl.float32)
    state = tl.zeros([BK, BV], tl.float32)
    for chunk in range(tl.cdiv(length, BT)):
        row, valid = _place(chunk, start, length, REVERSE, BT)
        Q = _load(q, row, valid, head, REVERSE, H, DK, BK)
        K = _load(k, row, valid, head, REVERSE, H, DK, BK)
        V = _load(v, row, valid, head, REVERSE, H, DV, BV)
        dO = _load(do, row, valid, head, REVERSE, H, DV, BV)
        read, write, after, total = _decays(
            g, row, valid, head, REVERSE, H, DG, READ_FIRST, DECAY_LAST, CHANNEL, BG
        )
        between = _between(read, write, CHANNEL, BT)
        dmet = tl.dot(dO, tl.trans(V), input_precision="ieee")
        dQ = tl.exp(read) * tl.dot(dO, tl.trans(state), input_precision="ieee")
        if CHANNEL:
            dQ += tl.sum(dmet[:, :, None] * between * K[None, :, :], 1)
        else:
            dQ += tl.dot(dmet * between, K, input_precision="ieee")
        if DECAYS:
            _store(reads, _by_gate(Q * dQ, CHANNEL), row, valid, head, REVERSE, H, DG, BG)
        if DIAGONAL:
            dQ += tl.sum(dO * V, 1)[:, None] * K * own[None, :]
        _store(dq, dQ, row, valid, head, REVERSE, H, DK, BK)
        state = state * tl.trans(tl.exp(total)) + tl.dot(
            tl.trans(K * tl.exp(after)), V, input_precision="ieee"
        )


@triton.jit
def backward_write(
    q, k, v, g, bonus, do, reads, dk, dv, dg, dbonus, cu_seqlens, order,
    H: tl.constexpr, DK: tl.constexpr, DV: tl.constexpr, REVERSE: tl.constexpr,
    READ_FIRST: tl.constexpr, DECAY_LAST: tl.constexpr, DIAGONAL: tl.constexpr,
    BONUS: tl.constexpr, CHANNEL: tl.constexpr, DECAYS: tl.constexpr,
    BT: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
):  # fmt: skip
    """dk, dv, and of each decay what was read across it less what was written after it."""
    DG: tl.constexpr = DK if CHANNEL else 1
    BG: tl.constexpr = BK if CHANNEL else 1
    segment, head = tl.load(order + tl.program_id(0)), tl.program_id(1)
    start = tl.load(cu_seqlens + segment)
    length = tl.load(cu_seqlens + segment + 1) - start
    cols = tl.arange(0, BK)
    own = tl.full([BK], 1.0, tl.float32)
    if BONUS:
        own = tl.load(bonus + head * DK + cols, mask=cols < DK, other=0.0).to(tl.float32)
    down = tl.zeros([BK], tl.float32)
    dstate = tl.zeros([BK, BV], tl.float32)
    later = tl.zeros([1, BG], tl.float32)
    t, s = tl.arange(0, BT)[:, None], tl.arange(0, BT)[None, :]
    chunks = tl.cdiv(length, BT)
    for passed in range(chunks):
        row, valid = _place(chunks - 1 - passed, start, length, REVERSE, BT)
        Q = _load(q, row, valid, head, REVERSE, H, DK, BK)
        K = _load(k, row, valid, head, REVERSE, H, DK, BK)
        V = _load(v, row, valid, head, REVERSE, H, DV, BV)
        dO = _load(do, row, valid, head, REVERSE, H, DV, BV)
        read, write, after, total = _decays(
            g, row, valid, head, REVERSE, H, DG, READ_FIRST, DECAY_LAST, CHANNEL, BG
        )
        between = _between(read, write, CHANNEL, BT)
        met = _met(Q, K, between, CHANNEL)
        dmet = tl.dot(dO, tl.trans(V), input_precision="ieee")
        dV = tl.dot(K * tl.exp(after), dstate, input_precision="ieee")
        dV += tl.dot(tl.trans(met), dO, input_precision="ieee")
        dK = tl.exp(after) * tl.dot(V, tl.trans(dstate), input_precision="ieee")
        if CHANNEL:
            dK += tl.sum(dmet[:, :, None] * between * Q[:, None, :], 0)
        else:
            dK += tl.dot(tl.trans(dmet * between), Q, input_precision="ieee")
        if DECAYS:
            A = _load(reads, row, valid, head, REVERSE, H, DG, BG)
            B = _by_gate(K * dK, CHANNEL)
            change = _sums(A, (s > t) if READ_FIRST else (s >= t), CHANNEL)
            change -= _sums(B, (s > t) if DECAY_LAST else (s >= t), CHANNEL)
            _store(dg, change + later, row, valid, head, REVERSE, H, DG, BG)
            later += tl.sum(A - B, 0)[None, :]
        if DIAGONAL:
            alike, seen = tl.sum(Q * K * own[None, :], 1), tl.sum(dO * V, 1)
            dV += alike[:, None] * dO
            dK += seen[:, None] * Q * own[None, :]
            down += tl.sum(seen[:, None] * Q * K, 0)
        _store(dk, dK, row, valid, head, REVERSE, H, DK, BK)
        _store(dv, dV, row, valid, head, REVERSE, H, DV, BV)
        dstate = dstate * tl.trans(tl.exp(total)) + tl.dot(
            tl.trans(Q * tl.exp(read)), dO, input_precision="ieee"
        )
    if BONUS:
        tl.store(dbonus + (segment.to(tl.int64) * H + head) * DK + cols, down, mask=cols < DK)


def matrix_state(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None,
    bonus: Tensor | None,
    packed: Packed,
    pairs: Pairs,
) -> Tensor:
    """As ``reference.matrix_state``."""
    if log_decay is None:
        log_decay = torch.zeros(q.shape[:2], device=q.device)
    log_decay = log_decay.float().contiguous()
    bonus = bonus if bonus is None else bonus.contiguous()
    arguments = (q.contiguous(), k.contiguous(), v.contiguous(), log_decay, bonus)
    out: Tensor = _MatrixState.apply(*arguments, packed, pairs)
    return out


class _MatrixState(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, g: Tensor, bonus: Tensor | None,
        packed: Packed, pairs: Pairs,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(q, k, v, g, bonus)
        ctx.packed, ctx.pairs = packed, pairs
        grid, ends = (len(packed), q.shape[1]), (packed.cu_seqlens, packed.order)
        outs = []
        for n, sweep in enumerate(pairs.sweeps):
            out = torch.empty_like(v, dtype=_partial(v, pairs.sweeps))
            constants = _constants(q, v, g, bonus, sweep, first=n == 0)
            options = _options(constants, backward=False)
            with torch.cuda.device_of(q):
                forward[grid](q, k, v, g, bonus, out, *ends, **constants, **options)
            outs.append(out)
        return _sum(outs, v)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, do: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, g, bonus = ctx.saved_tensors
        sweeps, decays = ctx.pairs.sweeps, ctx.needs_input_grad[3]
        do = do.contiguous()
        dbonus = q.new_empty(len(ctx.packed), *q.shape[1:], dtype=torch.float32)
        found = []
        for n, sweep in enumerate(sweeps):
            constants = _constants(q, v, g, bonus, sweep, first=n == 0) | {"DECAYS": decays}
            grads = [torch.empty_like(x, dtype=_partial(x, sweeps)) for x in (q, k, v)]
            grads.append(torch.empty_like(g) if decays else g.new_empty(0))
            _differentiate((q, k, v, g, bonus, do), grads, dbonus, ctx.packed, constants)
            found.append(grads)
        parts = zip(*found, strict=True)
        dq, dk, dv, dg = (_sum(x, y) for x, y in zip(parts, (q, k, v, g), strict=True))
        du = None if bonus is None else dbonus.sum(0).to(bonus.dtype)
        return dq, dk, dv, dg if decays else None, du, None, None


def _differentiate(
    inputs: tuple[Tensor | None, ...], grads: list[Tensor], dbonus: Tensor, packed: Packed,
    constants: dict[str, Any],
) -> None:  # fmt: skip
    """Fill the gradients of one sweep; what kernel one read, kernel two needs for the decays."""
    dq, dk, dv, dg = grads
    reads = torch.empty_like(dg)
    grid, ends = (len(packed), constants["H"]), (packed.cu_seqlens, packed.order)
    constants = constants | _options(constants, backward=True)
    with torch.cuda.device_of(dq):
        backward_read[grid](*inputs, dq, reads, *ends, **constants)
        backward_write[grid](*inputs, reads, dk, dv, dg, dbonus, *ends, **constants)


def _partial(x: Tensor, sweeps: tuple[Sweep, ...]) -> torch.dtype:
    """One sweep rounds once to x's dtype; the sum of two must not round its parts."""
    return x.dtype if len(sweeps) == 1 else torch.float32


def _sum(parts: Any, like: Tensor) -> Tensor:
    first, *others = parts
    total: Tensor = sum(others, start=first)
    return total.to(like.dtype)


def _constants(
    q: Tensor, v: Tensor, g: Tensor, bonus: Tensor | None, sweep: Sweep, *, first: bool
) -> dict[str, Any]:
    return {
        "H": q.shape[1],
        "DIAGONAL": first,
        "BONUS": first and bonus is not None,
        **_shape(q.shape[2], v.shape[2], channel=g.dim() == 3),
        **_order(sweep),
    }


def _order(sweep: Sweep) -> dict[str, bool]:
    return {
        "REVERSE": sweep.reverse,
        "READ_FIRST": sweep.order != INCLUSIVE,
        "DECAY_LAST": sweep.order == "read write decay",
    }


def _shape(DK: int, DV: int, *, channel: bool) -> dict[str, Any]:
    BK, BV = (max(16, triton.next_power_of_2(width)) for width in (DK, DV))
    return {"DK": DK, "DV": DV, "CHANNEL": channel, "BT": 16, "BK": BK, "BV": BV}


def _options(constants: dict[str, Any], *, backward: bool) -> dict[str, int]:
    """What keeps most of a program's tiles in registers, by what ptxas says of sm_90.

    The backward kernels have none left for rows fetched ahead: with the usual three stages they
    spill up to 2,600 bytes a thread, with one at most 280.
    """
    if backward:
        return {"num_warps": 8, "num_stages": 1}
    return {"num_warps": 8 if max(constants["BK"], constants["BV"]) > 32 else 4}


def variants() -> list[Variant]:
    found = []
    orders = (Sweep(False, INCLUSIVE), Sweep(True, "read decay write"))
    for dtype, sweep, channel in zip(("fp32", "bf16"), orders, (False, True), strict=True):
        data = dict.fromkeys(("q", "k", "v", "bonus", "out", "do", "dq", "dk", "dv"), f"*{dtype}")
        data |= dict.fromkeys(("g", "reads", "dg", "dbonus"), "*fp32")
        data |= dict.fromkeys(("cu_seqlens", "order"), "*i32")
        constants = {"H": 4, "DIAGONAL": True, "BONUS": channel, "bonus": None}
        constants |= _shape(32, 33, channel=channel) | _order(sweep)
        if channel:
            del constants["bonus"]
        for kernel in (forward, backward_read, backward_write):
            used = constants if kernel is forward else constants | {"DECAYS": True}
            signature = {
                name: data[name] for name in kernel.arg_names if name in data and name not in used
            }
            name = f"{kernel.__name__} {dtype} {'channel' if channel else 'scalar'}"
            options = _options(constants, backward=kernel is not forward)
            found.append(Variant(name, kernel, signature, used, options))
    return found

"""The scan in Triton: a program walks one segment, 64 channels wide, state in registers.

Passages are short and many: time is sequential, channels, segments are parallel. UNROLL rows are
loaded before the first of them is used, so that loads are in flight while the state waits.
"""

# a tuple that grows while a kernel is unrolled has no one type
# mypy: disable-error-code="assignment"

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from ..ahead_of_time import Variant
from .adjoint import LinearScan

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed

BLOCK = 64  # two channels a thread: a row of bfloat16 is one load of 4 bytes a thread
UNROLL = 8


@triton.jit
def forward_kernel(
    a,
    b,
    h0,
    h,
    last,
    cu_seqlens,
    order,
    C,
    blocks,
    REVERSE: tl.constexpr,
    BLOCK: tl.constexpr,
    UNROLL: tl.constexpr,
):
    segment = tl.load(order + tl.program_id(0) // blocks).to(tl.int64)
    channels = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    inside = channels < C
    start = tl.load(cu_seqlens + segment)
    length = tl.load(cu_seqlens + segment + 1) - start
    if REVERSE:
        step = -C
        row = (start + length - 1).to(tl.int64) * C
    else:
        step = C
        row = start.to(tl.int64) * C
    state = tl.zeros([BLOCK], tl.float32)
    if h0 is not None:
        state = tl.load(h0 + segment * C + channels, mask=inside, other=0.0)
    for _ in range(length // UNROLL):
        gates = ()
        inputs = ()
        for i in tl.static_range(UNROLL):
            at = row + i * step + channels
            gates += (tl.load(a + at, mask=inside, other=0.0).to(tl.float32),)
            inputs += (tl.load(b + at, mask=inside, other=0.0).to(tl.float32),)
        for i in tl.static_range(UNROLL):
            state = gates[i] * state + inputs[i]
            tl.store(h + row + i * step + channels, state, mask=inside)
        row += UNROLL * step
    for _ in range(length % UNROLL):
        gate = tl.load(a + row + channels, mask=inside, other=0.0).to(tl.float32)
        new = tl.load(b + row + channels, mask=inside, other=0.0).to(tl.float32)
        state = gate * state + new
        tl.store(h + row + channels, state, mask=inside)
        row += step
    tl.store(last + segment * C + channels, state, mask=inside)


@triton.jit
def backward_kernel(
    a,
    h,
    h0,
    dh,
    dlast,
    da,
    db,
    dh0,
    cu_seqlens,
    order,
    C,
    blocks,
    REVERSE: tl.constexpr,
    BLOCK: tl.constexpr,
    UNROLL: tl.constexpr,
):
    segment = tl.load(order + tl.program_id(0) // blocks).to(tl.int64)
    channels = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    inside = channels < C
    start = tl.load(cu_seqlens + segment)
    length = tl.load(cu_seqlens + segment + 1) - start
    if REVERSE:  # against the forward pass, so from the first token to the last
        step = C
        row = start.to(tl.int64) * C
    else:
        step = -C
        row = (start + length - 1).to(tl.int64) * C
    zeros = tl.zeros([BLOCK], tl.float32)
    carry = zeros
    if dlast is not None:
        carry = tl.load(dlast + segment * C + channels, mask=inside, other=0.0)
    followers = tl.maximum(length - 1, 0)  # tokens with one before them
    for _ in range(followers // UNROLL):
        gates = ()
        states = ()
        grads = ()
        for i in tl.static_range(UNROLL):
            at = row + i * step + channels
            gates += (tl.load(a + at, mask=inside, other=0.0).to(tl.float32),)
            states += (tl.load(h + at + step, mask=inside, other=0.0).to(tl.float32),)
            if dh is not None:
                grads += (tl.load(dh + at, mask=inside, other=0.0).to(tl.float32),)
            else:
                grads += (zeros,)
        for i in tl.static_range(UNROLL):
            at = row + i * step + channels
            grad = grads[i] + carry
            tl.store(db + at, grad, mask=inside)
            tl.store(da + at, grad * states[i], mask=inside)
            carry = gates[i] * grad
        row += UNROLL * step
    for _ in range(followers % UNROLL):
        grad = carry
        if dh is not None:
            grad += tl.load(dh + row + channels, mask=inside, other=0.0).to(tl.float32)
        before = tl.load(h + row + step + channels, mask=inside, other=0.0).to(tl.float32)
        tl.store(db + row + channels, grad, mask=inside)
        tl.store(da + row + channels, grad * before, mask=inside)
        carry = tl.load(a + row + channels, mask=inside, other=0.0).to(tl.float32) * grad
        row += step
    if length > 0:  # the first token: before it lies h0, not the neighbour's last state
        grad = carry
        if dh is not None:
            grad += tl.load(dh + row + channels, mask=inside, other=0.0).to(tl.float32)
        before = zeros
        if h0 is not None:
            before = tl.load(h0 + segment * C + channels, mask=inside, other=0.0)
        tl.store(db + row + channels, grad, mask=inside)
        tl.store(da + row + channels, grad * before, mask=inside)
        carry = tl.load(a + row + channels, mask=inside, other=0.0).to(tl.float32) * grad
    tl.store(dh0 + segment * C + channels, carry, mask=inside)


class _Triton:
    def forward(
        self, a: Tensor, b: Tensor, h0: Tensor | None, packed: Packed, reverse: bool
    ) -> tuple[Tensor, Tensor]:
        h = torch.empty_like(b)
        last = b.new_empty(len(packed), b.shape[1], dtype=torch.float32)
        channels, blocks = b.shape[1], triton.cdiv(b.shape[1], BLOCK)
        if last.numel():
            with torch.cuda.device_of(b):
                forward_kernel[(len(packed) * blocks,)](
                    a,
                    b,
                    h0,
                    h,
                    last,
                    packed.cu_seqlens,
                    packed.order,
                    channels,
                    blocks,
                    REVERSE=reverse,
                    BLOCK=BLOCK,
                    UNROLL=UNROLL,
                    num_warps=1,
                )
        return h, last

    def backward(
        self,
        a: Tensor,
        h: Tensor,
        h0: Tensor | None,
        dh: Tensor | None,
        dlast: Tensor | None,
        packed: Packed,
        reverse: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        da, db = torch.empty_like(a), torch.empty_like(a)
        dh0 = a.new_empty(len(packed), a.shape[1], dtype=torch.float32)
        channels, blocks = a.shape[1], triton.cdiv(a.shape[1], BLOCK)
        if dh0.numel():
            with torch.cuda.device_of(a):
                backward_kernel[(len(packed) * blocks,)](
                    a,
                    h,
                    h0,
                    dh,
                    dlast,
                    da,
                    db,
                    dh0,
                    packed.cu_seqlens,
                    packed.order,
                    channels,
                    blocks,
                    REVERSE=reverse,
                    BLOCK=BLOCK,
                    UNROLL=UNROLL,
                    num_warps=1,
                )
        return da, db, dh0


def scan(
    a: Tensor, b: Tensor, packed: Packed, *, h0: Tensor | None = None, reverse: bool = False
) -> tuple[Tensor, Tensor]:
    """As the reference, on a GPU (or interpreted)."""
    h, last = LinearScan.apply(a, b, h0, packed, reverse, _Triton())
    return h, last


def variants() -> list[Variant]:
    """Both passes in both dtypes, with every optional argument there."""
    index = {"cu_seqlens": "*i32", "order": "*i32", "C": "i32", "blocks": "i32"}
    states = dict.fromkeys(["h0", "last", "dlast", "dh0"], "*fp32")
    found = []
    for dtype, reverse in (("fp32", False), ("bf16", True)):
        constants = {"REVERSE": reverse, "BLOCK": BLOCK, "UNROLL": UNROLL}
        for kernel, name in ((forward_kernel, "forward"), (backward_kernel, "backward")):
            wide = dict.fromkeys(["a", "b", "h", "dh", "da", "db"], f"*{dtype}") | states | index
            signature = {key: wide[key] for key in kernel.arg_names if key in wide}
            found.append(Variant(f"{name} {dtype}", kernel, signature, constants, {"num_warps": 1}))
    return found

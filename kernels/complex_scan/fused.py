"""The complex scan in Triton: a program walks one segment, 64 channels wide, state in registers.

With G_t the whole gradient on h_t (as dL/dRe + i dL/dIm), dh_t what comes from outside and
q_t = a_t h_{t-1}:
    G_t = dh_t + conj(a_{t+1}) G_{t+1},   db_t = G_t,
    dlog_magnitude_t = Re(conj(G_t) q_t),   dphase_t = Im(conj(q_t) G_t).
Going backward, conj(a_t) G_t is carried to the token before, so nothing is read from beyond a
segment. A constant a has one gradient a segment, summed in order afterwards: no atomics.
"""

# a tuple that grows while a kernel is unrolled has no one type
# mypy: disable-error-code="assignment"

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from torch.autograd.function import once_differentiable

from ..ahead_of_time import Variant

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed

BLOCK = 64
UNROLL = 8
UNROLL_BACK = 4  # six rows a step in flight instead of four


@triton.jit
def _polar(log, angle):
    """exp(log + i angle) as its two parts, for |angle| up to 8192 (beyond, float32 has no phase).

    One reduction to an eighth of a turn serves cosine and sine (Cephes' constants): the library's
    pair carries a path for huge angles, which unrolled makes a kernel of 240 kB.
    """
    quarters = tl.floor(angle * 0.6366197723675814 + 0.5)
    rest = angle - quarters * 1.5703125
    rest = rest - quarters * 4.837512969970703e-4
    rest = rest - quarters * 7.549789948768648e-8
    z = rest * rest
    sine = rest + rest * z * (-1.6666654611e-1 + z * (8.3321608736e-3 - z * 1.9515295891e-4))
    cosine = z * z * (4.166664568298827e-2 + z * (z * 2.443315711809948e-5 - 1.388731625493765e-3))
    cosine = cosine + (1.0 - 0.5 * z)
    quadrant = quarters.to(tl.int32)
    odd = (quadrant & 1) == 1
    re = tl.where(odd, sine, cosine)
    im = tl.where(odd, cosine, sine)
    size = tl.exp(log)
    re = tl.where(((quadrant + 1) & 2) == 2, -re, re)
    im = tl.where((quadrant & 2) == 2, -im, im)
    return size * re, size * im


@triton.jit
def forward_kernel(
    log_magnitude,
    phase,
    b_re,
    b_im,
    h_re,
    h_im,
    cu_seqlens,
    order,
    C,
    blocks,
    CONSTANT: tl.constexpr,
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
    re = tl.zeros([BLOCK], tl.float32)
    im = tl.zeros([BLOCK], tl.float32)
    if CONSTANT:
        log = tl.load(log_magnitude + channels, mask=inside, other=0.0).to(tl.float32)
        angle = tl.load(phase + channels, mask=inside, other=0.0).to(tl.float32)
        a_re, a_im = _polar(log, angle)
    for _ in range(length // UNROLL):
        logs = ()
        angles = ()
        inputs_re = ()
        inputs_im = ()
        for i in tl.static_range(UNROLL):
            at = row + i * step + channels
            if not CONSTANT:
                logs += (tl.load(log_magnitude + at, mask=inside, other=0.0).to(tl.float32),)
                angles += (tl.load(phase + at, mask=inside, other=0.0).to(tl.float32),)
            inputs_re += (tl.load(b_re + at, mask=inside, other=0.0).to(tl.float32),)
            inputs_im += (tl.load(b_im + at, mask=inside, other=0.0).to(tl.float32),)
        for i in tl.static_range(UNROLL):
            if not CONSTANT:
                a_re, a_im = _polar(logs[i], angles[i])
            old = re
            re = a_re * re - a_im * im + inputs_re[i]
            im = a_re * im + a_im * old + inputs_im[i]
            at = row + i * step + channels
            tl.store(h_re + at, re, mask=inside)
            tl.store(h_im + at, im, mask=inside)
        row += UNROLL * step
    for _ in range(length % UNROLL):
        at = row + channels
        if not CONSTANT:
            log = tl.load(log_magnitude + at, mask=inside, other=0.0).to(tl.float32)
            angle = tl.load(phase + at, mask=inside, other=0.0).to(tl.float32)
            a_re, a_im = _polar(log, angle)
        old = re
        re = a_re * re - a_im * im + tl.load(b_re + at, mask=inside, other=0.0).to(tl.float32)
        im = a_re * im + a_im * old + tl.load(b_im + at, mask=inside, other=0.0).to(tl.float32)
        tl.store(h_re + at, re, mask=inside)
        tl.store(h_im + at, im, mask=inside)
        row += step


@triton.jit
def backward_kernel(
    log_magnitude,
    phase,
    h_re,
    h_im,
    dh_re,
    dh_im,
    dlog,
    dphase,
    db_re,
    db_im,
    cu_seqlens,
    order,
    C,
    blocks,
    CONSTANT: tl.constexpr,
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
    carry_re = tl.zeros([BLOCK], tl.float32)
    carry_im = tl.zeros([BLOCK], tl.float32)
    if CONSTANT:
        log = tl.load(log_magnitude + channels, mask=inside, other=0.0).to(tl.float32)
        angle = tl.load(phase + channels, mask=inside, other=0.0).to(tl.float32)
        a_re, a_im = _polar(log, angle)
        total_log = tl.zeros([BLOCK], tl.float32)
        total_phase = tl.zeros([BLOCK], tl.float32)
    followers = tl.maximum(length - 1, 0)  # tokens with one before them
    for _ in range(followers // UNROLL):
        logs = ()
        angles = ()
        states_re = ()
        states_im = ()
        grads_re = ()
        grads_im = ()
        for i in tl.static_range(UNROLL):
            at = row + i * step + channels
            if not CONSTANT:
                logs += (tl.load(log_magnitude + at, mask=inside, other=0.0).to(tl.float32),)
                angles += (tl.load(phase + at, mask=inside, other=0.0).to(tl.float32),)
            states_re += (tl.load(h_re + at + step, mask=inside, other=0.0).to(tl.float32),)
            states_im += (tl.load(h_im + at + step, mask=inside, other=0.0).to(tl.float32),)
            grads_re += (tl.load(dh_re + at, mask=inside, other=0.0).to(tl.float32),)
            grads_im += (tl.load(dh_im + at, mask=inside, other=0.0).to(tl.float32),)
        for i in tl.static_range(UNROLL):
            at = row + i * step + channels
            if not CONSTANT:
                a_re, a_im = _polar(logs[i], angles[i])
            grad_re = grads_re[i] + carry_re
            grad_im = grads_im[i] + carry_im
            tl.store(db_re + at, grad_re, mask=inside)
            tl.store(db_im + at, grad_im, mask=inside)
            q_re = a_re * states_re[i] - a_im * states_im[i]
            q_im = a_re * states_im[i] + a_im * states_re[i]
            if CONSTANT:
                total_log += grad_re * q_re + grad_im * q_im
                total_phase += grad_im * q_re - grad_re * q_im
            else:
                tl.store(dlog + at, grad_re * q_re + grad_im * q_im, mask=inside)
                tl.store(dphase + at, grad_im * q_re - grad_re * q_im, mask=inside)
            carry_re = a_re * grad_re + a_im * grad_im
            carry_im = a_re * grad_im - a_im * grad_re
        row += UNROLL * step
    for _ in range(followers % UNROLL):
        at = row + channels
        if not CONSTANT:
            log = tl.load(log_magnitude + at, mask=inside, other=0.0).to(tl.float32)
            angle = tl.load(phase + at, mask=inside, other=0.0).to(tl.float32)
            a_re, a_im = _polar(log, angle)
        grad_re = carry_re + tl.load(dh_re + at, mask=inside, other=0.0).to(tl.float32)
        grad_im = carry_im + tl.load(dh_im + at, mask=inside, other=0.0).to(tl.float32)
        tl.store(db_re + at, grad_re, mask=inside)
        tl.store(db_im + at, grad_im, mask=inside)
        state_re = tl.load(h_re + at + step, mask=inside, other=0.0).to(tl.float32)
        state_im = tl.load(h_im + at + step, mask=inside, other=0.0).to(tl.float32)
        q_re = a_re * state_re - a_im * state_im
        q_im = a_re * state_im + a_im * state_re
        if CONSTANT:
            total_log += grad_re * q_re + grad_im * q_im
            total_phase += grad_im * q_re - grad_re * q_im
        else:
            tl.store(dlog + at, grad_re * q_re + grad_im * q_im, mask=inside)
            tl.store(dphase + at, grad_im * q_re - grad_re * q_im, mask=inside)
        carry_re = a_re * grad_re + a_im * grad_im
        carry_im = a_re * grad_im - a_im * grad_re
        row += step
    if length > 0:  # the first token follows nothing: a does not touch its state
        at = row + channels
        grad_re = carry_re + tl.load(dh_re + at, mask=inside, other=0.0).to(tl.float32)
        grad_im = carry_im + tl.load(dh_im + at, mask=inside, other=0.0).to(tl.float32)
        tl.store(db_re + at, grad_re, mask=inside)
        tl.store(db_im + at, grad_im, mask=inside)
        if not CONSTANT:
            tl.store(dlog + at, tl.zeros([BLOCK], tl.float32), mask=inside)
            tl.store(dphase + at, tl.zeros([BLOCK], tl.float32), mask=inside)
    if CONSTANT:
        tl.store(dlog + segment * C + channels, total_log, mask=inside)
        tl.store(dphase + segment * C + channels, total_phase, mask=inside)


class _ComplexScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        log_magnitude: Tensor,
        phase: Tensor,
        b_re: Tensor,
        b_im: Tensor,
        packed: Packed,
        reverse: bool,
    ) -> tuple[Tensor, Tensor]:
        log_magnitude, phase = log_magnitude.contiguous(), phase.contiguous()
        b_re, b_im = b_re.contiguous(), b_im.contiguous()
        h_re, h_im = torch.empty_like(b_re), torch.empty_like(b_im)
        tensors = (log_magnitude, phase, b_re, b_im, h_re, h_im)
        _launch(forward_kernel, tensors, packed, reverse, b_re.shape[1], UNROLL)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(log_magnitude, phase, h_re, h_im)
        ctx.packed, ctx.reverse = packed, reverse
        return h_re, h_im

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, dh_re: Tensor, dh_im: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, None, None]:
        log_magnitude, phase, h_re, h_im = ctx.saved_tensors
        db_re, db_im = torch.empty_like(h_re), torch.empty_like(h_im)
        if log_magnitude.dim() == 1:
            dlog, dphase = h_re.new_empty(2, len(ctx.packed), h_re.shape[1], dtype=torch.float32)
        else:
            dlog, dphase = torch.empty_like(log_magnitude), torch.empty_like(phase)
        dh_re, dh_im = dh_re.contiguous(), dh_im.contiguous()
        tensors = (log_magnitude, phase, h_re, h_im, dh_re, dh_im, dlog, dphase, db_re, db_im)
        _launch(backward_kernel, tensors, ctx.packed, ctx.reverse, h_re.shape[1], UNROLL_BACK)
        if log_magnitude.dim() == 1:
            dlog, dphase = dlog.sum(0), dphase.sum(0)
        return dlog, dphase, db_re, db_im, None, None


def _launch(
    kernel: Any,
    tensors: tuple[Tensor, ...],
    packed: Packed,
    reverse: bool,
    channels: int,
    unroll: int,
) -> None:
    blocks = triton.cdiv(channels, BLOCK)
    if not len(packed) * blocks:
        return
    with torch.cuda.device_of(tensors[0]):
        kernel[(len(packed) * blocks,)](
            *tensors,
            packed.cu_seqlens,
            packed.order,
            channels,
            blocks,
            CONSTANT=tensors[0].dim() == 1,
            REVERSE=reverse,
            BLOCK=BLOCK,
            UNROLL=unroll,
            num_warps=1,
        )


def scan(
    log_magnitude: Tensor,
    phase: Tensor,
    b_re: Tensor,
    b_im: Tensor,
    packed: Packed,
    *,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """As the reference, on a GPU (or interpreted)."""
    h_re, h_im = _ComplexScan.apply(log_magnitude, phase, b_re, b_im, packed, reverse)
    return h_re, h_im


def variants() -> list[Variant]:
    """Both passes of both forms, in float32 and bfloat16; a constant pole stays float32."""
    index = {"cu_seqlens": "*i32", "order": "*i32", "C": "i32", "blocks": "i32"}
    poles = ("log_magnitude", "phase", "dlog", "dphase")
    found = []
    for dtype, constant in (("fp32", False), ("bf16", False), ("bf16", True)):
        for kernel, name, unroll in (
            (forward_kernel, "forward", UNROLL),
            (backward_kernel, "backward", UNROLL_BACK),
        ):
            constants = {
                "CONSTANT": constant,
                "REVERSE": constant,
                "BLOCK": BLOCK,
                "UNROLL": unroll,
            }
            signature = {
                key: index.get(key, "*fp32" if constant and key in poles else f"*{dtype}")
                for key in kernel.arg_names
                if key not in constants
            }
            form = "constant" if constant else "by token"
            found.append(
                Variant(f"{name} {dtype} {form}", kernel, signature, constants, {"num_warps": 1})
            )
    return found

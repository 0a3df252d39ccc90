"""The Triton twin: sequential in time, a tile [DK, DV block] of the state in registers.

The forward pass leaves a checkpoint of the state every few tokens; the backward pass walks the
chunks from last to first, recomputes the states of one chunk in registers, and goes back through
them. What sums over blocks of DV (the gradients of q, k, beta and the decay) is written as one
partial result per block and summed afterwards: the same bits every run. Products are sums of
float32 products, no tensor cores: a state of one passage is a sequence of rank-one updates.
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

_TILE = 1024  # DK x DV block of one program
_STATES = 8  # states of a tile that the backward pass holds in registers


@triton.jit
def _forward(
    q,
    k,
    v,
    beta,
    log_decay,
    o,
    checkpoints,
    bounds,
    order,
    heads,
    DK,
    DV,
    STEPS: tl.constexpr,
    GATED: tl.constexpr,
    REVERSE: tl.constexpr,
    SAVE: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_V: tl.constexpr,
):
    blocks = tl.cdiv(DV, BLOCK_V)
    head = tl.program_id(0) // blocks % heads
    segment = tl.load(order + tl.program_id(0) // blocks // heads)
    start = tl.load(bounds + segment).to(tl.int64)
    length = tl.load(bounds + segment + 1).to(tl.int64) - start
    a = tl.arange(0, BLOCK_K)
    b = (tl.program_id(0) % blocks) * BLOCK_V + tl.arange(0, BLOCK_V)
    tile = a[:, None] * DV + b[None, :]
    inside = (a[:, None] < DK) & (b[None, :] < DV)
    # each segment has room for one chunk more than its share, so rows never collide
    first_checkpoint = start // CHUNK + segment
    S = tl.zeros([BLOCK_K, BLOCK_V], tl.float32)
    for chunk in range(tl.cdiv(length, CHUNK)):
        if SAVE:
            place = ((first_checkpoint + chunk) * heads + head) * DK * DV
            tl.store(checkpoints + place + tile, S, mask=inside)
        # all loads of the chunk first: they do not wait for the state
        qs, ks, vs, betas, gates = (), (), (), (), ()
        for j in tl.static_range(CHUNK):
            t = chunk * CHUNK + j
            # past the end all that is loaded is 0, and 0 leaves the state as it is
            alive = length > t
            some_a = a < tl.where(alive, DK, 0)
            some_b = b < tl.where(alive, DV, 0)
            row = (start + (length - 1 - t if REVERSE else t)) * heads + head
            qs = append(qs, tl.load(q + row * DK + a, mask=some_a, other=0.0).to(tl.float32))
            if GATED:
                gates = append(
                    gates, tl.load(log_decay + row, mask=alive, other=0.0).to(tl.float32)
                )
            for i in tl.static_range(STEPS):
                # [tokens, STEPS, heads]: step i of this token
                place = (row - head) * STEPS + i * heads + head
                ks = append(ks, tl.load(k + place * DK + a, mask=some_a, other=0.0).to(tl.float32))
                vs = append(vs, tl.load(v + place * DV + b, mask=some_b, other=0.0).to(tl.float32))
                betas = append(betas, tl.load(beta + place, mask=alive, other=0.0).to(tl.float32))
        for j in tl.static_range(CHUNK):
            t = chunk * CHUNK + j
            row = (start + (length - 1 - t if REVERSE else t)) * heads + head
            if GATED:
                S = S * tl.exp(gates[j])
            for i in tl.static_range(STEPS):
                error = vs[j * STEPS + i] - tl.sum(S * ks[j * STEPS + i][:, None], axis=0)
                S += (betas[j * STEPS + i] * ks[j * STEPS + i])[:, None] * error[None, :]
            out = tl.sum(S * qs[j][:, None], axis=0)
            tl.store(o + row * DV + b, out, mask=b < tl.where(length > t, DV, 0))


@triton.jit(do_not_specialize=["tokens"])
def _backward(
    q,
    k,
    v,
    beta,
    log_decay,
    do,
    checkpoints,
    dq,
    dk,
    dv,
    dbeta,
    dlog_decay,
    bounds,
    order,
    tokens,
    heads,
    DK,
    DV,
    STEPS: tl.constexpr,
    GATED: tl.constexpr,
    REVERSE: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_V: tl.constexpr,
):
    blocks = tl.cdiv(DV, BLOCK_V)
    block = tl.program_id(0) % blocks
    head = tl.program_id(0) // blocks % heads
    segment = tl.load(order + tl.program_id(0) // blocks // heads)
    start = tl.load(bounds + segment).to(tl.int64)
    length = tl.load(bounds + segment + 1).to(tl.int64) - start
    a = tl.arange(0, BLOCK_K)
    b = block * BLOCK_V + tl.arange(0, BLOCK_V)
    tile = a[:, None] * DV + b[None, :]
    inside = (a[:, None] < DK) & (b[None, :] < DV)
    first_checkpoint = start // CHUNK + segment
    # partial sums of this block of DV lie [block, tokens, ...]
    first_partial = block.to(tl.int64) * tokens * heads
    dS = tl.zeros([BLOCK_K, BLOCK_V], tl.float32)
    chunks = tl.cdiv(length, CHUNK)
    for back in range(chunks):
        chunk = chunks - 1 - back
        place = ((first_checkpoint + chunk) * heads + head) * DK * DV
        S = tl.load(checkpoints + place + tile, mask=inside, other=0.0)
        before = ()  # the state before each step of each token, after the decay
        for j in tl.static_range(CHUNK):
            t = chunk * CHUNK + j
            alive = length > t
            some_a = a < tl.where(alive, DK, 0)
            some_b = b < tl.where(alive, DV, 0)
            row = (start + (length - 1 - t if REVERSE else t)) * heads + head
            if GATED:
                gate = tl.load(log_decay + row, mask=alive, other=0.0).to(tl.float32)
                S = S * tl.exp(gate)
            for i in tl.static_range(STEPS):
                place = (row - head) * STEPS + i * heads + head
                k_i = tl.load(k + place * DK + a, mask=some_a, other=0.0).to(tl.float32)
                v_i = tl.load(v + place * DV + b, mask=some_b, other=0.0).to(tl.float32)
                beta_i = tl.load(beta + place, mask=alive, other=0.0).to(tl.float32)
                before = append(before, S)
                error = v_i - tl.sum(S * k_i[:, None], axis=0)
                S += (beta_i * k_i)[:, None] * error[None, :]
        for j in tl.static_range(CHUNK - 1, -1, -1):
            t = chunk * CHUNK + j
            alive = length > t
            some_a = a < tl.where(alive, DK, 0)
            some_b = b < tl.where(alive, DV, 0)
            row = (start + (length - 1 - t if REVERSE else t)) * heads + head
            q_t = tl.load(q + row * DK + a, mask=some_a, other=0.0).to(tl.float32)
            do_t = tl.load(do + row * DV + b, mask=some_b, other=0.0).to(tl.float32)
            dS += q_t[:, None] * do_t[None, :]
            for i in tl.static_range(STEPS - 1, -1, -1):
                place = (row - head) * STEPS + i * heads + head
                partial = first_partial * STEPS + place
                k_i = tl.load(k + place * DK + a, mask=some_a, other=0.0).to(tl.float32)
                v_i = tl.load(v + place * DV + b, mask=some_b, other=0.0).to(tl.float32)
                beta_i = tl.load(beta + place, mask=alive, other=0.0).to(tl.float32)
                S = before[j * STEPS + i]
                error = v_i - tl.sum(S * k_i[:, None], axis=0)
                if i == STEPS - 1:
                    after = S + (beta_i * k_i)[:, None] * error[None, :]
                    into_q = tl.sum(after * do_t[None, :], axis=1)
                    tl.store(dq + (first_partial + row) * DK + a, into_q, mask=some_a)
                at_key = tl.sum(dS * k_i[:, None], axis=0)
                into_v = beta_i * at_key
                tl.store(dv + place * DV + b, into_v, mask=some_b)
                tl.store(dbeta + partial, tl.sum(at_key * error, axis=0), mask=alive)
                into_k = tl.sum(beta_i * dS * error[None, :] - S * into_v[None, :], axis=1)
                tl.store(dk + partial * DK + a, into_k, mask=some_a)
                dS -= k_i[:, None] * into_v[None, :]
            if GATED:
                gate = tl.load(log_decay + row, mask=alive, other=0.0).to(tl.float32)
                into_gate = tl.sum(tl.sum(dS * before[j * STEPS], axis=1), axis=0)
                tl.store(dlog_decay + first_partial + row, into_gate, mask=alive)
                dS = dS * tl.exp(gate)


def fused(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    packed: Packed,
    *,
    log_decay: Tensor | None = None,
    reverse: bool = False,
) -> Tensor:
    """As ``delta_rule``, with the axis of steps, on a GPU or in Triton's interpreter."""
    gated = log_decay is not None
    # a kernel wants an address even for what it never reads
    gate = q.new_empty(0) if log_decay is None else log_decay
    inputs = (q, k, v, beta, gate)
    # asked here: inside a Function gradients are off, and what needs them looks the same either way
    save = torch.is_grad_enabled() and any(value.requires_grad for value in inputs)
    o: Tensor = _DeltaRule.apply(*inputs, packed, gated, reverse, save)
    return o


class _DeltaRule(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        *inputs, packed, gated, reverse, save = arguments
        q, k, v, beta, gate = (value.contiguous() for value in inputs)
        (tokens, steps, heads, DV), DK = v.shape, q.shape[2]
        o = torch.empty(tokens, heads, DV, dtype=q.dtype, device=q.device)
        launch = _launch(DK, DV, steps)
        rows = tokens // launch["CHUNK"] + len(packed) if save else 0
        kept = (rows, heads, DK, DV)
        checkpoints = torch.empty(kept, dtype=torch.float32, device=q.device)
        if o.numel():
            with torch.cuda.device_of(q):
                _forward[_grid(launch, packed, heads, DV)](
                    q,
                    k,
                    v,
                    beta,
                    gate,
                    o,
                    checkpoints,
                    packed.cu_seqlens,
                    packed.order,
                    heads,
                    DK,
                    DV,
                    GATED=gated,
                    REVERSE=reverse,
                    SAVE=save,
                    **launch,
                )
        ctx.save_for_backward(q, k, v, beta, gate, checkpoints)
        ctx.packed, ctx.gated, ctx.reverse = packed, gated, reverse
        return o

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, do: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, beta, gate, checkpoints = ctx.saved_tensors
        packed = ctx.packed
        (tokens, steps, heads, DV), DK = v.shape, q.shape[2]
        launch = _launch(DK, DV, steps)
        blocks = triton.cdiv(DV, launch["BLOCK_V"])
        dv = torch.empty_like(v)
        dq, dk, dbeta, dgate = (
            torch.empty(blocks, *value.shape, dtype=torch.float32, device=q.device)
            for value in (q, k, beta, gate)
        )
        if v.numel():
            with torch.cuda.device_of(q):
                _backward[_grid(launch, packed, heads, DV)](
                    q,
                    k,
                    v,
                    beta,
                    gate,
                    do.contiguous(),
                    checkpoints,
                    dq,
                    dk,
                    dv,
                    dbeta,
                    dgate,
                    packed.cu_seqlens,
                    packed.order,
                    tokens,
                    heads,
                    DK,
                    DV,
                    GATED=ctx.gated,
                    REVERSE=ctx.reverse,
                    **launch,
                )
        into_q, into_k, into_beta, into_gate = (
            (part[0] if blocks == 1 else part.sum(0)).to(whole.dtype)
            for part, whole in ((dq, q), (dk, k), (dbeta, beta), (dgate, gate))
        )
        decays = into_gate if ctx.gated else None
        return into_q, into_k, dv, into_beta, decays, None, None, None, None


def _launch(DK: int, DV: int, steps: int) -> dict[str, int]:
    block_k = triton.next_power_of_2(DK)
    block_v = min(triton.next_power_of_2(DV), max(_TILE // block_k, 16))
    states = _STATES * _TILE // (block_k * block_v)
    return {
        "STEPS": steps,
        "CHUNK": min(max(states // steps, 1), _STATES),
        "BLOCK_K": block_k,
        "BLOCK_V": block_v,
        "num_warps": 4,
    }


def _grid(launch: dict[str, int], packed: Packed, heads: int, DV: int) -> tuple[int]:
    # one axis: the second axis of a grid holds no more than 65,535 programs
    return (len(packed) * heads * triton.cdiv(DV, launch["BLOCK_V"]),)


def variants() -> list[Variant]:
    """What the ahead-of-time test compiles: heads of 32, DeltaNet and a gated DeltaProduct."""
    found = []
    for dtype, steps, gated in (("fp32", 1, False), ("bf16", 2, True)):
        launch = _launch(32, 32, steps)
        options = {"num_warps": launch.pop("num_warps")}
        row = dict.fromkeys(("q", "k", "v", "beta", "log_decay", "o", "do", "dv"), f"*{dtype}")
        wide = dict.fromkeys(("checkpoints", "dq", "dk", "dbeta", "dlog_decay"), "*fp32")
        numbers = dict.fromkeys(("tokens", "heads", "DK", "DV"), "i32")
        types = row | wide | numbers | {"bounds": "*i32", "order": "*i32"}
        for kernel, name, more in (
            (_forward, "forward", {"SAVE": True, "REVERSE": False}),
            (_backward, "backward", {"REVERSE": True}),
        ):
            signature = {key: types[key] for key in kernel.arg_names if key in types}
            constants = launch | more | {"GATED": gated}
            title = f"{name} {dtype} {steps} step(s){' gated' if gated else ''}"
            found.append(Variant(title, kernel, signature, constants, options))
    return found

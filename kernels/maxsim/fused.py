"""Late interaction in Triton: products never leave the chip, only the best of each query token."""

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

TILE = {"BT": 32, "BQ": 32, "BD": 64}  # passage tokens, query tokens, channels
GROUP = 64  # passages whose share of the query's gradient one program sums
NOWHERE = tl.constexpr(2**31 - 1)


@triton.jit
def match(
    query, passages, best, where, order, cu_seqlens, Q, D, KEEP: tl.constexpr, WIDEN: tl.constexpr,
    BT: tl.constexpr, BQ: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """best [N, Q] is each query token's best product; with KEEP, where [N, Q] is its first row."""
    segment, start, end = own_segment(order, cu_seqlens)
    asked = tl.program_id(1) * BQ + tl.arange(0, BQ)
    top = tl.full([BQ], float("-inf"), tl.float32)
    place = tl.full([BQ], NOWHERE, tl.int32)
    for first in range(start, end, BT):
        rows = first + tl.arange(0, BT)
        products = tl.zeros([BT, BQ], tl.float32)
        for channel in range(0, D, BD):
            cols = channel + tl.arange(0, BD)
            token = tl.load(
                passages + rows[:, None] * D + cols[None, :],
                mask=(rows < end)[:, None] & (cols < D)[None, :], other=0.0,
            )  # fmt: skip
            ask = tl.load(
                query + asked[None, :] * D + cols[:, None],
                mask=(asked < Q)[None, :] & (cols < D)[:, None], other=0.0,
            )  # fmt: skip
            if WIDEN:
                token, ask = token.to(tl.float32), ask.to(tl.float32)
            products = tl.dot(token, ask, products, input_precision="ieee")
        products = tl.where((rows < end)[:, None], products, float("-inf"))
        here = tl.max(products, axis=0)
        row = tl.where(products == here[None, :], rows.to(tl.int32)[:, None], NOWHERE)
        place = tl.where(here > top, tl.min(row, axis=0), place)
        top = tl.maximum(top, here)
    top = tl.where(end > start, top, 0.0)
    tl.store(best + segment * Q + asked, top, mask=asked < Q)
    if KEEP:
        tl.store(where + segment * Q + asked, place, mask=asked < Q)


@triton.jit
def match_passages(
    query, where, grad, dpassages, order, cu_seqlens, Q, D, WIDEN: tl.constexpr,
    BT: tl.constexpr, BQ: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """A passage token's gradient: the query tokens whose best it is, times the passage's own."""
    segment, start, end = own_segment(order, cu_seqlens)
    cols = tl.program_id(1) * BD + tl.arange(0, BD)
    slope = tl.load(grad + segment)
    for first in range(start, end, BT):
        rows = first + tl.arange(0, BT)
        total = tl.zeros([BT, BD], tl.float32)
        for block in range(0, Q, BQ):
            asked = block + tl.arange(0, BQ)
            place = tl.load(where + segment * Q + asked, mask=asked < Q, other=NOWHERE)
            ask = tl.load(
                query + asked[:, None] * D + cols[None, :],
                mask=(asked < Q)[:, None] & (cols < D)[None, :], other=0.0,
            )  # fmt: skip
            if WIDEN:
                ask = ask.to(tl.float32)
            hit = tl.where(rows[:, None] == place[None, :], 1.0, 0.0).to(ask.dtype)
            total = tl.dot(hit, ask, total, input_precision="ieee")
        inside = (rows < end)[:, None] & (cols < D)[None, :]
        out = dpassages + rows[:, None] * D + cols[None, :]
        tl.store(out, (total * slope).to(dpassages.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["N", "tokens"])
def match_query(
    passages, where, grad, partial, N, tokens, Q, D,
    GROUP: tl.constexpr, BQ: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """partial [groups, Q, D]: the best tokens of a group of passages, each times its gradient."""
    group = tl.program_id(0).to(tl.int64)
    asked = tl.program_id(1) * BQ + tl.arange(0, BQ)
    cols = tl.program_id(2) * BD + tl.arange(0, BD)
    inside = (asked < Q)[:, None] & (cols < D)[None, :]
    total = tl.zeros([BQ, BD], tl.float32)
    for segment in range(group * GROUP, tl.minimum(group * GROUP + GROUP, N)):
        place = tl.load(where + segment * Q + asked, mask=asked < Q, other=NOWHERE).to(tl.int64)
        token = tl.load(
            passages + place[:, None] * D + cols[None, :],
            mask=inside & (place < tokens)[:, None], other=0.0,
        )  # fmt: skip
        total += token.to(tl.float32) * tl.load(grad + segment)
    out = partial + (group * Q + asked[:, None]) * D + cols[None, :]
    tl.store(out, total, mask=inside)


def maxsim(query: Tensor, passages: Tensor, packed: Packed) -> Tensor:
    keep = torch.is_grad_enabled() and (query.requires_grad or passages.requires_grad)
    scores: Tensor = _MaxSim.apply(query.contiguous(), passages.contiguous(), packed, keep)
    return scores


class _MaxSim(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, passages: Tensor, packed: Packed, keep: bool) -> Tensor:
        (Q, D), N = query.shape, len(packed)
        best = torch.empty(N, Q, device=passages.device, dtype=torch.float32)
        where = torch.empty(N, Q, device=passages.device, dtype=torch.int32) if keep else None
        if best.numel():
            with torch.cuda.device_of(passages):
                match[N, triton.cdiv(Q, TILE["BQ"])](
                    query, passages, best, where, packed.order, packed.cu_seqlens, Q, D,
                    KEEP=keep, WIDEN=not passages.is_cuda, **TILE,
                )  # fmt: skip
        ctx.save_for_backward(query, passages, where)
        ctx.packed = packed
        return best.sum(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        query, passages, where = ctx.saved_tensors
        grad = grad.contiguous()
        dquery = dpassages = None
        if ctx.needs_input_grad[0]:
            dquery = _query_gradient(query, passages, where, grad)
        if ctx.needs_input_grad[1]:
            dpassages = torch.empty_like(passages)
            (Q, D), packed = query.shape, ctx.packed
            if dpassages.numel():
                with torch.cuda.device_of(passages):
                    match_passages[len(packed), triton.cdiv(D, TILE["BD"])](
                        query, where, grad, dpassages, packed.order, packed.cu_seqlens, Q, D,
                        WIDEN=not passages.is_cuda, **TILE,
                    )  # fmt: skip
        return dquery, dpassages, None, None


def _query_gradient(query: Tensor, passages: Tensor, where: Tensor, grad: Tensor) -> Tensor:
    (Q, D), N = query.shape, len(where)
    groups = triton.cdiv(N, GROUP)
    partial = torch.empty(groups, Q, D, device=grad.device, dtype=torch.float32)
    if partial.numel():
        with torch.cuda.device_of(passages):
            match_query[groups, triton.cdiv(Q, TILE["BQ"]), triton.cdiv(D, TILE["BD"])](
                passages, where, grad, partial, N, len(passages), Q, D,
                GROUP=GROUP, BQ=TILE["BQ"], BD=TILE["BD"],
            )  # fmt: skip
    return partial.sum(0).to(query.dtype)


def variants() -> list[Variant]:
    found = []
    sizes = dict.fromkeys(("N", "tokens", "Q", "D"), "i32")
    table = {"where": "*i32", "order": "*i32", "cu_seqlens": "*i32"} | sizes
    table |= {"best": "*fp32", "grad": "*fp32", "partial": "*fp32"}
    for dtype in ("fp32", "bf16"):
        types = table | dict.fromkeys(("query", "passages", "dpassages"), f"*{dtype}")
        flags = TILE | {"KEEP": True, "WIDEN": False, "GROUP": GROUP}
        for kernel in (match, match_passages, match_query):
            arguments = kernel.arg_names
            signature = {name: types[name] for name in arguments if name in types}
            constants = {name: flags[name] for name in arguments if name in flags}
            found.append(Variant(f"{kernel.__name__} {dtype}", kernel, signature, constants, {}))
    return found

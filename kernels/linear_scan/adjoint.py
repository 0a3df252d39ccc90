"""The scan as one node of autograd, for twins that write their own backward pass.

With G_t the whole gradient on h_t, dh_t what comes from outside:
    G_t = dh_t + a_{t+1} G_{t+1},   db_t = G_t,   da_t = G_t h_{t-1},   dh0 = a_1 G_1.
Going backward, a_t G_t is carried from a token to the one before, so nothing is read from beyond
a segment; the carry starts as the gradient on the last state, and what is left is dh0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed


class Engine(Protocol):
    """Who computes both passes. Tensors come contiguous; states are float32 [N, C]."""

    def forward(
        self, a: Tensor, b: Tensor, h0: Tensor | None, packed: Packed, reverse: bool
    ) -> tuple[Tensor, Tensor]:
        """h in the dtype of b, and the last states."""

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
        """da and db in the dtype of a; dh0 float32."""


class LinearScan(torch.autograd.Function):
    """apply(a, b, h0, packed, reverse, engine) -> (h, last)."""

    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        b: Tensor,
        h0: Tensor | None,
        packed: Packed,
        reverse: bool,
        engine: Engine,
    ) -> tuple[Tensor, Tensor]:
        a, b = a.contiguous(), b.contiguous()
        state = None if h0 is None else h0.to(torch.float32).contiguous()
        h, last = engine.forward(a, b, state, packed, reverse)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(a, h, state)
        ctx.set_materialize_grads(False)
        ctx.engine, ctx.packed, ctx.reverse = engine, packed, reverse
        return h, last

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, dh: Tensor | None, dlast: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None, None]:
        if dh is None and dlast is None:
            return None, None, None, None, None, None
        a, h, state = ctx.saved_tensors
        da, db, dh0 = ctx.engine.backward(
            a,
            h,
            state,
            None if dh is None else dh.contiguous(),
            None if dlast is None else dlast.contiguous(),
            ctx.packed,
            ctx.reverse,
        )
        return da, db, None if state is None else dh0, None, None, None

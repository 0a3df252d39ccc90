"""minGRU in C: gates and scan in one pass over the pre-activations, float32 on the CPU."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from ..native.calls import addresses, kernel, segment_runs
from ..native.parallel import run

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed


def mingru_states(u: Tensor, packed: Packed) -> Tensor:
    """[tokens, D, C] from u [tokens, D, 2, C] float32; needs the C library."""
    states: Tensor = _MinGRU.apply(u.contiguous(), packed)  # type: ignore[no-untyped-call]
    return states


class _MinGRU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, packed: Packed) -> Tensor:
        h = u.new_empty(u.shape[0], u.shape[1], u.shape[3])
        call = kernel("mingru", "pp" + "iiiii" + "p")
        run(
            partial(call, *addresses(u, packed.cu_seqlens), *numbers, h.data_ptr())
            for numbers in _work(u, packed)
        )
        ctx.save_for_backward(u, h)
        ctx.packed = packed
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor, None]:
        u, h = ctx.saved_tensors
        packed, dh = ctx.packed, dh.contiguous()
        du = torch.empty_like(u)
        work = _work(u, packed)
        carries = u.new_empty(len(work), u.shape[3])
        call = kernel("mingru_back", "pppp" + "iiiii" + "pp")
        run(
            partial(call, *addresses(u, h, dh, packed.cu_seqlens), *numbers, *addresses(carry, du))
            for numbers, carry in zip(work, carries, strict=True)
        )
        return du, None


def _work(u: Tensor, packed: Packed) -> list[tuple[int, int, int, int, int]]:
    """(first segment, end, directions, direction, channels) of each part."""
    _, directions, _, channels = u.shape
    runs = segment_runs(packed, channels)
    return [(*run, directions, d, channels) for d in range(directions) for run in runs]

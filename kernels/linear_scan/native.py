"""The scan in C: float32 on the CPU, parts of the pack on several cores."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from ..native.calls import addresses, kernel, segment_runs
from ..native.parallel import run
from .adjoint import LinearScan

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed


class _Native:
    def forward(
        self, a: Tensor, b: Tensor, h0: Tensor | None, packed: Packed, reverse: bool
    ) -> tuple[Tensor, Tensor]:
        h = torch.empty_like(b)
        last = b.new_empty(len(packed), b.shape[1])
        call = kernel("linear_scan", "pppp" + "iiii" + "pp")
        run(
            partial(
                call,
                *addresses(a, b, h0, packed.cu_seqlens),
                *(first, end, b.shape[1], reverse),
                *addresses(h, last),
            )
            for first, end in segment_runs(packed, b.shape[1])
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
        dh0 = a.new_empty(len(packed), a.shape[1])
        call = kernel("linear_scan_back", "pppppp" + "iiii" + "ppp")
        run(
            partial(
                call,
                *addresses(a, h, h0, dh, dlast, packed.cu_seqlens),
                *(first, end, a.shape[1], reverse),
                *addresses(da, db, dh0),
            )
            for first, end in segment_runs(packed, a.shape[1])
        )
        return da, db, dh0


def scan(
    a: Tensor, b: Tensor, packed: Packed, *, h0: Tensor | None = None, reverse: bool = False
) -> tuple[Tensor, Tensor]:
    """As the reference, for float32 on the CPU; needs the C library."""
    h, last = LinearScan.apply(a, b, h0, packed, reverse, _Native())  # type: ignore[no-untyped-call]
    return h, last

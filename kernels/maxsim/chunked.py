"""Plain torch, quick on a CPU: one product for many passages, then the best of each segment.

Passages are taken whole, so the longest bounds the memory if it has more than ``CHUNK`` tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..packing import pack_lengths
from ..segment_pool.scattered import first_rows, largest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..packing import Packed

CHUNK = 8192  # tokens


def maxsim(query: Tensor, passages: Tensor, packed: Packed) -> Tensor:
    keep = torch.is_grad_enabled() and (query.requires_grad or passages.requires_grad)
    scores: Tensor = _MaxSim.apply(query, passages, packed, keep)  # type: ignore[no-untyped-call]
    return scores


class _MaxSim(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, passages: Tensor, packed: Packed, keep: bool) -> Tensor:
        wide = torch.promote_types(passages.dtype, torch.float32)
        asked, best = query.to(wide), []
        scores = asked.new_zeros(len(packed))
        for segments, rows in _chunks(packed.lengths):
            part = pack_lengths(packed.lengths[segments], packed.device)
            products = passages[rows].to(wide) @ asked.T
            top = largest(products, part)
            scores[segments] = top.sum(1)
            if keep:
                best.append(first_rows(products, top, part))
        ctx.save_for_backward(query, passages, *best)
        ctx.packed = packed
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        query, passages, *best = ctx.saved_tensors
        asked, lengths = query.to(grad.dtype), ctx.packed.lengths
        dquery, dpassages = torch.zeros_like(asked), torch.zeros_like(passages)
        for (segments, rows), places in zip(_chunks(lengths), best, strict=True):
            some = torch.from_numpy(np.flatnonzero(lengths[segments])).to(grad.device)
            share = grad.new_zeros(rows.stop - rows.start, len(query))
            share.scatter_(0, places[some], grad[segments][some, None].expand(-1, len(query)))
            dquery += share.T @ passages[rows].to(grad.dtype)
            dpassages[rows] = (share @ asked).to(passages.dtype)
        return dquery.to(query.dtype), dpassages, None, None


def _chunks(lengths: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Runs of segments that together have ``CHUNK`` tokens or are one alone, with their rows."""
    ends = np.cumsum(lengths)
    first = row = 0
    while row < lengths.sum():
        last = max(first + 1, int(np.searchsorted(ends, row + CHUNK, "right")))
        yield slice(first, last), slice(row, int(ends[last - 1]))
        first, row = last, int(ends[last - 1])

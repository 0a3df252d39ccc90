"""The matrix state as a loop over time, all segments of a step at once; gradients by autograd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .pairs import INCLUSIVE, Pairs, Sweep

if TYPE_CHECKING:
    from ..packing import Packed


def matrix_state(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None,
    bonus: Tensor | None,
    packed: Packed,
    pairs: Pairs,
) -> Tensor:
    """[tokens, H, DV]; log_decay [tokens, H] or [tokens, H, DK]; at least one token."""
    wide = torch.float64 if v.dtype == torch.float64 else torch.float32
    Q, K, V = q.to(wide), k.to(wide), v.to(wide)
    if log_decay is None:
        decay = Q.new_ones(1).expand(*q.shape[:2], 1)
    else:
        decay = torch.exp(log_decay.to(wide)).view(*q.shape[:2], -1)
    out = sum(_sweep(Q, K, V, decay, packed, sweep) for sweep in pairs.sweeps)
    if bonus is not None:
        out = out + (Q * bonus.to(wide) * K).sum(-1, keepdim=True) * V
    assert isinstance(out, Tensor)
    return out.to(v.dtype)


def _sweep(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, packed: Packed, sweep: Sweep) -> Tensor:
    steps = packed.steps(reverse=sweep.reverse)
    tokens, counts = torch.cat(steps.rows), [len(rows) for rows in steps.rows]
    by_step = (torch.split(x.index_select(0, tokens), counts) for x in (q, k, v, decay))
    state = q.new_zeros(counts[0], q.shape[1], q.shape[2], v.shape[2])
    outputs = []
    for Q, K, V, kept in zip(*by_step, strict=True):
        before, a, written = state[: len(Q)], kept.unsqueeze(-1), K.unsqueeze(-1) * V.unsqueeze(-2)
        late = sweep.order == "read write decay"
        state = (before + written) * a if late else before * a + written
        read = state if sweep.order == INCLUSIVE else before
        outputs.append((Q.unsqueeze(-2) @ read).squeeze(-2))
    return steps.to_tokens(outputs)

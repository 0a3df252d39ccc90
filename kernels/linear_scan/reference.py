"""The scan as a loop over time, all segments of a step at once; gradients come from autograd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed


def scan(
    a: Tensor, b: Tensor, packed: Packed, *, h0: Tensor | None = None, reverse: bool = False
) -> tuple[Tensor, Tensor]:
    """h [tokens, C] in the dtype of b, and the last states [N, C], float32 (or float64)."""
    wide = torch.float64 if b.dtype == torch.float64 else torch.float32
    steps = packed.steps(reverse=reverse)
    if h0 is None:
        h0 = torch.zeros(len(packed), b.shape[1], dtype=wide, device=b.device)
    if not steps.rows:
        return a * b, h0.to(wide)
    gates, inputs = steps.by_step(a.to(wide)), steps.by_step(b.to(wide))
    h = steps.from_segments(h0.to(wide))
    outputs, ended = [], []
    for gate, new in zip(gates, inputs, strict=True):
        ended.append(h[len(new) :])
        h = torch.addcmul(new, gate, h[: len(new)])
        outputs.append(h)
    last = torch.cat([h, *reversed(ended)])
    return steps.to_tokens(outputs).to(b.dtype), steps.to_segments(last)

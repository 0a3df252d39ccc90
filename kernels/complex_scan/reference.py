"""The complex scan as a loop over time, all segments of a step at once, in real numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ..packing import Packed


def scan(
    log_magnitude: Tensor,
    phase: Tensor,
    b_re: Tensor,
    b_im: Tensor,
    packed: Packed,
    *,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """h_re and h_im [tokens, C] in the dtype of b_re; gradients come from autograd."""
    wide = torch.float64 if b_re.dtype == torch.float64 else torch.float32
    magnitude, angle = log_magnitude.to(wide).exp(), phase.to(wide)
    a_re, a_im = magnitude * angle.cos(), magnitude * angle.sin()
    steps = packed.steps(reverse=reverse)
    if not steps.rows:
        return b_re + 0 * a_re.sum(), b_im + 0 * a_im.sum()

    def by_step(x: Tensor) -> Sequence[Tensor]:
        return [x] * len(steps.rows) if x.dim() == 1 else steps.by_step(x.to(wide))

    re = im = torch.zeros(len(packed), b_re.shape[1], dtype=wide, device=b_re.device)
    all_re, all_im = [], []
    for p, q, new_re, new_im in zip(*map(by_step, (a_re, a_im, b_re, b_im)), strict=True):
        old_re, old_im = re[: len(new_re)], im[: len(new_re)]
        # (p + iq)(re + i im) + b: one small operation a product is what this path costs
        re = torch.addcmul(torch.addcmul(new_re, p, old_re), q, old_im, value=-1)
        im = torch.addcmul(torch.addcmul(new_im, p, old_im), q, old_re)
        all_re.append(re)
        all_im.append(im)
    return steps.to_tokens(all_re).to(b_re.dtype), steps.to_tokens(all_im).to(b_re.dtype)

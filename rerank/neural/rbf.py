"""RBF kernels over a matrix of cosines: how often a query word is matched, and how closely."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...core.errors import BadArguments

_LEAST = 1e-10  # of a kernel's sum, before its logarithm
_EXACT = 1e-3  # width of the kernel at 1
_SCALE = 0.1


class RbfKernels(nn.Module):
    """``count`` kernels: one at 1 of width 0.001, which counts exact matches; the others evenly
    from 0.9 down to -0.9, as wide as half the step between them (Xiong et al. 2017).

    Nothing is learned. BadArguments for fewer than two kernels.
    """

    centres: Tensor
    widths: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        if not 2 <= count <= 1000:
            raise BadArguments(f"kernels is {count}, expected 2 to 1000")
        step = 2 / (count - 1)
        soft = [1 - step / 2 - step * place for place in range(count - 1)]
        self.register_buffer("centres", torch.tensor([1.0, *soft]), persistent=False)
        widths = torch.tensor([_EXACT, *[step / 2] * (count - 1)])
        self.register_buffer("widths", widths, persistent=False)

    def forward(self, cosines: Tensor, passage_mask: Tensor) -> Tensor:
        """[n, Q, count]: each kernel's sum over a passage's pieces, for each query piece.

        cosines [n, Q, T], passage_mask [n, T].
        """
        sums = []
        for centre, width in zip(self.centres, self.widths, strict=True):
            near = torch.exp(-((cosines - centre) ** 2) / (2 * width**2))
            sums.append((near * passage_mask[:, None, :]).sum(2))
        return torch.stack(sums, dim=2)


def log_sums(sums: Tensor, weights: Tensor) -> Tensor:
    """[n, count] sum over query pieces of the weighted logarithm of each kernel's sum.

    sums [n, Q, count]; weights [n, Q], 0 for padding. The factor 0.1 keeps the features near 1;
    with K-NRM's own 0.01 the layer above would learn ten times slower than the gate.
    """
    return (sums.clamp(min=_LEAST).log() * weights[:, :, None]).sum(1) * _SCALE

"""What a whole-body encoder is to the shell around it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from ....kernels.packing import Packed


class Body(nn.Module, ABC):
    """Token vectors to passage vectors, layers and pooling in one.

    Weights are drawn from torch's global generator, so that a seed fixes them.
    """

    out_width: int

    @abstractmethod
    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        """x [tokens, width] to [N, out_width], float32; no passage sees another."""

    def __call__(self, x: Tensor, packed: Packed) -> Tensor:
        out: Tensor = super().__call__(x, packed)
        return out

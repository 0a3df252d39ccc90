"""What a cell is to the encoder: a module that mixes the tokens of each passage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from ...kernels.packing import Packed


class Mixer(nn.Module, ABC):
    """A sequence mixer over packed passages.

    Made as ``Cell(width, bidirectional=True, layer=0, layers=1)``, all but ``width`` by name:
    ``layer`` of ``layers`` (from 0) is for cells whose start depends on depth. Both directions
    have their own parameters. With ``bidirectional=False`` it is causal.
    Weights are drawn from torch's global generator, so that a seed fixes them.
    """

    @abstractmethod
    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        """x [tokens, width] to [tokens, width], same dtype; no token sees another passage."""

    def __call__(self, x: Tensor, packed: Packed) -> Tensor:
        out: Tensor = super().__call__(x, packed)
        return out

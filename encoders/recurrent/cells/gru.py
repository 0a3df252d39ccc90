"""GRU: a reset and an update gate, each reading the token and the whole state before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from ..mixer import Mixer
from .dense_layer import DenseLayer

if TYPE_CHECKING:
    from ....kernels.packing import Packed


class GRU(Mixer):
    """The gated recurrent unit of Cho et al. (2014), arXiv 1406.1078, as torch and cuDNN have it.

    n = tanh(W_n x + b + r (R_n h + b')),   h = (1 - z) n + z h. Each of two directions has a state
    of half the width, one direction a state of all of it; a projection to the width follows.
    """

    def __init__(
        self, width: int, *, bidirectional: bool = True, layer: int = 0, layers: int = 1
    ) -> None:
        super().__init__()
        del layer, layers
        dirs = 2 if bidirectional else 1
        self.recurrence = DenseLayer("gru", width, width // dirs, dirs=dirs)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        states, _ = self.recurrence(x, packed)
        out: Tensor = self.out(states)
        return out

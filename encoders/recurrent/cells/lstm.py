"""LSTM: a memory that a forget gate clears, an input gate fills and an output gate shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from ..mixer import Mixer
from .dense_layer import DenseLayer

if TYPE_CHECKING:
    from ....kernels.packing import Packed


class LSTM(Mixer):
    """Long short-term memory: Hochreiter and Schmidhuber (1997), forget gate of Gers et al. (2000).

    c = s(f) c + s(i) tanh(g),   h = s(o) tanh(c), no peepholes; the forget gate's bias starts at
    1. Each of two directions has states of half the width, one direction states of all of it; a
    projection to the width follows.
    """

    def __init__(
        self, width: int, *, bidirectional: bool = True, layer: int = 0, layers: int = 1
    ) -> None:
        super().__init__()
        del layer, layers
        dirs = 2 if bidirectional else 1
        self.recurrence = DenseLayer("lstm", width, width // dirs, dirs=dirs)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        states, _ = self.recurrence(x, packed)
        out: Tensor = self.out(states)
        return out

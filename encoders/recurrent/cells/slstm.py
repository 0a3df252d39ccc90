"""sLSTM: an LSTM whose input gate is an exponential, so that a later word can outweigh all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ....kernels.dense_recurrence.cells import GATES
from ..mixer import Mixer
from .dense_layer import DenseLayer
from .heads import head_width

if TYPE_CHECKING:
    from ....kernels.packing import Packed

_FORGET = GATES["slstm"].index("forget")


class SLSTM(Mixer):
    """The scalar xLSTM cell of Beck et al. (2024), arXiv 2405.04517, without its convolution.

    Unstabilised: c = s(f) c + e^i tanh(z), n = s(f) n + e^i, h = s(o) c / n. Memories mix within a
    head, up to 32 channels wide; each head's output is normalised by itself before the projection
    to the width. Each of two directions has states of half the width.

    The paper's code starts so: R at 0; the forget gate's bias falls within each head from 5 to
    -7, as j ** 0.3 in the first layer and j ** 1.6 in the last, so that depth remembers longer;
    the other biases at 0; input weights normal with variance 2 / (5 width).
    """

    def __init__(
        self, width: int, *, bidirectional: bool = True, layer: int = 0, layers: int = 1
    ) -> None:
        super().__init__()
        dirs = 2 if bidirectional else 1
        hidden = width // dirs
        head = head_width(hidden)
        heads = hidden // head
        self.recurrence = DenseLayer("slstm", width, hidden, dirs=dirs, heads=heads)
        self.norm = nn.GroupNorm(dirs * heads, width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.recurrence.R)
        nn.init.normal_(self.recurrence.from_tokens.weight, std=(2 / (5 * width)) ** 0.5)
        depth = layer / (layers - 1) if layers > 1 else 0.0
        falling = 5 - 12 * torch.linspace(0, 1, head) ** (0.3 + 1.3 * depth)
        self.recurrence.bias.data[:, _FORGET] = falling

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        states, _ = self.recurrence(x, packed)
        out: Tensor = self.out(self.norm(states))
        return out

"""What GRU, LSTM and sLSTM share: token projections to the gates, and a recurrence over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ....kernels.dense_recurrence import dense_recurrence
from ....kernels.dense_recurrence.cells import GATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ....kernels.dense_recurrence import Cell
    from ....kernels.packing import Packed

_FORGET = GATES["lstm"].index("forget")


class DenseLayer(nn.Module):
    """One layer of a dense recurrence: [tokens, inputs] to [tokens, dirs * hidden].

    ``hidden`` is a direction's width, divided among ``heads`` that see only their own state; with
    ``dirs`` 2 the second walks from the last token. ``R`` [dirs, G, heads, DH, DH] starts
    orthogonal head by head (Saxe et al. 2013, 1312.6120), ``from_tokens`` uniform within
    hidden ** -0.5 as torch does, biases at 0 but for the LSTM's forget gate, which starts at 1
    (Gers et al. 2000, Jozefowicz et al. 2015): it has one bias a gate, the GRU two.
    """

    def __init__(
        self, cell: Cell, inputs: int, hidden: int, *, dirs: int = 2, heads: int = 1
    ) -> None:
        super().__init__()
        self.cell: Cell = cell
        gates = len(GATES[cell])
        self.shape = (dirs, gates, heads, hidden // heads)
        self.from_tokens = nn.Linear(inputs, dirs * gates * hidden, bias=cell == "gru")
        self.R = nn.Parameter(torch.empty(*self.shape, hidden // heads))
        self.bias = nn.Parameter(torch.zeros(self.shape))
        nn.init.uniform_(self.from_tokens.weight, -(hidden**-0.5), hidden**-0.5)
        if cell == "gru":
            nn.init.zeros_(self.from_tokens.bias)
        if cell == "lstm":
            nn.init.ones_(self.bias[:, _FORGET])
        for matrix in self.R.flatten(0, 2):
            nn.init.orthogonal_(matrix)

    def forward(
        self, x: Tensor, packed: Packed, h0: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Outputs, and the final states, each [N, dirs, heads, DH] in float32, which h0 takes."""
        gates = self.from_tokens(x).view(len(x), *self.shape)
        return dense_recurrence(
            gates, self.R, self.bias, packed, self.cell, h0=h0, return_last=True
        )

"""ParaLSTM: an LSTM with peepholes whose channels see only their own past."""

from __future__ import annotations

import torch
from torch import nn

from .gated_layer import GatedLayer


class ParaLSTM(GatedLayer):
    """The diagonal LSTM of ParaRNN, Danieli et al. (2025), arXiv 2510.21450.

    f = s(A_f h + C_f c + W_f x), c = f c + (1 - f) tanh(A_c h + W_c x),
    o = s(A_o h + C_o c + W_o x), the last with the new c, h = o tanh(c). A and C start with
    variance 4 / (5 channels), the biases of f at 3 to 6, evenly, all others at 0.
    """

    cell = "paralstm"
    gates = 3

    def __init__(
        self, width: int, *, bidirectional: bool = True, layer: int = 0, layers: int = 1
    ) -> None:
        super().__init__(width, bidirectional=bidirectional, layer=layer, layers=layers)
        directions, _, channels = self.shape
        start = torch.randn(directions, 5, channels) * 2 / (5 * channels) ** 0.5
        self.recurrent = nn.Parameter(start)
        self.biases.zero_()
        self.biases[:, 0] = torch.linspace(3, 6, channels)

"""ParaGRU: a GRU whose channels see only their own past."""

from __future__ import annotations

import torch
from torch import nn

from .gated_layer import GatedLayer


class ParaGRU(GatedLayer):
    """The diagonal GRU of ParaRNN, Danieli et al. (2025), arXiv 2510.21450.

    z = s(A_z h + W_z x), r = s(A_r h + W_r x), n = tanh(A_n h r + W_n x), h = (1 - z) h + z n.
    A starts with variance 4 / (5 channels), the biases of z at 0 to -1, evenly, all others at 0.
    At the length of a passage it is computed step by step; its authors solve all steps at once
    by Newton's method.
    """

    cell = "paragru"
    gates = 3

    def __init__(
        self, width: int, *, bidirectional: bool = True, layer: int = 0, layers: int = 1
    ) -> None:
        super().__init__(width, bidirectional=bidirectional, layer=layer, layers=layers)
        directions, _, channels = self.shape
        start = torch.randn(directions, 3, channels) * 2 / (5 * channels) ** 0.5
        self.recurrent = nn.Parameter(start)
        self.biases.zero_()
        self.biases[:, 0] = -torch.linspace(0, 1, channels)

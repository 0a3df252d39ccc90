"""minLSTM: forget and input gate read the token alone and sum to one."""

from __future__ import annotations

import torch

from .gated_layer import GatedLayer


class MinLSTM(GatedLayer):
    """minLSTM of Feng et al. (2024), arXiv 2410.01201.

    f = s(W_f x), i = s(W_i x), h = (f h + i W_h x) / (f + i), h from 0. The biases of f start at
    1 to 5, evenly over the channels, those of i at 0.
    """

    cell = "minlstm"
    gates = 3

    def __init__(
        self, width: int, *, bidirectional: bool = True, layer: int = 0, layers: int = 1
    ) -> None:
        super().__init__(width, bidirectional=bidirectional, layer=layer, layers=layers)
        forget, enter, _ = self.biases.unbind(1)
        forget.copy_(torch.linspace(1, 5, forget.shape[1]))
        enter.zero_()

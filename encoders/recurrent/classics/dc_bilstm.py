"""DC-BiLSTM: many narrow layers, each reading all that lies below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ....kernels.segment_pool import segment_pool
from ..cells.dense_layer import DenseLayer
from .body import Body

if TYPE_CHECKING:
    from ....kernels.packing import Packed


class DCBiLSTM(Body):
    """Densely connected BiLSTM with mean pooling, Ding et al. (2018), arXiv 1802.00889.

    Layer l reads the word vectors beside the outputs of all layers before it; the mean over the
    last layer's outputs is the passage. ``layers`` counts the last one (the paper goes up to 20):
    ``hidden`` channels a direction, half the width when not given, above layers of ``growth``,
    an eighth. out_width is 2 hidden.
    """

    def __init__(
        self,
        width: int,
        *,
        hidden: int | None = None,
        growth: int | None = None,
        layers: int = 5,
    ) -> None:
        super().__init__()
        hidden, growth = hidden or width // 2, growth or width // 8
        self.below = nn.ModuleList(
            DenseLayer("lstm", width + 2 * growth * layer, growth) for layer in range(layers - 1)
        )
        self.top = DenseLayer("lstm", width + 2 * growth * (layers - 1), hidden)
        self.out_width = 2 * hidden

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        for reading in self.below:
            states, _ = reading(x, packed)
            x = torch.cat([x, states], dim=1)
        states, _ = self.top(x, packed)
        return segment_pool(states, packed, "mean")

"""InferSent: a bidirectional LSTM, and for each channel the most that any word said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....kernels.segment_pool import segment_pool
from ..cells.dense_layer import DenseLayer
from .body import Body

if TYPE_CHECKING:
    from torch import Tensor

    from ....kernels.packing import Packed


class InferSent(Body):
    """BiLSTM with max pooling, Conneau et al. (2017), arXiv 1705.02364.

    ``hidden`` channels a direction, ``width`` of them when not given (the paper: 2048 for word
    vectors of 300); out_width is 2 hidden.
    """

    def __init__(self, width: int, *, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or width
        self.reading = DenseLayer("lstm", width, hidden)
        self.out_width = 2 * hidden

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        states, _ = self.reading(x, packed)
        return segment_pool(states, packed, "max")

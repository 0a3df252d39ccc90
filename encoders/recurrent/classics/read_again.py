"""Read-Again: a second reading that knows how the passage ends and what each word meant in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ....kernels.segment_pool import segment_pool
from ..cells.dense_layer import DenseLayer
from .body import Body

if TYPE_CHECKING:
    from torch import Tensor

    from ....kernels.packing import Packed


class ReadAgain(Body):
    """Two BiLSTM readings, Zeng et al. (2016), arXiv 1611.03382 (their LSTM form, two directions).

    The second reads [x_t, h_t, s]: the word, its state in the first reading, and that reading's
    summary s, the final states of both directions; its states are max-pooled. ``hidden`` is half
    the width when not given; out_width is 2 hidden.
    """

    def __init__(self, width: int, *, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or width // 2
        self.first = DenseLayer("lstm", width, hidden)
        self.second = DenseLayer("lstm", width + 4 * hidden, hidden)
        self.out_width = 2 * hidden

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        states, (final, _) = self.first(x, packed)
        summary = final.flatten(1).to(x.dtype)[packed.segment_ids]
        states, _ = self.second(torch.cat([x, states, summary], dim=1), packed)
        return segment_pool(states, packed, "max")

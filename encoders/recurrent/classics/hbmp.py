"""HBMP: read the words again and again, each time beginning with what was last understood."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ....kernels.segment_pool import segment_pool
from ..cells.dense_layer import DenseLayer
from .body import Body

if TYPE_CHECKING:
    from ....kernels.packing import Packed


class HBMP(Body):
    """Hierarchical BiLSTM max pooling, Talman et al. (2019), arXiv 1808.08762.

    Every layer is a BiLSTM over the word vectors themselves, not over the layer below, of which
    it has the final states (h and c, direction by direction) as its first. The layers' max pools
    stand side by side: out_width is 2 hidden layers. The paper has three layers of 600; ``hidden``
    is half the width when not given. One layer is InferSent.
    """

    def __init__(self, width: int, *, hidden: int | None = None, layers: int = 3) -> None:
        super().__init__()
        hidden = hidden or width // 2
        self.readings = nn.ModuleList(DenseLayer("lstm", width, hidden) for _ in range(layers))
        self.out_width = 2 * hidden * layers

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        understood: tuple[Tensor, ...] | None = None
        pools = []
        for reading in self.readings:
            states, understood = reading(x, packed, understood)
            pools.append(segment_pool(states, packed, "max"))
        return torch.cat(pools, dim=1)

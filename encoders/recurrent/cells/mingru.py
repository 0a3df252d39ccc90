"""minGRU: the GRU whose gate reads the token alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch

from .gated_layer import GatedLayer

if TYPE_CHECKING:
    from ....kernels.bi_gated_scan import Cell


class MinGRU(GatedLayer):
    """minGRU of Feng et al. (2024), arXiv 2410.01201.

    z = s(W_z x), h = (1 - z) h + z W_h x, h from 0. The gates start so that memories 1 / z are
    spread log-uniformly over 1.5 to 128 words (chrono initialisation, Tallec and Ollivier 2018,
    1804.11188).
    """

    cell: ClassVar[Cell] = "mingru"
    gates = 2

    def __init__(
        self, width: int, *, bidirectional: bool = True, layer: int = 0, layers: int = 1
    ) -> None:
        super().__init__(width, bidirectional=bidirectional, layer=layer, layers=layers)
        z, _ = self.biases.unbind(1)
        memory = 1.5 * (128 / 1.5) ** torch.rand(z.shape)
        z.copy_(-torch.log(memory - 1))


class PositiveMinGRU(MinGRU):
    """minGRU with g(W_h x) for W_h x, g(v) = v + 0.5 from 0 on and s(v) below.

    As its authors train it, for their scan in log space needs positive states; their h starts at
    g(0) = 0.5, ours at 0.
    """

    cell = "mingru_pos"

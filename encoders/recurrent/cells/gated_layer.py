"""What minGRU, minLSTM, ParaGRU and ParaLSTM share: gates from the token, a scan, the width."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from ....kernels.bi_gated_scan import bi_gated_scan
from ..mixer import Mixer

if TYPE_CHECKING:
    from ....kernels.bi_gated_scan import Cell
    from ....kernels.packing import Packed


class GatedLayer(Mixer):
    """One projection to all pre-activations, a gated scan, a projection to the width.

    Each of two directions has a state of half the width, one direction a state of all of it. A
    cell names its ``cell`` and its number of ``gates``, sets ``recurrent`` to the scan's params
    if it has any, and starts ``biases`` as its authors do.
    """

    cell: ClassVar[Cell]
    gates: ClassVar[int]

    def __init__(
        self, width: int, *, bidirectional: bool = True, layer: int = 0, layers: int = 1
    ) -> None:
        super().__init__()
        del layer, layers
        directions = 2 if bidirectional else 1
        self.shape = (directions, self.gates, width // directions)
        self.from_tokens = nn.Linear(width, self.gates * width)
        self.recurrent: nn.Parameter | None = None
        self.out = nn.Linear(width, width)

    @property
    def biases(self) -> Tensor:
        """[directions, gates, channels], a view to start them through."""
        return self.from_tokens.bias.data.view(self.shape)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        u = self.from_tokens(x).view(len(x), *self.shape)
        out: Tensor = self.out(bi_gated_scan(u, self.cell, packed, params=self.recurrent))
        return out

"""What the cells with a matrix for a memory share: branches in each direction, heads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from ..mixer import Mixer
from .heads import head_width

if TYPE_CHECKING:
    from ....kernels.matrix_state import Direction
    from ....kernels.packing import Packed


class MatrixBranch(nn.Module, ABC):
    """All of a cell but its out-projection, in one direction."""

    def __init__(self, width: int, direction: Direction, *, layer: int, layers: int) -> None:
        super().__init__()
        del layer, layers
        self.direction: Direction = direction
        self.head = head_width(width)
        self.heads = width // self.head

    @abstractmethod
    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        """x [tokens, width] to [tokens, width]."""


class MatrixLayer(Mixer):
    """One branch, or one for each direction with their own weights; a projection to the width."""

    branch: ClassVar[type[MatrixBranch]]

    def __init__(
        self, width: int, *, bidirectional: bool = True, layer: int = 0, layers: int = 1
    ) -> None:
        super().__init__()
        ways: tuple[Direction, ...] = ("forward", "backward") if bidirectional else ("forward",)
        self.branches = nn.ModuleList(
            self.branch(width, way, layer=layer, layers=layers) for way in ways
        )
        self.out = nn.Linear(len(ways) * width, width, bias=False)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        out: Tensor = self.out(torch.cat([branch(x, packed) for branch in self.branches], dim=-1))
        return out

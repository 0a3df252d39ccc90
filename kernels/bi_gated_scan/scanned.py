"""The torch-level twin of the cells that are linear in h: gates in torch, then ``linear_scan``.

On the CPU in float32 that scan is C; elsewhere, and in float64, it is plain torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..linear_scan import linear_scan
from .cells import decay_and_input
from .reference import first_of_walk

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed


def token_states(u: Tensor, cell: str, packed: Packed, params: Tensor) -> Tensor:
    """[tokens, D, C] from u [tokens, D, G, C] and params [D, P, C], all of one dtype."""
    states = []
    for d in range(u.shape[1]):
        first = first_of_walk(packed, reverse=bool(d))[:, None]
        a, b = decay_and_input(cell, u[:, d].unbind(1), params[d], first)
        states.append(linear_scan(a, b, packed, reverse=bool(d)))
    return torch.stack(states, 1)

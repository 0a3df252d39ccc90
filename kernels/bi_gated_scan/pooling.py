"""Token states of both directions to one row per segment: what the plain twins end with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from ..packing import Packed


def pool_states(
    states: Tensor,
    packed: Packed,
    pools: tuple[str, ...],
    segment_pool: Callable[[Tensor, Packed, tuple[str, ...]], Tensor],
) -> Tensor:
    """states [tokens, D, C] to [N, len(pools) * D * C], each part by ``segment_pool``."""
    if pools != ("last",):
        return segment_pool(states.flatten(1), packed, pools)
    # where a walk ends: the backward one at its segment's first token
    ends = ("last", "first")[: states.shape[1]]
    return torch.cat(
        [segment_pool(states[:, d], packed, (end,)) for d, end in enumerate(ends)], dim=1
    )

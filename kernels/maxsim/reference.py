"""Late interaction written to be read: one passage after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed


def maxsim(query: Tensor, passages: Tensor, packed: Packed) -> Tensor:
    wide = torch.promote_types(passages.dtype, torch.float32)
    asked, tokens = query.to(wide), passages.to(wide)
    parts = torch.split(tokens, packed.lengths.tolist()) if len(packed) else ()
    if not parts:
        return (tokens @ asked.T).sum(1)
    return torch.stack([_score(asked, part) for part in parts])


def _score(query: Tensor, passage: Tensor) -> Tensor:
    products = passage @ query.T
    if not len(passage):
        return products.sum()
    # argmax names the first of equals, and the gradient is that one's alone
    return products.gather(0, products.argmax(0, keepdim=True)).sum()

"""The running softmax average token by token, and the average of each segment by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed


def softmax_scan(
    s: Tensor,
    v: Tensor,
    packed: Packed,
    decay: Tensor | None,
    bonus: Tensor | None,
    reverse: bool,
) -> Tensor:
    """State (top, total, summed): the sums of e^score and e^score v, both times e^-top."""
    wide = torch.promote_types(v.dtype, torch.float32)
    scores, values = s.to(wide), v.to(wide)
    none = scores.new_zeros(s.shape[1])
    fall = none if decay is None else decay.to(wide)
    steps = packed.steps(reverse=reverse)
    if not steps.rows:
        return (scores[..., None] * values).to(v.dtype)
    top = scores.new_full((len(packed), s.shape[1]), -torch.inf)
    state = (top, torch.zeros_like(top), values.new_zeros(len(packed), *v.shape[1:]))
    outputs = []
    for token in zip(steps.by_step(scores), steps.by_step(values), strict=True):
        top, total, summed = (part[: len(token[0])] for part in state)
        state = _add(top, total, summed, *token, fall, none)
        seen = state
        if bonus is not None:
            seen = _add(top, total, summed, *token, none, bonus.to(wide))
        outputs.append(seen[2] / seen[1][..., None])
    return steps.to_tokens(outputs).to(v.dtype)


def _add(
    top: Tensor,
    total: Tensor,
    summed: Tensor,
    score: Tensor,
    value: Tensor,
    fall: Tensor,
    lift: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """The state with one more token, its score lifted and those before it fallen."""
    # whatever the largest exponent is, it cancels: no gradient goes through it
    highest = torch.maximum(top - fall, score + lift).detach()
    # differences first: beside a large score, top - fall and score + lift lose bits
    old = torch.exp((top - highest) - fall)
    new = torch.exp((score - highest) + lift)
    return highest, total * old + new, summed * old[..., None] + new[..., None] * value


def attention_pool(s: Tensor, v: Tensor, packed: Packed) -> Tensor:
    wide = torch.promote_types(v.dtype, torch.float32)
    lengths = packed.lengths.tolist()
    if not lengths:
        return s[..., None].to(wide) * v.to(wide)
    parts = zip(torch.split(s.to(wide), lengths), torch.split(v.to(wide), lengths), strict=True)
    return torch.stack([(score.softmax(0)[..., None] * value).sum(0) for score, value in parts])

"""Exponential input gates made safe: the running maximum of mLSTM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed


def stabilised(
    log_forget: Tensor, log_input: Tensor, packed: Packed, *, reverse: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """What ``matrix_state`` needs so that inputs weigh exp(log_input) and nothing overflows.

    log_forget (<= 0) and log_input [tokens, H], float32 or float64. Returns, [tokens, H] each:
    log_decay, 0 at most up to rounding; the factor of the keys, in 0..1; and the scale in 0..1
    by which all outputs come smaller. With m_t = max(0, log_input_t, log_forget_t + m_{t-1}) they
    are log_forget_t + m_{t-1} - m_t, exp(log_input_t - m_t) and exp(-m_t) (xLSTM, arXiv
    2405.04517, whose m may be negative; ours never scales up). Outputs over scale do not depend on
    m, which therefore has no gradient. ``reverse``: for direction="backward".
    """
    if not packed.tokens:
        return log_forget, log_input, log_input
    place = packed.positions
    if reverse:
        ends = packed.cu_seqlens[1:].long()[packed.segment_ids]
        place = (ends - 1 - torch.arange(packed.tokens, device=place.device)).flip(0)
        log_forget, log_input = log_forget.flip(0), log_input.flip(0)
    with torch.no_grad():
        m = _running_maximum(log_forget, log_input.clamp(min=0), place[:, None], packed.max_length)
        before = torch.where(place[:, None] > 0, m.roll(1, 0), m)
    found = (log_forget + (before - m), (log_input - m).exp(), (-m).exp())
    return tuple(x.flip(0) for x in found) if reverse else found  # type: ignore[return-value]


def _running_maximum(forget: Tensor, m: Tensor, place: Tensor, longest: int) -> Tensor:
    """max over s <= t of m_s + sum of forget over s + 1..t, by doubling the reach."""
    reach = 1
    while reach < longest:
        inside = place >= reach
        m = torch.where(inside, torch.maximum(m, forget + m.roll(reach, 0)), m)
        forget = torch.where(inside, forget + forget.roll(reach, 0), forget)
        reach *= 2
    return m

"""``complex_scan``: the public face, which checks its arguments and chooses who computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import BadArguments
from ..dispatch import Backend, choose
from ..packing import on_one_device

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed

_TWINS: tuple[Backend, ...] = ("triton",)


def complex_scan(
    log_magnitude: Tensor,
    phase: Tensor,
    b_re: Tensor,
    b_im: Tensor,
    packed: Packed,
    *,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """h_t = exp(log_magnitude_t + i phase_t) h_{t-1} + b_t over each segment, from zeros.

    b_re, b_im [tokens, C], one floating dtype. log_magnitude and phase both [tokens, C], for a
    recurrence that depends on its input (GateLoop, arXiv 2311.01927), or both [C], for one that
    does not (LRU, arXiv 2303.06349); any floating dtype, so that a constant pole may stay float32
    beside bfloat16 inputs. reverse: from each segment's last token to its first.
    Returns h_re and h_im [tokens, C] in the dtype of b_re; gradients reach all four inputs. States
    are kept in float32 (float64 of float64). Nothing bounds log_magnitude: above 0 states grow.
    Raises BadArguments when shapes, dtypes or devices do not fit.
    """
    _check(log_magnitude, phase, b_re, b_im, packed)
    backend = choose("complex_scan", b_re, _TWINS)
    if backend == "triton":
        from .fused import scan
    else:
        from .reference import scan
    return scan(log_magnitude, phase, b_re, b_im, packed, reverse=reverse)


def _check(log: Tensor, phase: Tensor, b_re: Tensor, b_im: Tensor, packed: Packed) -> None:
    if b_re.dim() != 2 or b_re.shape != b_im.shape or len(b_re) != packed.tokens:
        raise BadArguments(
            f"complex_scan got b_re {tuple(b_re.shape)} and b_im {tuple(b_im.shape)} for a pack "
            f"of {packed.tokens} tokens; both must be [tokens, channels]"
        )
    if log.shape != phase.shape or log.shape not in (b_re.shape, b_re.shape[1:]):
        raise BadArguments(
            f"log_magnitude is {tuple(log.shape)} and phase {tuple(phase.shape)}; both must be "
            f"{tuple(b_re.shape)}, or {tuple(b_re.shape[1:])} where they are constant"
        )
    if b_re.dtype != b_im.dtype or not all(x.is_floating_point() for x in (log, phase, b_re)):
        raise BadArguments(
            f"dtypes {log.dtype}, {phase.dtype}, {b_re.dtype}, {b_im.dtype}; all must be floating, "
            "the last two the same"
        )
    on_one_device("complex_scan", packed, log, phase, b_re, b_im)

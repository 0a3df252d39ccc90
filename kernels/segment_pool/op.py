"""``segment_pool``: the tokens of each segment to one vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import BadArguments
from ..dispatch import choose
from ..packing import on_one_device
from .reference import segment_pool as reference

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed

OPS = ("mean", "max", "last", "first")


def segment_pool(x: Tensor, packed: Packed, op: str | tuple[str, ...]) -> Tensor:
    """Each segment's mean, maximum, last or first token, channel by channel.

    x [tokens, C] to [N, C], float32 (float64 for float64 x) however narrow x is; several ops, as
    in ("mean", "max"), stand side by side: [N, 2C]. An empty segment is 0. Where several tokens
    share the maximum, the first of them has the gradient. x is finite.
    Raises BadArguments for an x that does not fit the pack, or an op not known or named twice.
    """
    ops = (op,) if isinstance(op, str) else tuple(op)
    if not ops or set(ops) - set(OPS) or len(set(ops)) < len(ops):
        known = ", ".join(OPS)
        raise BadArguments(f"pooling {op!r}: it is one or more of {known}, none twice")
    if x.ndim != 2 or len(x) != packed.tokens:
        raise BadArguments(f"x is {list(x.shape)}, not [{packed.tokens} tokens, channels]")
    on_one_device("segment_pool", packed, x)
    backend = choose("segment_pool", x, ("triton", "torch"))
    if backend == "triton":
        from .fused import segment_pool as fused

        return fused(x, packed, ops)
    if backend == "torch":
        from .scattered import segment_pool as scattered

        return scattered(x, packed, ops)
    return reference(x, packed, ops)

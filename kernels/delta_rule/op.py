"""The public function: check the shapes, choose a twin, run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import BadArguments
from ..dispatch import choose
from ..packing import on_one_device

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed


def delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    packed: Packed,
    *,
    log_decay: Tensor | None = None,
    steps: int = 1,
    reverse: bool = False,
) -> Tensor:
    """A matrix S [DK, DV] per head, corrected towards v at k by a share beta, read at q.

    For each token: S = exp(log_decay) S; then ``steps`` times S = S + beta k (v - S^T k)^T; and
    o = S^T q, with S = 0 before a segment. One step is DeltaNet, several are DeltaProduct.
    q [tokens, H, DK]; k [tokens, steps, H, DK]; v [tokens, steps, H, DV]; beta [tokens, steps, H];
    log_decay [tokens, H], at most 0, or None for no decay. With one step, k, v and beta may also
    come without the axis of steps. Nothing is normalised or scaled here: for |k| = 1 and beta in
    [0, 2] no step lengthens S. ``reverse`` runs each segment from its last token to its first.
    Returns o [tokens, H, DV] in q's dtype; S is float32 (float64 for float64).
    Gradients reach every tensor. Segments of zero and of one token are legal.
    Raises BadArguments for shapes that do not fit.
    Sources: arXiv 2406.06484 (DeltaNet), 2412.06464 (the decay), 2502.10297 (DeltaProduct).
    """
    if steps == 1 and k.ndim == 3:
        k, v, beta = k.unsqueeze(1), v.unsqueeze(1), beta.unsqueeze(1)
    _check(q, k, v, beta, packed, log_decay, steps)
    twin = choose("delta_rule", q, ("triton", "torch"))
    if twin == "triton":
        from .fused import fused

        return fused(q, k, v, beta, packed, log_decay=log_decay, reverse=reverse)
    if twin == "torch":
        from .chunk import chunked

        return chunked(q, k, v, beta, packed, log_decay=log_decay, reverse=reverse)
    from .reference import reference

    return reference(q, k, v, beta, packed, log_decay=log_decay, reverse=reverse)


def _check(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    packed: Packed,
    log_decay: Tensor | None,
    steps: int,
) -> None:
    if steps < 1:
        raise BadArguments(f"a token takes at least one step, not {steps}")
    on_one_device("delta_rule", packed, q, k, v, beta, log_decay)
    if not q.is_floating_point():
        raise BadArguments(f"q is {q.dtype}, expected a floating dtype")
    if q.ndim != 3 or q.shape[0] != packed.tokens:
        raise BadArguments(f"q is {list(q.shape)}, expected [{packed.tokens} tokens, heads, DK]")
    tokens, heads, width = q.shape
    if v.ndim != 4 or v.shape[:3] != (tokens, steps, heads):
        raise BadArguments(f"v is {list(v.shape)}, expected [{tokens}, {steps}, {heads}, DV]")
    expected = {"k": (k, (tokens, steps, heads, width)), "beta": (beta, (tokens, steps, heads))}
    if log_decay is not None:
        expected["log_decay"] = (log_decay, (tokens, heads))
    for name, (value, shape) in expected.items():
        if value.shape != shape:
            raise BadArguments(f"{name} is {list(value.shape)}, expected {list(shape)}")

"""``matrix_state``: the public face, which checks its arguments and chooses who computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from ...core.errors import BadArguments
from ..dispatch import choose
from ..packing import on_one_device
from .pairs import Direction, pairs_of

if TYPE_CHECKING:
    from torch import Tensor

    from ..dispatch import Backend
    from ..packing import Packed

_WIDEST_IN_TRITON = 64  # beyond, a state [DK, DV] no longer fits a program's registers


def matrix_state(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    packed: Packed,
    *,
    log_decay: Tensor | None = None,
    direction: Direction = "both",
    bonus: Tensor | None = None,
) -> Tensor:
    """Linear attention with decay: o_t = S_t^T q_t, S_t = diag(exp g_t) S_{t-1} + k_t v_t^T.

    q, k [tokens, H, DK]; v [tokens, H, DV]; one floating dtype. log_decay g, none above 0 but for
    rounding, -inf allowed: [H], [tokens, H] (one for a head), [tokens, H, DK] (one for each key
    channel) or None (nothing is forgotten); float32 is best whatever q is.
    Returns [tokens, H, DV] in that dtype, the state kept in float32 (float64 of float64).
    Differentiable in all; with Triton the gradients are the same bits every time.

    direction, in terms of how much of what s wrote is left at t, exp(sum of g over some tokens):
      "forward"   s <= t, tokens s + 1 to t: the recurrence above
      "backward"  s >= t, tokens t to s - 1: the same with time reversed in each segment
      "both"      all s, tokens min(s, t) + 1 to max(s, t): attention under the symmetric mask
                  exp(-|c_t - c_s|), c = cumsum(g). It is the forward recurrence plus a backward
                  one whose g is taken from the token after, the diagonal counted once.
    bonus [H, DK] is RWKV's u: o_t = (S_{t-1} + diag(u) k_t v_t^T)^T q_t. The state is read before
    token t decays it, so that in all directions the tokens strictly between s and t count.

    A normaliser needs no option: give v a last column of ones and divide by what comes of it; for
    input gates exp(i) see ``stabilised``.
    Sources: linear attention (arXiv 2006.16236), RetNet (2307.08621), GLA (2312.06635), RWKV-6
    (2404.05892); "both" with one decay for a head is LION's mask (2502.16249).
    Raises BadArguments for shapes, dtypes, devices that do not fit, or another direction.
    """
    _check(q, k, v, packed, log_decay, direction, bonus)
    if not packed.tokens:
        return v.clone()
    if log_decay is not None and log_decay.dim() == 1:
        log_decay = log_decay.expand(q.shape[:2])
    pairs = pairs_of(direction, bonus=bonus is not None)
    narrow = max(q.shape[2], v.shape[2]) <= _WIDEST_IN_TRITON
    twins: tuple[Backend, ...] = ("triton", "torch") if narrow else ("torch",)
    backend = choose("matrix_state", v, twins)
    if backend == "triton":
        from .fused import matrix_state as twin
    elif backend == "torch":
        from .blocks import matrix_state as twin
    else:
        from .reference import matrix_state as twin
    return twin(q, k, v, log_decay, bonus, packed, pairs)


def _check(
    q: Tensor, k: Tensor, v: Tensor, packed: Packed, log_decay: Tensor | None, direction: str,
    bonus: Tensor | None,
) -> None:  # fmt: skip
    seen = f"q {list(q.shape)}, k {list(k.shape)}, v {list(v.shape)}"
    if q.dim() != 3 or v.dim() != 3 or q.shape != k.shape or q.shape[:2] != v.shape[:2]:
        raise BadArguments(f"{seen}: they are [tokens, H, DK] twice and [tokens, H, DV]")
    if len(q) != packed.tokens:
        raise BadArguments(f"{seen} for a pack of {packed.tokens} tokens")
    if not (q.dtype == k.dtype == v.dtype) or not q.is_floating_point():
        raise BadArguments(f"q {q.dtype}, k {k.dtype}, v {v.dtype}: give one floating dtype")
    shapes = [q.shape[1:2], q.shape[:2], q.shape]
    if log_decay is not None and log_decay.shape not in shapes:
        expected = ", ".join(str(list(shape)) for shape in shapes)
        raise BadArguments(f"log_decay is {list(log_decay.shape)}, not one of {expected}")
    if bonus is not None and bonus.shape != q.shape[1:]:
        raise BadArguments(f"bonus is {list(bonus.shape)}, not {list(q.shape[1:])}")
    if direction not in get_args(Direction):
        raise BadArguments(f"direction {direction!r}: one of {', '.join(get_args(Direction))}")
    on_one_device("matrix_state", packed, q, k, v, log_decay, bonus)

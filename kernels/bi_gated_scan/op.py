"""``bi_gated_scan``: check what came, choose the twin, run it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch.nn.functional import softplus

from ...core.errors import BadArguments
from ..dispatch import choose
from ..packing import on_one_device
from .cells import SHAPES, Cell

if TYPE_CHECKING:
    from torch import Tensor

    from ..dispatch import Backend
    from ..packing import Packed

Pool: TypeAlias = Literal["mean", "max", "last"] | tuple[Literal["mean"], Literal["max"]]

_POOLS: dict[Pool | None, tuple[str, ...]] = {
    None: (),
    "mean": ("mean",),
    "max": ("max",),
    "last": ("last",),
    ("mean", "max"): ("mean", "max"),
}


def bi_gated_scan(
    u: Tensor,
    cell: Cell,
    packed: Packed,
    *,
    params: Tensor | None = None,
    pool: Pool | None = None,
    out_dtype: torch.dtype | None = None,
) -> Tensor:
    """The states of a gated recurrence through each segment, or their pooling.

    u [tokens, D, G, C]: pre-activations. D is 2 (direction 0 forward, 1 backward in time) or 1
    (forward alone); s is the sigmoid, sp the softplus, h starts at 0 in every segment.

    cell         G  gates    recurrence; params
    "mingru"     2  k, v     h += s(k) (v - h)
    "mingru_pos" 2  k, v     the same with g(v) for v: v + 0.5 from 0 on, s(v) below
    "minlstm"    3  f, i, v  h = (s(f) h + s(i) v) / (s(f) + s(i))
    "rglru"      3  r, i, x  h = a h + sqrt(1 - a^2) s(i) x, log a = -8 s(r) sp(L); at a walk's
                             first token h = s(i) x; L [D, C]. The gradient of the root is at
                             most 1000
    "hgrn"       2  f, i     a = y + (1 - y) s(f), h = a h + (1 - a) i s(i); y [D, C] or [C], from
                             0 to 1
    "paragru"    3  z, r, n  h += s(z + A_z h) (tanh(n + A_n s(r + A_r h) h) - h); A [D, 3, C]
                             (z, r, n)
    "paralstm"   3  f, n, o  f' = s(f + A_f h + C_f c), c = f' c + (1 - f') tanh(n + A_n h),
                             h = s(o + A_o h + C_o c) tanh(c), the last with the new c;
                             params [D, 5, C] (A_f, C_f, A_n, A_o, C_o)

    Returns, without a pool, [tokens, D C] in ``out_dtype`` (that of u by default), forward
    channels first. With one: [N, D C] float32 (float64 if u is), and [N, 2 D C] for
    ("mean", "max"), the mean first. "last" is the state where each walk ends: at the segment's
    last token forward, at its first backward. An empty segment gives zeros. Of equal maxima the
    first in the pack takes the gradient, in both directions.

    States are kept in float32 (float64) whatever u is. Differentiable through u and params,
    once; a segment's states and gradients depend on no other segment.
    Raises BadArguments for an unknown cell or pool and for shapes that do not fit.

    Sources: minGRU, minLSTM 2410.01201; RG-LRU 2402.19427; HGRN 2311.04823; ParaGRU and
    ParaLSTM 2510.21450.
    """
    pools = _pools(pool, out_dtype)
    _check(u, cell, packed)
    on_one_device("bi_gated_scan", packed, u, params)
    shape = SHAPES[cell]
    ready = _ready(u, cell, params)
    twins: tuple[Backend, ...] = ("triton", "native", "torch") if shape.linear else ("triton",)
    backend = choose("bi_gated_scan", u, twins)
    if backend == "triton":
        from .fused import fused_scan

        return fused_scan(u, cell, packed, ready, pools, out_dtype or u.dtype)
    if backend == "reference":
        from ..segment_pool.reference import segment_pool
        from .reference import token_states
    else:
        from ..segment_pool.scattered import segment_pool
        from .scanned import token_states
    if backend == "native" and cell == "mingru":
        from .native import mingru_states

        states = mingru_states(u, packed)
    else:
        states = token_states(u.to(ready.dtype), cell, packed, ready)
    if pools:
        from .pooling import pool_states

        return pool_states(states, packed, pools, segment_pool)
    return states.flatten(1).to(out_dtype or u.dtype)


def _pools(pool: Pool | None, out_dtype: torch.dtype | None) -> tuple[str, ...]:
    found = next((names for name, names in _POOLS.items() if name == pool), None)
    if found is None:
        known = ", ".join(repr(name) for name in _POOLS)
        raise BadArguments(f"no pool is called {pool!r}; known: {known}")
    if pool is not None and out_dtype is not None:
        raise BadArguments(
            f"out_dtype={out_dtype} with pool={pool!r}: pooled results are float32 (float64 "
            "if the input is); leave out_dtype away"
        )
    return found


def _check(u: Tensor, cell: str, packed: Packed) -> None:
    if cell not in SHAPES:
        raise BadArguments(f"no cell is called {cell!r}; known: {', '.join(SHAPES)}")
    gates = SHAPES[cell].gates
    if u.ndim != 4 or u.shape[1] not in {1, 2} or u.shape[2] != gates:
        raise BadArguments(
            f"u is {list(u.shape)}; {cell!r} takes [tokens, 1 or 2 directions, {gates}, channels]"
        )
    if len(u) != packed.tokens:
        raise BadArguments(f"u has {len(u)} tokens, the pack {packed.tokens}")
    if not u.is_floating_point():
        raise BadArguments(f"u is {u.dtype}; pre-activations are floating-point numbers")


def _ready(u: Tensor, cell: str, params: Tensor | None) -> Tensor:
    """The parameters as the twins take them: [D, P, C] in the dtype of the states.

    The softplus of RG-LRU is taken here, once, and with torch's log1p: L near -7 is usual, where
    a float32 log(1 + e^L) has four digits.
    """
    directions, rows, channels = u.shape[1], SHAPES[cell].parameters, u.shape[3]
    dtype = torch.promote_types(u.dtype, torch.float32)
    if not rows:
        if params is not None:
            raise BadArguments(f"{cell!r} takes no params; {list(params.shape)} came")
        return u.new_empty(directions, 0, channels, dtype=dtype)
    if params is None:
        raise BadArguments(f"{cell!r} needs params: {_expected(cell, directions, channels)}")
    expected = (directions, channels) if rows == 1 else (directions, rows, channels)
    if params.shape != expected and not (cell == "hgrn" and params.shape == (channels,)):
        raise BadArguments(
            f"params are {list(params.shape)}; {cell!r} takes "
            f"{_expected(cell, directions, channels)}"
        )
    params = params.to(dtype)
    if cell == "rglru":
        params = softplus(params)
    return params.expand(expected).reshape(directions, rows, channels)


def _expected(cell: str, directions: int, channels: int) -> str:
    rows = SHAPES[cell].parameters
    if rows > 1:
        return f"[{directions}, {rows}, {channels}]"
    return f"[{directions}, {channels}]" + (f" or [{channels}]" if cell == "hgrn" else "")

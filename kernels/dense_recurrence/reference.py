"""The dense recurrence as a loop over time, both directions and all heads in one matmul a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .cells import STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..packing import Packed


def dense_recurrence(
    x_gates: Tensor,
    R: Tensor,
    bias: Tensor,
    packed: Packed,
    cell: str,
    h0: Sequence[Tensor] | None,
    *,
    reverse: bool,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Outputs [tokens, dirs * H * DH] and final states; see ``op.dense_recurrence``.

    Inside, a state is [dirs * H, n, DH] and the gates are [dirs * H, n, G * DH]: a batch of
    matrices for ``baddbmm``, the n segments still alive in the order of the steps.
    """
    _, dirs, _, heads, dim = x_gates.shape
    wide = torch.float64 if x_gates.dtype == torch.float64 else torch.float32
    states = start(h0, packed, (dirs, heads, dim), STATES[cell], x_gates.new_zeros((), dtype=wide))
    weight, lift = matrices(R.to(wide), bias.to(wide))
    gates = to_steps(x_gates.to(wide), packed, reverse=reverse)
    # without a token still one step, of no rows: results then have gradients all the same
    alive = [len(rows) for rows in packed.forward_steps.rows] or [0]
    outputs, ended = [], []
    step = STEPS[cell]
    for u in torch.split(gates, alive, dim=1):
        going = u.shape[1]
        if going < states[0].shape[1]:
            over = states[0].shape[1] - going
            parts = [torch.split(state, [going, over], dim=1) for state in states]
            states = tuple(part[0] for part in parts)
            ended.append(tuple(part[1] for part in parts))
        states = step(u, torch.baddbmm(lift, states[0], weight), states)
        outputs.append(states[0])
    ended.append(states)
    last = tuple(
        to_segments(torch.cat(pieces, dim=1), packed, dirs)
        for pieces in zip(*reversed(ended), strict=True)
    )
    out = to_tokens(torch.cat(outputs, dim=1), packed, dirs, reverse=reverse)
    return out.to(x_gates.dtype), last


def gru(u: Tensor, rec: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The reset gate weighs what the state says, after its matmul and bias (as in cuDNN)."""
    (h,) = states
    dim = h.shape[2]
    reset, update = (u[..., : 2 * dim] + rec[..., : 2 * dim]).sigmoid().chunk(2, dim=2)
    new = torch.addcmul(u[..., 2 * dim :], reset, rec[..., 2 * dim :]).tanh()
    return (torch.lerp(new, h, update),)


def lstm(u: Tensor, rec: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, ...]:
    _, c = states
    i, f, g, o = (u + rec).chunk(4, dim=2)
    c = torch.addcmul(f.sigmoid() * c, i.sigmoid(), g.tanh())
    return o.sigmoid() * c.tanh(), c


def slstm(u: Tensor, rec: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Exponential gates, scaled by exp(-m) so that none overflows; n = 0 is an empty memory."""
    _, c, n, m = states
    i, f, g, o = (u + rec).chunk(4, dim=2)
    kept = logsigmoid(f) + m
    empty = n == 0
    top = torch.where(empty | (i >= kept), i, kept)
    forget = torch.where(empty, 0.0, torch.where(empty, 0.0, kept - top).exp())
    write = (i - top).exp()
    c = torch.addcmul(forget * c, write, g.tanh())
    n = forget * n + write
    return o.sigmoid() * c / n.clamp_min(1.0), c, n, top


# what the tokens and what the state say to the gates, and the states before; the states after
STEPS: dict[str, Callable[[Tensor, Tensor, Sequence[Tensor]], tuple[Tensor, ...]]] = {
    "gru": gru,
    "lstm": lstm,
    "slstm": slstm,
}


def start(
    h0: Sequence[Tensor] | None,
    packed: Packed,
    shape: tuple[int, int, int],
    names: Sequence[str],
    like: Tensor,
) -> tuple[Tensor, ...]:
    """Each state [dirs * H, N, DH] in the order of the steps."""
    dirs, heads, dim = shape
    if h0 is None:
        return tuple(like.new_zeros(dirs * heads, len(packed), dim) for _ in names)
    steps = packed.forward_steps
    return tuple(
        steps.from_segments(state.to(like.dtype)).permute(1, 2, 0, 3).flatten(0, 1) for state in h0
    )


def matrices(R: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """R as [dirs * H, DH (of the state), G * DH] and the bias as [dirs * H, 1, G * DH]."""
    weight = R.permute(0, 2, 4, 1, 3).flatten(3).flatten(0, 1)
    return weight, bias.transpose(1, 2).flatten(2).flatten(0, 1).unsqueeze(1)


def to_steps(values: Tensor, packed: Packed, *, reverse: bool) -> Tensor:
    """[dirs * H, tokens, G * DH] by time step from [tokens, dirs, G, H, DH] by passage."""
    sides = []
    for side in range(values.shape[1]):
        rows = packed.steps(reverse=reverse or side == 1).rows
        places = torch.cat(rows) if rows else values.new_zeros(0, dtype=torch.int64)
        sides.append(values[:, side].index_select(0, places))
    return torch.stack(sides).permute(0, 3, 1, 2, 4).flatten(3).flatten(0, 1)


def to_tokens(values: Tensor, packed: Packed, dirs: int, *, reverse: bool) -> Tensor:
    """[tokens, dirs * H * DH] by passage from [dirs * H, tokens, DH] by time step."""
    sides = values.reshape(dirs, len(values) // dirs, *values.shape[1:]).transpose(1, 2).flatten(2)
    return torch.cat(
        [
            packed.steps(reverse=reverse or side == 1).to_tokens([sides[side]])
            for side in range(dirs)
        ],
        dim=1,
    )


def to_segments(state: Tensor, packed: Packed, dirs: int) -> Tensor:
    """[N, dirs, H, DH] in the pack's order from [dirs * H, N, DH] in the order of the steps."""
    sides = state.reshape(dirs, len(state) // dirs, *state.shape[1:])
    return packed.forward_steps.to_segments(sides.permute(2, 0, 1, 3))

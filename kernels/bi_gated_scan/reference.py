"""The reference: a loop over time, both directions and all segments at each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .cells import SHAPES, decay_and_input, paragru_step, paralstm_step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from ..packing import Packed


def token_states(u: Tensor, cell: str, packed: Packed, params: Tensor) -> Tensor:
    """[tokens, D, C] from u [tokens, D, G, C] and params [D, P, C], all of one dtype."""
    if not packed.tokens:
        return u[:, :, 0]
    if SHAPES[cell].linear:
        outputs = list(_linear(u, cell, packed, params))
    else:
        walk = _paragru if cell == "paragru" else _paralstm
        outputs = list(walk(u, packed, params))
    directions = [
        packed.steps(reverse=bool(d)).to_tokens([h[:, d] for h in outputs])
        for d in range(u.shape[1])
    ]
    return torch.stack(directions, 1)


def first_of_walk(packed: Packed, *, reverse: bool) -> Tensor:
    """[tokens] bool: the token at which the walk through its segment begins."""
    first = packed.positions == 0
    # a token is its segment's last if the one after it is a first (after the last comes row 0)
    return first.roll(-1) if reverse else first


def _linear(u: Tensor, cell: str, packed: Packed, params: Tensor) -> Iterator[Tensor]:
    pairs = [
        decay_and_input(
            cell,
            u[:, d].unbind(1),
            params[d],
            first_of_walk(packed, reverse=bool(d))[:, None],
        )
        for d in range(u.shape[1])
    ]
    decays, inputs = (_by_step(torch.stack(part, 1), packed) for part in zip(*pairs, strict=True))
    h = torch.zeros_like(inputs[0])
    for a, b in zip(decays, inputs, strict=True):
        h = a * _alive(h, a) + b
        yield h


def _paragru(u: Tensor, packed: Packed, params: Tensor) -> Iterator[Tensor]:
    steps = _by_step(u, packed)
    h = torch.zeros_like(steps[0][:, :, 0])
    for gates in steps:
        h = paragru_step(gates, params, _alive(h, gates))
        yield h


def _paralstm(u: Tensor, packed: Packed, params: Tensor) -> Iterator[Tensor]:
    steps = _by_step(u, packed)
    h = c = torch.zeros_like(steps[0][:, :, 0])
    for gates in steps:
        h, c = paralstm_step(gates, params, _alive(h, gates), _alive(c, gates))
        yield h


def _by_step(x: Tensor, packed: Packed) -> tuple[Tensor, ...]:
    """x [tokens, D, ...] as one [n_t, D, ...] per step of the walks, each direction its own way."""
    walks = [x[torch.cat(packed.steps(reverse=bool(d)).rows), d] for d in range(x.shape[1])]
    return torch.split(torch.stack(walks, 1), [len(rows) for rows in packed.steps().rows])


def _alive(state: Tensor, like: Tensor) -> Tensor:
    """The rows of the segments that have this step too: steps list the longest segments first."""
    return state if len(state) == len(like) else state[: len(like)]

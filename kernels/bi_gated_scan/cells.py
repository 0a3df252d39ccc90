"""The seven cells: how many pre-activations and parameters each has, and its equations.

s is the sigmoid, sp the softplus. A cell that is linear in its state is ``decay_and_input``: all
tokens' a and b of h = a h + b at once. The other two have a step each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch.nn.functional import silu, softplus

if TYPE_CHECKING:
    from torch import Tensor

Cell: TypeAlias = Literal["mingru", "mingru_pos", "minlstm", "rglru", "hgrn", "paragru", "paralstm"]

# Griffin: the gradient of sqrt(1 - a^2) has no bound at a = 1
_STEEPEST_ROOT = 1000.0


@dataclass(frozen=True, slots=True)
class Shape:
    """gates: pre-activations per channel; parameters: rows of ``params`` per direction."""

    gates: int
    parameters: int
    linear: bool = True


SHAPES: dict[str, Shape] = {
    "mingru": Shape(2, 0),
    "mingru_pos": Shape(2, 0),
    "minlstm": Shape(3, 0),
    "rglru": Shape(3, 1),
    "hgrn": Shape(2, 1),
    "paragru": Shape(3, 3, linear=False),
    "paralstm": Shape(3, 5, linear=False),
}


def decay_and_input(
    cell: str, gates: tuple[Tensor, ...], params: Tensor, first: Tensor
) -> tuple[Tensor, Tensor]:
    """a and b of h = a h + b, each of the shape of one gate.

    gates: the pre-activations [..., C]; params [P, C] (of "rglru": sp(L)); first [..., 1] bool,
    true where a walk begins.
    """
    if cell == "rglru":
        r, i, x = gates
        log_a = -8 * torch.sigmoid(r) * params[0]
        scale = torch.where(first, 1, _bounded_root(-torch.expm1(2 * log_a)))
        return torch.where(first, 0, torch.exp(log_a)), scale * torch.sigmoid(i) * x
    z, candidate = _share_and_candidate(cell, gates, params)
    return 1 - z, z * candidate


def _share_and_candidate(
    cell: str, gates: tuple[Tensor, ...], params: Tensor
) -> tuple[Tensor, Tensor]:
    """z and c of h += z (c - h)."""
    if cell == "minlstm":
        # i / (f + i) without a division that could be 0 / 0
        forget, enter, v = gates
        return torch.sigmoid(softplus(-forget) - softplus(-enter)), v
    if cell == "hgrn":
        forget, enter = gates
        return (1 - params[0]) * torch.sigmoid(-forget), silu(enter)
    k, v = gates
    return torch.sigmoid(k), v if cell == "mingru" else _positive(v)


def paragru_step(u: Tensor, params: Tensor, h: Tensor) -> Tensor:
    """h after a token; u [n, D, 3, C] (z, r, n), params [D, 3, C], h [n, D, C]."""
    z = torch.sigmoid(params[:, 0] * h + u[:, :, 0])
    r = torch.sigmoid(params[:, 1] * h + u[:, :, 1])
    n = torch.tanh(params[:, 2] * h * r + u[:, :, 2])
    return h + z * (n - h)


def paralstm_step(u: Tensor, params: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """h and c after a token; u [n, D, 3, C] (f, c, o); params [D, 5, C] as in ``bi_gated_scan``."""
    f = torch.sigmoid(params[:, 0] * h + params[:, 1] * c + u[:, :, 0])
    n = torch.tanh(params[:, 2] * h + u[:, :, 1])
    c = n + f * (c - n)
    o = torch.sigmoid(params[:, 3] * h + params[:, 4] * c + u[:, :, 2])
    return o * torch.tanh(c), c


def _positive(v: Tensor) -> Tensor:
    return torch.where(v >= 0, v + 0.5, torch.sigmoid(v))


def _bounded_root(y: Tensor) -> Tensor:
    """sqrt(y) whose gradient is at most 1000, as 1 / sqrt(max(4 y, 1e-6))."""
    least = 1 / (4 * _STEEPEST_ROOT**2)
    straight = torch.sqrt(y.detach()) + _STEEPEST_ROOT * (y - y.detach())
    return torch.where(y > least, torch.sqrt(y.clamp_min(least)), straight)

"""Losses of vectors: each takes float32 tensors and gives one number, the mean over its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def cosine_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cos of each row with its target; both [n, dim] of unit length."""
    return 1 - (student * teacher).sum(1).mean()


def similarity_kl(left: Tensor, right: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """KL(softmax(teacher teacher^T / t) || softmax(left right^T / t)), row by row, the diagonal
    left out: whom each text is near, among the others of its batch. All [n, dim].

    left and right are the student's vectors; with the teacher's own as right, how well the
    student's passages answer the teacher's queries. 0 for fewer than two rows.
    """
    if len(left) < 2:
        return left.sum() * 0
    own = torch.eye(len(left), dtype=torch.bool, device=left.device)
    goal = (teacher @ teacher.T / temperature).masked_fill(own, -torch.inf)
    found = (left @ right.T / temperature).masked_fill(own, -torch.inf)
    goal, found = nn.functional.log_softmax(goal, 1), nn.functional.log_softmax(found, 1)
    difference = (goal - found).masked_fill(own, 0)
    return (goal.exp() * difference).sum(1).mean()


def over_dimensions(loss: Callable[..., Tensor], dims: Sequence[int], *vectors: Tensor) -> Tensor:
    """Matryoshka (Kusupati et al. 2022): the mean of ``loss`` over the whole vectors and over the
    first d components of each, brought to unit length again, for every d of ``dims``."""
    total = loss(*vectors)
    for d in dims:
        total = total + loss(*(nn.functional.normalize(x[:, :d], dim=1) for x in vectors))
    return total / (1 + len(dims))

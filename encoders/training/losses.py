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


def in_batch_nce(
    scores: Tensor,
    positives: Tensor,
    answers: Tensor,
    temperature: float,
    *,
    both_ways: bool = False,
) -> Tensor:
    """InfoNCE (van den Oord et al. 2018): each query's positive among all passages of the batch.

    scores [queries, passages]; positives [queries] int64, the column of each query's own; answers
    [queries, passages] bool, what is known to answer a query and so is no negative of it.
    both_ways: the mean with the same loss of each positive's query among the queries.
    """
    rows = torch.arange(len(scores), device=scores.device)
    others = answers.clone()
    others[rows, positives] = False
    forth = (scores / temperature).masked_fill(others, -torch.inf)
    loss = nn.functional.cross_entropy(forth, positives)
    if not both_ways:
        return loss
    others = answers[:, positives].fill_diagonal_(False)
    back = (scores[:, positives] / temperature).masked_fill(others, -torch.inf)
    return (loss + nn.functional.cross_entropy(back.T, rows)) / 2


def triplet_margin(found: Tensor, present: Tensor, margin: float) -> Tensor:
    """relu(margin - (positive's score - negative's)), the mean over all negatives; 0 without any.

    found [queries, 1 + k] scores of each query's positive and of its negatives; present
    [queries, 1 + k] bool, which of them there are. So it is with the two losses below.
    """
    short = (margin - (found[:, :1] - found[:, 1:])).relu()
    return _mean_over(short, present[:, 1:])


def margin_mse(found: Tensor, teacher: Tensor, present: Tensor) -> Tensor:
    """MarginMSE (Hofstaetter et al. 2020): the squared difference of the student's and the
    teacher's margins, positive over negative. teacher [queries, 1 + k]."""
    margins = found[:, :1] - found[:, 1:]
    return _mean_over((margins - (teacher[:, :1] - teacher[:, 1:])).square(), present[:, 1:])


def listwise_kl(found: Tensor, teacher: Tensor, present: Tensor, temperature: float) -> Tensor:
    """KL(softmax(teacher / t) || softmax(found / t)) over each query's positive and negatives, the
    mean over the queries that have a negative."""
    absent = ~present
    absent[:, 0] = False  # a row must hold something; alone, the positive's share is 1 for both
    goal = nn.functional.log_softmax((teacher / temperature).masked_fill(absent, -torch.inf), 1)
    own = nn.functional.log_softmax((found / temperature).masked_fill(absent, -torch.inf), 1)
    difference = (goal - own).masked_fill(absent, 0)
    lists = present[:, 1:].any(1)
    return _mean_over((goal.exp() * difference).sum(1), lists)


def _mean_over(values: Tensor, chosen: Tensor) -> Tensor:
    return values.masked_fill(~chosen, 0).sum() / chosen.sum().clamp(min=1)


def over_dimensions(loss: Callable[..., Tensor], dims: Sequence[int], *vectors: Tensor) -> Tensor:
    """Matryoshka (Kusupati et al. 2022): the mean of ``loss`` over the whole vectors and over the
    first d components of each, brought to unit length again, for every d of ``dims``."""
    total = loss(*vectors)
    for d in dims:
        total = total + loss(*(nn.functional.normalize(x[:, :d], dim=1) for x in vectors))
    return total / (1 + len(dims))

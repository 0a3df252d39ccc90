"""Losses over lists of candidates: each gives one number, the mean over what it compares.

All take scores [lists, n], grades [lists, n] and present [lists, n] bool; what is not present
takes no part. A grade above 0 is relevant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def pointwise(scores: Tensor, grades: Tensor, present: Tensor) -> Tensor:
    """Cross-entropy of "relevant or not", each candidate alone."""
    each = functional.binary_cross_entropy_with_logits(
        scores, (grades > 0).float(), reduction="none"
    )
    return _mean(each, present)


def hinge(scores: Tensor, grades: Tensor, present: Tensor) -> Tensor:
    """relu(1 - (better's score - worse's)) over the pairs of a list, lists counting the same."""
    return _pairwise((1 - _margins(scores)).relu(), grades, present)


def logistic(scores: Tensor, grades: Tensor, present: Tensor) -> Tensor:
    """log(1 + exp(-(better's score - worse's))): RankNet (Burges et al. 2005)."""
    return _pairwise(functional.softplus(-_margins(scores)), grades, present)


def listwise(scores: Tensor, grades: Tensor, present: Tensor) -> Tensor:
    """Cross-entropy of a list's softmax with its relevant candidates, which share the mass by
    grade: ListNet's top-one loss (Cao et al. 2007). Lists without a relevant one are left out."""
    found = functional.log_softmax(scores.masked_fill(~present, -torch.inf), 1)
    gains = grades.clamp(min=0).float() * present
    total = gains.sum(1)
    each = -(found.masked_fill(~present, 0) * gains).sum(1) / total.clamp(min=1e-12)
    return _mean(each, total > 0)


def lambdarank(scores: Tensor, grades: Tensor, present: Tensor) -> Tensor:
    """``logistic`` with each pair weighted by how much swapping it would change the list's nDCG,
    gains 2^grade - 1 (Burges 2010; Wang et al. 2018 for the loss behind the gradient)."""
    gains = (2.0 ** grades.clamp(min=0).float() - 1) * present
    places = torch.arange(scores.shape[1], device=scores.device)
    discounts = 1 / torch.log2(places + 2.0)
    best = (gains.sort(1, descending=True).values * discounts).sum(1).clamp(min=1e-12)
    order = scores.detach().masked_fill(~present, -torch.inf).argsort(1, descending=True)
    ranks = torch.empty_like(order).scatter_(1, order, places.expand_as(order))
    own = discounts[ranks]
    change = (gains[:, :, None] - gains[:, None, :]).abs()
    change = change * (own[:, :, None] - own[:, None, :]).abs() / best[:, None, None]
    each = functional.softplus(-_margins(scores)) * change
    better = _better(grades, present)
    lists = better.flatten(1).any(1)
    return _mean(each.masked_fill(~better, 0).sum((1, 2)), lists)


def margin_mse(teacher: Tensor) -> Loss:
    """MarginMSE (Hofstaetter et al. 2020): the squared difference of the model's and the
    teacher's margins, over the pairs of a list; teacher [lists, n] its scores."""

    def loss(scores: Tensor, grades: Tensor, present: Tensor) -> Tensor:
        return _pairwise((_margins(scores) - _margins(teacher)).square(), grades, present)

    return loss


LOSSES: dict[str, Loss] = {
    "pointwise": pointwise,
    "hinge": hinge,
    "logistic": logistic,
    "listwise": listwise,
    "lambdarank": lambdarank,
}
MARGIN_MSE = "margin-mse"


def _margins(scores: Tensor) -> Tensor:
    """[lists, n, n]: score of the row's candidate minus that of the column's."""
    return scores[:, :, None] - scores[:, None, :]


def _better(grades: Tensor, present: Tensor) -> Tensor:
    """[lists, n, n] bool: both are there, and the row's candidate has the higher grade."""
    both = present[:, :, None] & present[:, None, :]
    return both & (grades[:, :, None] > grades[:, None, :])


def _pairwise(each: Tensor, grades: Tensor, present: Tensor) -> Tensor:
    """The mean over a list's pairs, then over the lists that have one."""
    better = _better(grades, present)
    number = better.sum((1, 2))
    sums = each.masked_fill(~better, 0).sum((1, 2))
    return _mean(sums / number.clamp(min=1), number > 0)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    return values.masked_fill(~chosen, 0).sum() / chosen.sum().clamp(min=1)

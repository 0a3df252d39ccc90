"""Losses over lists, each against a plain loop, and what none of them may depend on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.rerank.training.losses import LOSSES, margin_mse

if TYPE_CHECKING:
    from collections.abc import Callable

Lists = list[tuple[list[float], list[int]]]

LISTS: Lists = [
    ([0.3, -1.2, 2.0], [1, 0, 0]),
    ([0.5, 0.4], [0, 2]),
    ([1.0, 0.1, -0.7, 0.2], [2, 0, 1, 0]),
]


def padded(lists: Lists, fill: float = 99.0) -> tuple[torch.Tensor, ...]:
    """scores, grades, present; behind a list's end stand numbers that would be seen."""
    most = max(len(scores) for scores, _ in lists)
    scores = [own + [fill] * (most - len(own)) for own, _ in lists]
    grades = [own + [3] * (most - len(own)) for _, own in lists]
    present = [[place < len(own) for place in range(most)] for own, _ in lists]
    return torch.tensor(scores), torch.tensor(grades), torch.tensor(present)


def pairs_of(grades: list[int]) -> list[tuple[int, int]]:
    """(better, worse) of a list."""
    places = range(len(grades))
    return [(i, j) for i in places for j in places if grades[i] > grades[j]]


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def loop_pointwise(lists: Lists) -> float:
    each = [
        softplus(-s) if g > 0 else softplus(s)
        for scores, grades in lists
        for s, g in zip(scores, grades, strict=True)
    ]
    return mean(each)


def loop_pairwise(each: Callable[[float], float]) -> Callable[[Lists], float]:
    return lambda lists: mean([mean([each(s[i] - s[j]) for i, j in pairs_of(g)]) for s, g in lists])


def loop_listwise(lists: Lists) -> float:
    found = []
    for scores, grades in lists:
        total = math.log(sum(map(math.exp, scores)))
        gains = [-(s - total) * g for s, g in zip(scores, grades, strict=True)]
        found.append(sum(gains) / sum(grades))
    return mean(found)


def loop_lambdarank(lists: Lists) -> float:
    found = []
    for scores, grades in lists:
        order = sorted(range(len(scores)), key=lambda place: -scores[place])
        discount = {place: 1 / math.log2(rank + 2) for rank, place in enumerate(order)}
        gains = [2**grade - 1 for grade in grades]
        ideal = sorted(gains, reverse=True)
        best = sum(gain / math.log2(rank + 2) for rank, gain in enumerate(ideal))
        found.append(
            sum(
                softplus(scores[j] - scores[i])
                * (gains[i] - gains[j])
                * abs(discount[i] - discount[j])
                / best
                for i, j in pairs_of(grades)
            )
        )
    return mean(found)


ORACLES: dict[str, Callable[[Lists], float]] = {
    "pointwise": loop_pointwise,
    "hinge": loop_pairwise(lambda margin: max(0.0, 1 - margin)),
    "logistic": loop_pairwise(lambda margin: softplus(-margin)),
    "listwise": loop_listwise,
    "lambdarank": loop_lambdarank,
}


@pytest.mark.parametrize("name", LOSSES)
class TestEveryLoss:
    def test_it_is_what_a_plain_loop_says(self, name: str) -> None:
        assert float(LOSSES[name](*padded(LISTS))) == pytest.approx(ORACLES[name](LISTS), rel=1e-5)

    @settings(max_examples=25, deadline=None)
    @given(st.permutations(range(4)))
    def test_the_order_of_candidates_does_not_matter(self, name: str, order: list[int]) -> None:
        scores, grades = LISTS[2]
        moved = [([scores[i] for i in order], [grades[i] for i in order])]
        found = LOSSES[name](*padded(moved))
        assert float(found) == pytest.approx(float(LOSSES[name](*padded([LISTS[2]]))), rel=1e-5)

    def test_what_is_not_there_takes_no_part(self, name: str) -> None:
        loss = LOSSES[name]
        scores, grades, present = padded(LISTS)
        scores.requires_grad_()
        loss(scores, grades, present).backward()
        assert torch.isfinite(scores.grad).all()  # type: ignore[arg-type]
        assert not scores.grad[~present].any()  # type: ignore[index]

    def test_a_step_down_ranks_better(self, name: str) -> None:
        scores, grades, present = padded(LISTS)
        scores.requires_grad_()
        before = LOSSES[name](scores, grades, present)
        before.backward()
        with torch.no_grad():
            after = LOSSES[name](scores - 0.1 * scores.grad, grades, present)  # type: ignore[operator]
        assert float(after) < float(before.detach())


@pytest.mark.parametrize("name", sorted(LOSSES.keys() - {"pointwise"}))
def test_a_list_of_one_grade_is_left_out(name: str) -> None:
    """But for the loss that looks at each candidate alone."""
    more = [*LISTS, ([0.1, 0.2], [0, 0])]
    expected = float(LOSSES[name](*padded(LISTS)))
    assert float(LOSSES[name](*padded(more))) == pytest.approx(expected)


class TestMarginMse:
    def test_by_hand(self) -> None:
        scores, grades, present = padded([([1.0, 0.5, 0.0], [1, 0, 0])])
        teacher = torch.tensor([[3.0, 2.0, 2.5]])
        # margins 0.5 and 1.0 against the teacher's 1.0 and 0.5
        assert float(margin_mse(teacher)(scores, grades, present)) == pytest.approx(0.25)

    def test_a_perfect_copy_up_to_a_shift_is_free(self) -> None:
        scores, grades, present = padded(LISTS)
        assert float(margin_mse(scores + 5)(scores, grades, present)) == pytest.approx(0, abs=1e-9)

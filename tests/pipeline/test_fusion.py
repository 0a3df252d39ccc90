"""Fusion against sums worked by hand, and what holds for any two rankings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.core.errors import BadArguments
from tamis.core.records import Query, Ranking
from tamis.core.topk import best_first
from tamis.pipeline.fusion import METHODS, fuse, tune_dense_weight

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

QUERY = Query("q", "?")


def ranking(scores: Mapping[int, float]) -> Ranking:
    rows, values = best_first(
        np.array(list(scores), np.int64), np.array(list(scores.values()), np.float32)
    )
    return Ranking(QUERY, rows, values)


def fused(
    method: str,
    dense: Mapping[int, float],
    lexical: Mapping[int, float],
    weights: Mapping[str, float] | None = None,
) -> dict[int, float]:
    both = {"dense": ranking(dense), "lexical": ranking(lexical)}
    found = fuse(method, both, weights)
    assert found.scores.dtype == np.float32
    return dict(zip(found.rows.tolist(), found.scores.tolist(), strict=True))


def test_reciprocal_ranks_by_hand() -> None:
    found = fused("rrf", {7: 0.9, 3: 0.8, 5: 0.1}, {3: 12.0, 9: 4.0})
    assert list(found) == [3, 7, 9, 5]
    assert found[3] == pytest.approx(1 / 62 + 1 / 61, rel=1e-6)
    assert found[7] == pytest.approx(1 / 61, rel=1e-6)
    assert found[9] == pytest.approx(1 / 62, rel=1e-6)
    assert found[5] == pytest.approx(1 / 63, rel=1e-6)


def test_reciprocal_ranks_with_weights() -> None:
    found = fused("rrf", {7: 0.9}, {3: 12.0}, {"dense": 0.5, "lexical": 2.0})
    assert found == {3: pytest.approx(2 / 61), 7: pytest.approx(0.5 / 61)}


def test_minmax_by_hand() -> None:
    found = fused("minmax", {7: 0.9, 3: 0.8, 5: 0.4}, {3: 12.0, 9: 4.0, 7: 6.0})
    assert list(found) == [3, 7, 5, 9]  # 5 and 9 are last in theirs, and tie at 0
    assert found[3] == pytest.approx(0.8 + 1)
    assert found[7] == pytest.approx(1 + 0.25)
    assert found[5] == found[9] == 0


def test_zscore_by_hand() -> None:
    found = fused("zscore", {1: 3.0, 2: 2.0, 3: 1.0}, {2: 10.0, 4: 20.0})
    unit = math.sqrt(2 / 3)
    assert found[1] == pytest.approx(1 / unit - 1)  # absent from lexical: its lowest, -1
    assert found[2] == pytest.approx(0 - 1, abs=1e-6)
    assert found[3] == pytest.approx(-1 / unit - 1)
    assert found[4] == pytest.approx(-1 / unit + 1)
    assert list(found) == [1, 4, 2, 3]


@pytest.mark.parametrize(("method", "present", "absent"), [("minmax", 1, 0), ("zscore", 0, -1)])
@pytest.mark.parametrize("scores", [{4: 0.5}, {4: 0.5, 8: 0.5}])
def test_without_spread_rows_differ_from_absent_ones_only(
    method: str, present: float, absent: float, scores: dict[int, float]
) -> None:
    found = fused(method, scores, {1: 1.0})
    assert {found[row] for row in scores} == {present + absent}
    assert found[1] == present + absent


@pytest.mark.parametrize("method", METHODS)
def test_one_side_empty_is_the_other_in_its_order(method: str) -> None:
    found = fused(method, {}, {5: 3.0, 2: 2.0, 9: 1.0})
    assert list(found) == [5, 2, 9]
    assert all(map(math.isfinite, found.values()))
    assert fused(method, {}, {}) == {}


def test_stages_keep_what_each_thought() -> None:
    found = fuse("rrf", {"dense": ranking({7: 0.5, 3: 0.25}), "lexical": ranking({3: 12.0})})
    assert found.rows.tolist() == [3, 7]
    assert found.stages["dense"].tolist() == [0.25, 0.5]
    assert found.stages["lexical"][0] == 12
    assert np.isnan(found.stages["lexical"][1])


def test_what_cannot_be_fused() -> None:
    with pytest.raises(BadArguments, match="known: rrf, minmax, zscore"):
        fused("magic", {1: 1.0}, {})
    for weights in ({"dense": -1}, {"dense": math.nan}, {"dense": math.inf}):
        with pytest.raises(BadArguments, match="finite, >= 0 and not all 0"):
            fused("rrf", {1: 1.0}, {}, weights)
    with pytest.raises(BadArguments, match="not all 0"):
        fused("rrf", {1: 1.0}, {}, {"dense": 0, "lexical": 0})
    with pytest.raises(BadArguments, match="weights for sparse"):
        fused("rrf", {1: 1.0}, {}, {"sparse": 1})


# Scores far enough apart that scaling them to float32 makes no new ties.
sides = st.dictionaries(
    st.integers(0, 30), st.integers(-100, 100).map(lambda n: n / 8), max_size=15
)


@settings(max_examples=200)
@given(sides, sides, st.sampled_from(list(METHODS)), st.floats(0, 1), st.booleans())
def test_any_two_rankings(
    dense: dict[int, float], lexical: dict[int, float], method: str, weight: float, alone: bool
) -> None:
    weights = {"dense": weight, "lexical": 1 - weight}
    found = fused(method, dense, lexical, weights)
    assert set(found) == dense.keys() | lexical.keys()
    values = list(found.items())
    assert values == sorted(values, key=lambda pair: (-pair[1], pair[0]))
    side, chosen = (dense, "dense") if alone else (lexical, "lexical")
    only = {"dense": 0.0, "lexical": 0.0, chosen: 1.0}
    order = [row for row in fused(method, dense, lexical, only) if row in side]
    assert order == ranking(side).rows.tolist()


@settings(max_examples=100)
@given(sides, sides, st.sampled_from(["minmax", "zscore"]))
def test_the_scale_of_a_side_does_not_matter(
    dense: dict[int, float], lexical: dict[int, float], method: str
) -> None:
    shifted = {row: 4 * score + 16 for row, score in lexical.items()}
    found, moved = fused(method, dense, lexical), fused(method, dense, shifted)
    assert found.keys() == moved.keys()
    assert all(moved[row] == pytest.approx(score, abs=1e-5) for row, score in found.items())


class TestTuning:
    dense = (ranking({1: 3.0, 2: 2.0, 3: 1.0}),)
    lexical = (ranking({3: 9.0, 2: 5.0, 1: 1.0}),)

    def weight(self, quality: dict[int, float], steps: int = 10) -> float:
        """The best weight when quality is that of the first row."""
        tried: list[float] = []

        def judge(rankings: Sequence[Ranking]) -> float:
            tried.append(len(rankings))
            return quality[int(rankings[0].rows[0])]

        best = tune_dense_weight("minmax", self.dense, self.lexical, judge, steps)
        assert tried == [1] * (steps + 1)
        return best

    def test_dense_is_better(self) -> None:
        assert self.weight({1: 1.0, 2: 0.0, 3: 0.0}) == 0.5  # row 1 leads from one half on: a tie
        assert self.weight({1: 1.0, 2: 0.0, 3: 2.0}) == 0.4

    def test_all_equal_takes_the_middle(self) -> None:
        assert self.weight({1: 1.0, 2: 1.0, 3: 1.0}) == 0.5
        assert self.weight({1: 1.0, 2: 1.0, 3: 1.0}, steps=3) in (1 / 3, 2 / 3)

    def test_the_ends_are_tried(self) -> None:
        def ends(which: float) -> float:
            def judge(rankings: Sequence[Ranking]) -> float:
                first, last = rankings[0].scores[[0, -1]].tolist()
                lead = float(rankings[0].rows[0])
                return float((first, last) == (1, 0)) + (lead == which)

            return tune_dense_weight("minmax", self.dense, self.lexical, judge)

        assert ends(1) == 1.0
        assert ends(3) == 0.0

"""Thresholds of a cold tier: how many queries lie below one, and the fewest that recall needs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.core.errors import BadArguments
from tamis.core.records import Query, Ranking
from tamis.pipeline.cold.thresholds import fewest, rule, thresholds_by_share

SURE = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=12).map(np.array)


def below(found: dict[str, object], sure: np.ndarray) -> int:
    threshold = found["threshold"]
    return 0 if threshold is None else int((sure <= threshold).sum())


@given(sure=SURE, data=st.data())
def test_a_rule_sends_as_many_as_asked_or_fewer_where_queries_are_equal(
    sure: np.ndarray, data: st.DataObject
) -> None:
    asked = data.draw(st.integers(0, len(sure)))
    found = rule("dense", sure, asked, "dev")
    sent = below(found, sure)
    assert sent <= asked
    assert found["share"] == sent / len(sure)
    if asked < len(sure) and sent < asked:
        ordered = np.sort(sure)
        assert ordered[sent] == ordered[asked]  # one more would send too many


def test_a_threshold_lies_between_two_queries() -> None:
    sure = np.array([0.5, 0.1, 0.9, 0.3])
    assert rule("dense", sure, 2, "dev")["threshold"] == pytest.approx(0.4)
    assert rule("dense", sure, 4, "dev")["threshold"] == 0.9
    assert rule("dense", sure, 0, "dev")["threshold"] is None


@given(sure=SURE, target=st.sampled_from([0.5, 0.8, 0.99, 1.0]), data=st.data())
def test_the_fewest_reach_the_target_and_one_group_less_does_not(
    sure: np.ndarray, target: float, data: st.DataObject
) -> None:
    n = len(sure)
    shares = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=n, max_size=n).map(np.array)
    hot, whole = data.draw(shares), data.draw(shares)

    def reached(threshold: float) -> bool:
        values = np.where(sure <= threshold, whole, hot)
        return bool(values.sum() >= target * whole.sum() - 1e-9)

    count = fewest(sure, hot, whole, target, n)
    levels = [-1.0, *np.unique(sure).tolist()]
    good = [int((sure <= level).sum()) for level in levels if reached(level)]
    assert count == min(good)
    assert below(rule("dense", sure, count, "dev"), sure) == count
    assert fewest(sure, hot, whole, target, 0) == 0


@pytest.mark.parametrize("target", [0, 1.5, float("nan")])
def test_a_target_is_a_share(target: float) -> None:
    one = np.ones(1)
    with pytest.raises(BadArguments, match="above 0, at most 1"):
        fewest(one, one, one, target, 1)


def test_a_share_of_the_questions_lies_below_by_the_difference_to_the_cold_tier() -> None:
    scores = np.arange(80, dtype=np.float32) + 1
    found = [Ranking(Query(str(n), "?"), np.array([0]), scores[n : n + 1]) for n in range(80)]
    below = {"dense": np.full(80, 2.0), "lexical": np.zeros(80)}
    [dense] = thresholds_by_share({"dense": found}, below, "made").values()
    assert (dense["queries"], dense["share"], dense["threshold"]) == (80, 0.3, 22.5)
    both = thresholds_by_share({"dense": found, "lexical": found}, below, "made")
    assert {mode: each["threshold"] for mode, each in both.items()} == {
        "dense": 22.5,
        "lexical": None,  # all are equally sure
        "hybrid": 23,
    }
    assert {each["source"] for each in both.values()} == {"made"}

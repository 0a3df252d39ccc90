"""What a ranker learns from: which candidates, which grades, which batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.core.errors import BadData
from tamis.core.records import Passage, Query
from tamis.rerank.training.lists import (
    batches_per_epoch,
    epoch_batches,
    graded_lists,
    judged_candidates,
)

PASSAGES = {name: Passage(name, f"text of {name}") for name in "abcdef"}
QUERIES = [Query("1", "one"), Query("2", "two"), Query("3", "three")]
JUDGED = {"1": {"a": 1, "b": 0}, "2": {"c": 0, "d": 0}, "3": {"e": 2, "gone": 1, "f": -1}}
FOUND = {"1": ["f", "e", "d"], "2": ["a"], "3": ["c", "b"]}


def first_stage(queries: list[Query]) -> list[list[str]]:
    return [FOUND[query.id] for query in queries]


def seen(lists: list) -> dict[str, dict[str, int]]:
    return {
        each.query.id: dict(zip([p.id for p in each.passages], each.grades.tolist(), strict=True))
        for each in lists
    }


def test_judged_candidates_of_queries_that_have_a_relevant_one() -> None:
    lists = graded_lists(QUERIES, JUDGED, judged_candidates(JUDGED), PASSAGES)
    assert seen(lists) == {"1": {"a": 1, "b": 0}, "3": {"e": 2, "f": 0}}


def test_a_first_stage_gives_negatives_and_relevant_ones_join() -> None:
    lists = graded_lists(QUERIES, JUDGED, first_stage, PASSAGES, depth=2)
    assert seen(lists) == {"1": {"a": 1, "e": 0, "f": 0}, "3": {"b": 0, "c": 0, "e": 2}}


def test_to_measure_only_what_was_found_is_there() -> None:
    lists = graded_lists(QUERIES, JUDGED, first_stage, PASSAGES, add_relevant=False)
    assert seen(lists) == {"1": {"d": 0, "e": 0, "f": 0}, "3": {"b": 0, "c": 0}}


def test_nothing_to_learn_is_refused() -> None:
    with pytest.raises(BadData, match="none has candidates"):
        graded_lists(QUERIES[1:2], JUDGED, first_stage, PASSAGES)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=40), st.integers(1, 800), st.integers(0, 3)
)
def test_an_epoch_sees_every_list_once(sizes: list[int], budget: int, epoch: int) -> None:
    lengths = np.array(sizes, np.int64)
    batches = list(epoch_batches(lengths, budget, 7, epoch))
    assert len(batches) == batches_per_epoch(lengths, budget)
    assert all(len(batch) for batch in batches)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(sizes)))


def test_batches_are_near_their_budget_and_differ_by_epoch() -> None:
    lengths = np.full(100, 10, np.int64)
    one, other = (list(epoch_batches(lengths, 100, 7, epoch)) for epoch in (0, 1))
    assert [len(batch) for batch in one] == [10] * 10
    assert one[0].tolist() != other[0].tolist()
    again = list(epoch_batches(lengths, 100, 7, 0))
    assert [batch.tolist() for batch in again] == [batch.tolist() for batch in one]

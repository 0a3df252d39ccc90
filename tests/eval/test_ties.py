"""Equal scores get one order."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.core.errors import BadArguments, BadData
from tamis.eval.ties import settle_ties, tied

TIED = {"q": {"b": 1.0, "9": 2.0, "10": 2.0, "c": 1.0, "a": 1.0, "z": 0.5}}


@pytest.mark.parametrize(
    ("rule", "order"),
    [("trec", ["9", "10", "c", "b", "a", "z"]), ("msmarco", ["10", "9", "a", "b", "c", "z"])],
)
def test_ids_are_compared_as_text_in_the_direction_of_the_rule(rule: str, order: list[str]) -> None:
    settled = settle_ties(TIED, rule)["q"]
    assert list(settled) == order
    assert list(settled.values()) == [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]


def test_trec_is_the_default() -> None:
    assert settle_ties(TIED) == settle_ties(TIED, "trec") != settle_ties(TIED, "msmarco")


def test_scores_that_only_float32_confuses_are_not_tied() -> None:
    """A tool that keeps scores in float32 would order these two by id."""
    close = {"q": {"a": 1.0 + 1e-12, "b": 1.0}}
    assert list(settle_ties(close, "trec")["q"]) == ["a", "b"]


def test_error_names_a_query_and_counts() -> None:
    run = {"2": {"a": 1.0, "b": 0.0}, **TIED, "r": {"a": 0.0, "b": 0.0}}
    with pytest.raises(BadData, match=r"query 'q' has 5 candidates .* 2 of 3 queries"):
        settle_ties(run, "error")


def test_error_lets_a_strict_order_pass() -> None:
    assert settle_ties({"q": {"a": 1.0, "b": 2.0}}, "error") == {"q": {"b": 2.0, "a": 1.0}}


def test_an_unknown_rule_lists_the_known_ones() -> None:
    with pytest.raises(BadArguments, match="'random'; known: trec, msmarco, error"):
        settle_ties(TIED, "random")


def test_tied_counts_candidates_not_groups() -> None:
    assert tied(TIED["q"]) == 5
    assert tied({"a": 1.0, "b": 2.0}) == 0
    assert tied({}) == 0


@given(st.dictionaries(st.text(min_size=1), st.integers(0, 3).map(float)), st.randoms())
def test_the_order_of_insertion_never_counts(scores: dict[str, float], random: object) -> None:
    shuffled = list(scores.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for rule in ("trec", "msmarco"):
        first = settle_ties({"q": scores}, rule)["q"]
        assert list(first.items()) == list(settle_ties({"q": dict(shuffled)}, rule)["q"].items())
        assert sorted(first) == sorted(scores)
        order = list(first)
        for left, right in pairwise(order):
            assert scores[left] >= scores[right]
            if scores[left] == scores[right]:
                assert (left > right) == (rule == "trec")

"""Windows over long passages: nothing between them is lost, and scores combine as they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.core.errors import BadArguments
from tamis.core.protocols import Candidates
from tamis.core.records import Passage, Query, Ranking
from tamis.rerank.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Sequence


def candidates(texts: Sequence[str]) -> Candidates:
    n = len(texts)
    ranking = Ranking(Query("q", "?"), np.arange(n, dtype=np.int64), np.zeros(n, np.float32))
    return Candidates(ranking, [Passage(f"p{i}", text, "of") for i, text in enumerate(texts)])


def sum_of_numbers(batch: Sequence[Candidates]) -> list[np.ndarray]:
    """A reranker whose score is the sum of the numbers in a text."""
    return [
        np.array([sum(map(int, p.text.split())) for p in each.passages], np.float32)
        for each in batch
    ]


def test_by_hand() -> None:
    texts = [window.text for window in Windows(4, 2).of(Passage("p", "a b  c\td e f\ng", "of"))]
    assert texts == ["a b  c\td", "c\td e f", "d e f\ng"]


@pytest.mark.parametrize(
    ("combine", "expected"), [("max", [9, 3, 0]), ("first", [3, 3, 0]), ("sum", [17, 3, 0])]
)
def test_scores_of_windows_become_one(combine: str, expected: list[int]) -> None:
    batch = [candidates(["1 2 3 4 5", "1 2", "0"]), candidates([]), candidates(["7"])]
    found = Windows(2, 1 if combine != "sum" else 2, combine).score(batch, sum_of_numbers)
    # sum: 1 2 | 3 4 | 4 5; max: 4 5; first: 1 2
    expected = [1 + 2 + 3 + 4 + 4 + 5, 3, 0] if combine == "sum" else expected
    assert [scores.tolist() for scores in found] == [expected, [], [7]]
    assert all(scores.dtype == np.float32 for scores in found)


@pytest.mark.parametrize("combine", ["max", "first", "sum"])
def test_one_window_is_no_window(combine: str) -> None:
    batch = [candidates([" 1 2 3  4 5\n", "  6 7 \n", ""])]
    seen: list[str] = []

    def score(given: Sequence[Candidates]) -> list[np.ndarray]:
        seen.extend(passage.full_text for each in given for passage in each.passages)
        return sum_of_numbers(given)

    found = Windows(5, 2, combine).score(batch, score)
    assert found[0].tolist() == Windows().score(batch, sum_of_numbers)[0].tolist() == [15, 13, 0]
    assert seen == ["of  1 2 3  4 5\n", "of   6 7 \n", "of "]


@given(st.integers(0, 40), st.integers(1, 12), st.data())
def test_every_word_is_in_a_window_and_the_title_in_all(
    n: int, words: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(0, words))
    text = " ".join(map(str, range(n)))
    found = Windows(words, stride).of(Passage("p", text, "title"))
    parts = [window.text.split() for window in found]
    assert all(len(part) <= words for part in parts)
    assert {word for part in parts for word in part} == set(text.split())
    assert parts[-1][-1:] == text.split()[-1:]
    assert all(window.title == "title" and window.id == "p" for window in found)
    assert len({window.text for window in found}) == len(found)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"words": -1}, "words is -1"),
        ({"words": 4, "stride": 5}, "stride is 5 and words 4"),
        ({"stride": 3}, "stride is 3 and words 0"),
        ({"words": 4, "combine": "mean"}, "'mean'; expected max, first, sum"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(BadArguments, match=told):
        Windows(**options)

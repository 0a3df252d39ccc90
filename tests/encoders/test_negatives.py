"""Hard negatives: what may be one, and what must not."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.core.errors import BadArguments, BadData
from tamis.encoders.training import negatives
from tamis.encoders.training.negatives import (
    NegativeRule,
    Unmined,
    in_turns,
    with_negatives,
)
from tamis.encoders.training.pairs import Pair

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tamis.core.records import Float32Array, Int64Array
    from tamis.encoders.training.negatives import Score
    from tamis.encoders.training.questions.synthetic_questions import Search

TEXTS = ["zero", "one", "two", "three", "four", "five", "six", "seven"]
ALL = NegativeRule(count=10, last=10)


def ranking(*rows: int) -> Search:
    def mine(queries: Sequence[str], depth: int) -> list[Int64Array]:
        return [np.array(rows[:depth], np.int64) for _ in queries]

    return mine


def scoring(of: Mapping[str, float]) -> Score:
    def score(queries: Sequence[str], texts: Sequence[str]) -> Float32Array:
        assert len(queries) == len(texts)
        return np.array([of[text] for text in texts], np.float32)

    return score


def one(
    rule: NegativeRule,
    mine: Search,
    score: Score | None = None,
    *,
    answers: tuple[int, ...] = (2,),
    positive: str = "two",
    texts: Sequence[str] = TEXTS,
    counts: Counter[str] | None = None,
) -> Pair:
    found = with_negatives([Unmined("q", positive, answers)], texts, mine, rule, 0, score, counts)
    (pair,) = found
    return pair


def test_candidates_come_in_their_order_without_the_positive() -> None:
    assert one(ALL, ranking(4, 2, 0, 7)) == Pair("q", "two", ("four", "zero", "seven"))


def test_known_answers_are_no_negatives_and_have_no_rank() -> None:
    pair = one(NegativeRule(count=9, first=1, last=3), ranking(2, 4, 3, 0, 7, 1), answers=(2, 3))
    assert pair.negatives == ("zero", "seven")


def test_a_positive_that_is_no_passage_keeps_its_source_out() -> None:
    pair = one(ALL, ranking(2, 4), positive="a part of two")
    assert pair.negatives == ("four",)


def test_the_same_words_are_the_same_passage() -> None:
    texts = ["Two ", "tWO", "answer", "Answer", "four", "FOUR", " ", "six"]
    pair = one(ALL, ranking(0, 1, 3, 4, 5, 6, 7), answers=(2,), positive="two", texts=texts)
    assert pair.negatives == ("four", "six")


def test_the_teacher_leaves_out_what_may_be_an_answer() -> None:
    teacher = scoring({"two": 0.8, "zero": 0.81, "one": 0.77, "three": 0.759, "four": 0.2})
    counts: Counter[str] = Counter()
    pair = one(ALL, ranking(0, 1, 3, 4), teacher, counts=counts)
    assert pair.negatives == ("three", "four")
    assert pair.scores == pytest.approx((0.8, 0.759, 0.2))
    assert counts["candidates"] == 4
    assert counts["false negatives"] == 2


def test_margin_and_ratio_both_bind() -> None:
    rule = NegativeRule(margin=0.3, ratio=0.9)
    assert rule.threshold(1.0) == pytest.approx(0.7)
    assert rule.threshold(10.0) == pytest.approx(9.0)
    assert rule.threshold(-10.0) == pytest.approx(-11.0)
    assert NegativeRule(ratio=1.0).threshold(0.5) == 0.5


def test_counts_say_how_it_went() -> None:
    counts: Counter[str] = Counter()
    teacher = scoring(dict.fromkeys(TEXTS, 0.5) | {"two": 1.0})
    one(NegativeRule(count=2, last=10), ranking(4, 5), teacher, counts=counts)
    one(NegativeRule(count=3, last=10), ranking(4, 5), teacher, counts=counts)
    one(NegativeRule(count=3, last=10), ranking(2), teacher, counts=counts)
    assert +counts == {
        "candidates": 4,
        "pairs": 3,
        "pairs with fewer negatives": 1,
        "pairs without negatives": 1,
    }


def test_mining_is_asked_as_deep_as_it_takes() -> None:
    asked = []

    def mine(queries: Sequence[str], depth: int) -> list[Int64Array]:
        asked.append(depth)
        return [np.arange(depth) for _ in queries]

    one(NegativeRule(count=1, last=3), mine, answers=(0, 1, 2))
    one(NegativeRule(count=1, last=100), mine)
    assert asked == [6, len(TEXTS)]


def test_a_neighbour_with_more_answers_changes_nothing() -> None:
    texts = ["two", "a", "a", "b", "c", "d"]
    rule = NegativeRule(count=9, last=2)
    one_answer, four = Unmined("q", "two", (0,)), Unmined("r", "two", (0, 3, 4, 5))
    mine = ranking(1, 2, 0, 3, 4, 5)
    (alone,) = with_negatives([one_answer], texts, mine, rule, 0)
    assert next(with_negatives([one_answer, four], texts, mine, rule, 0)) == alone


@pytest.mark.parametrize("found", [[0.1], [[0.1, 0.2]], [0.1, float("nan")]])
def test_a_teacher_that_gives_no_number_a_text_is_refused(found: list[float]) -> None:
    with pytest.raises(BadData, match="one finite number a text"):
        one(ALL, ranking(4), lambda _queries, _texts: np.array(found, np.float32))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"count": 0}, "negatives is 0"),
        ({"first": 5, "last": 5}, "ranks 5 to 5"),
        ({"first": -1}, "ranks -1 to 100"),
        ({"margin": -0.1}, "margin is -0.1"),
        ({"margin": float("nan")}, "margin is nan"),
        ({"ratio": 0.0}, "ratio is 0.0"),
        ({"ratio": 1.2}, "ratio is 1.2"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(options: dict[str, float], says: str) -> None:
    with pytest.raises(BadArguments, match=says):
        NegativeRule(**options)  # type: ignore[arg-type]


def test_searches_take_turns() -> None:
    both = in_turns([ranking(1, 2, 3), ranking(3, 4, 5, 6)])
    assert [rows.tolist() for rows in both(["q", "r"], 4)] == [[1, 3, 2, 4]] * 2
    assert both(["q"], 9)[0].tolist() == [1, 3, 2, 4, 5, 6]
    assert in_turns([ranking(7, 1), ranking()])(["q"], 9)[0].tolist() == [7, 1]


def test_draws_are_even_over_the_ranks() -> None:
    unmined = [Unmined(f"q{number}", "two", (2,)) for number in range(2000)]
    rule = NegativeRule(count=2, first=1, last=5)
    counts = Counter(
        text
        for pair in with_negatives(unmined, TEXTS, ranking(7, 6, 5, 4, 3, 1), rule, 0)
        for text in pair.negatives
    )
    assert set(counts) == {"six", "five", "four", "three"}
    assert all(abs(count / 2000 - 0.5) < 0.06 for count in counts.values())


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Unmined], list[str], Search, Score, NegativeRule]:
    """Queries over a few texts, some of them alike, with any rankings and any teacher."""
    number = draw(st.integers(1, 12))
    texts = draw(st.lists(st.sampled_from("abcdefgh "), min_size=number, max_size=number))
    rows = st.lists(st.integers(0, number - 1), unique=True, max_size=number)
    ranked = draw(st.dictionaries(st.sampled_from("xyz"), rows, min_size=3))
    scores = draw(st.lists(st.floats(-2, 2, width=32), min_size=10, max_size=10))
    unmined = [
        Unmined(query, draw(st.sampled_from("abcdefghp")), tuple(draw(rows)[:3]))
        for query in ranked
    ]
    rule = NegativeRule(
        draw(st.integers(1, 4)),
        first := draw(st.integers(0, 3)),
        first + draw(st.integers(1, 8)),
        draw(st.floats(0, 1)),
        draw(st.floats(0.1, 1)),
    )
    teacher = scoring(dict(zip("abcdefghp ", map(float, scores), strict=True)))

    def mine(queries: Sequence[str], depth: int) -> list[Int64Array]:
        return [np.array(ranked[query][:depth], np.int64) for query in queries]

    return unmined, texts, mine, teacher, rule


@given(worlds(), st.integers(0, 3))
def test_no_answer_is_a_negative_and_the_margin_is_kept(
    world: tuple[list[Unmined], list[str], Search, Score, NegativeRule], seed: int
) -> None:
    unmined, texts, mine, teacher, rule = world
    made = list(with_negatives(unmined, texts, mine, rule, seed, teacher))
    assert [(pair.query, pair.positive) for pair in made] == [
        (each.query, each.positive) for each in unmined
    ]
    for each, pair in zip(unmined, made, strict=True):
        told = {each.positive, *(texts[row] for row in each.answers)}
        assert not told & set(pair.negatives)
        assert len(set(pair.negatives)) == len(pair.negatives) <= rule.count
        assert all(text.strip() for text in pair.negatives)
        expected = teacher([each.query] * len(pair.scores), [each.positive, *pair.negatives])
        assert list(pair.scores) == expected.tolist()
        assert all(score <= rule.threshold(pair.scores[0]) for score in pair.scores[1:])


@given(worlds(), st.integers(0, 3))
def test_the_same_seed_gives_the_same_whatever_stands_beside(
    world: tuple[list[Unmined], list[str], Search, Score, NegativeRule], seed: int
) -> None:
    unmined, texts, mine, teacher, rule = world
    together = list(with_negatives(unmined, texts, mine, rule, seed, teacher))
    alone = [
        next(with_negatives([each], texts, mine, rule, seed, teacher)) for each in unmined[::-1]
    ]
    assert together == alone[::-1]


def test_pieces_of_the_work_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    unmined = [Unmined(f"q{number}", "two", (2,)) for number in range(7)]
    rule = NegativeRule(count=2)
    whole = list(with_negatives(unmined, TEXTS, ranking(*range(8)), rule, 1))
    monkeypatch.setattr(negatives, "_TOGETHER", 3)
    assert list(with_negatives(unmined, TEXTS, ranking(*range(8)), rule, 1)) == whole
    assert list(with_negatives([], TEXTS, ranking(), rule, 1)) == []

"""Labels of passage quality: who wants what, and parts that share no query and no text."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.core.errors import BadArguments
from tamis.encoders.training.labels import ORDINARY, LabelledText, Seen, apart, from_answers

PAIRS = st.lists(
    st.tuples(st.sampled_from([f"q{n}" for n in range(12)]), st.sampled_from("abcdefghij")),
    max_size=40,
)


def test_what_any_query_wants_is_wanted_whatever_else_found_it() -> None:
    seen = from_answers([("q1", "a"), ("q2", "a")], [("q1", "b"), ("q3", "a")], weight=2.0)
    assert seen == [
        Seen(LabelledText("a", 1.0, 2.0), wanted_by=frozenset({"q1", "q2"})),
        Seen(LabelledText("b", ORDINARY, 2.0), retrieved_for=frozenset({"q1"})),
    ]


@given(wanted=PAIRS, retrieved=PAIRS, seed=st.integers(0, 5))
def test_parts_share_no_text_and_no_query(
    wanted: list[tuple[str, str]], retrieved: list[tuple[str, str]], seed: int
) -> None:
    seen = from_answers(wanted, retrieved)
    counts: Counter[str] = Counter()
    learned, held_out = apart(seen, 0.5, seed, counts)
    texts = {each.text for each in learned}, {each.text for each in held_out}
    assert not texts[0] & texts[1]
    wanting = {each.labelled.text: each.wanted_by for each in seen}
    sides = [{q for text in part for q in wanting[text]} for part in texts]
    assert not sides[0] & sides[1]
    dropped = counts["wanted on both sides"]
    assert len(texts[0]) + len(texts[1]) + dropped == len(seen)


def test_a_passage_wanted_on_both_sides_is_left_out() -> None:
    queries = [f"q{n}" for n in range(40)]
    seen = from_answers([(q, "everybody's") for q in queries], [])
    counts: Counter[str] = Counter()
    assert apart(seen, 0.5, 0, counts) == ([], [])
    assert counts["wanted on both sides"] == 1


def test_the_share_is_of_the_queries_and_of_texts_without_any() -> None:
    alone = [Seen(LabelledText(f"text {n}", 0.0)) for n in range(2000)]
    learned, held_out = apart(alone, 0.25, 3)
    assert 400 < len(held_out) < 600
    assert len(learned) + len(held_out) == 2000
    assert apart(alone, 0.0, 3)[1] == []


def test_a_text_of_two_sources_stays_on_one_side() -> None:
    alone = [Seen(LabelledText(f"text {n}", 0.0)) for n in range(200)]
    wanted = from_answers([(f"q{n}", f"text {n}") for n in range(200)], [])
    learned, held_out = apart([*alone, *wanted], 0.5, 0)
    assert not {each.text for each in learned} & {each.text for each in held_out}
    assert held_out


@pytest.mark.parametrize(("label", "weight"), [(-0.1, 1), (1.1, 1), (0.5, 0), (float("nan"), 1)])
def test_wrong_numbers_are_refused(label: float, weight: float) -> None:
    with pytest.raises(BadArguments, match="expected 0 to 1"):
        LabelledText("a", label, weight)

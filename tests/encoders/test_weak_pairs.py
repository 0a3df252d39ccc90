"""Sentences, and the pairs that are made of them without labels."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.core.errors import BadArguments
from tamis.core.records import Passage
from tamis.encoders.training.draws import choose, draw, sample
from tamis.encoders.training.pairs import Pair
from tamis.encoders.training.sentences import sentence_spans, sentences
from tamis.encoders.training.weak_pairs import WEAK_KINDS, weak_pair, weak_pairs

FIRST = "A sieve keeps what is coarse."
SECOND = "It drops everything that is fine enough to pass through its many small holes."
SIEVE = Passage("p1", f"{FIRST} {SECOND}", "Sieve")
WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa")


def passages(n: int) -> list[Passage]:
    """Each of four sentences of seven words."""
    texts = (
        " ".join(
            f"{number} ".join(WORDS[place : place + 6]).capitalize() + f"{number} end."
            for place in range(4)
        )
        for number in range(n)
    )
    return [Passage(f"d{number}", text, f"Title {number}") for number, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One is here. Two is there.", ["One is here.", "Two is there."]),
        ("Dr. Who met J. R. Hartley. He ran.", ["Dr. Who met J. R. Hartley.", "He ran."]),
        ("See e.g. Smith vs. Jones. Then stop!", ["See e.g. Smith vs. Jones.", "Then stop!"]),
        ('He said "Stop." She did.', ['He said "Stop."', "She did."]),
        ("It cost 3. 5 of them. ok", ["It cost 3.", "5 of them. ok"]),
        ("Key points. - First one. - Second one.", ["Key points.", "First one.", "Second one."]),
        ("a heading \n\t\n\n and a line", ["a heading", "and a line"]),
        ("one line\nand another", ["one line\nand another"]),
        ("Why not? Because. (Or so.) Yes", ["Why not?", "Because.", "(Or so.)", "Yes"]),
        ("Écoute. Élan vital.", ["Écoute.", "Élan vital."]),
        ("  lone words ", ["lone words"]),
        ("", []),
        (" \n", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text("aB.?! \n-\"'()1é"))
def test_spans_rise_and_leave_out_space_and_bullets_only(text: str) -> None:
    end = 0
    for begin, stop in [*sentence_spans(text), (len(text), len(text))]:
        assert end <= begin <= stop
        assert not text[end:begin].strip(" \n-")
        end = stop
    assert all(text[slice(*span)].strip() == text[slice(*span)] for span in sentence_spans(text))


def test_a_desert_of_white_space_is_crossed_in_a_moment() -> None:
    """Patterns that try every place of it would take minutes."""
    text = f"Here.{' ' * 50_000}there{' ' * 50_000}{chr(10) * 50_000}Gone."
    assert [len(text) for text in sentences(text)] == [50_010, 5]


def test_a_title_asks_for_the_text_alone() -> None:
    assert weak_pair(SIEVE, "title", 0) == Pair("Sieve", SIEVE.text)
    assert weak_pair(Passage("p", SIEVE.text), "title", 0) is None
    assert weak_pair(Passage("p", SIEVE.text, "..."), "title", 0) is None
    assert weak_pair(Passage("p", "Too short.", "Sieve"), "title", 0) is None


def test_a_sentence_asks_for_its_passage() -> None:
    pair = weak_pair(SIEVE, "sentence", 0)
    assert pair == Pair(FIRST, SIEVE.full_text)  # the second would leave too little


def test_ten_words_are_enough_to_be_found() -> None:
    nine, ten = (Passage("p", f"{FIRST} {' '.join(['Word'] * number)}") for number in (9, 10))
    assert weak_pair(nine, "cloze", 0) is None
    assert weak_pair(ten, "cloze", 0) is not None


def test_a_cloze_asks_for_the_rest() -> None:
    seeds = [seed for seed in range(100) if draw(seed, "keep", "p1") >= 0.1]
    assert weak_pair(SIEVE, "cloze", seeds[0]) == Pair(FIRST, f"Sieve {SECOND}")
    untitled = Passage("p1", SIEVE.text)
    assert weak_pair(untitled, "cloze", seeds[0]) == Pair(FIRST, SECOND)


def test_one_sentence_in_ten_stays() -> None:
    made = list(weak_pairs(passages(3000), ["cloze"], 5))
    stayed = sum(pair.query in pair.positive for pair in made)
    assert 0.08 < stayed / len(made) < 0.12


def test_every_sentence_is_asked_with() -> None:
    places = Counter(
        passage.text.index(pair.query)
        for passage, pair in zip(
            passages(400), weak_pairs(passages(400), ["cloze"], 1), strict=True
        )
    )
    assert sum(count > 50 for count in places.values()) >= 4


def test_what_is_too_short_is_counted() -> None:
    skipped: Counter[str] = Counter()
    some = [SIEVE, Passage("p2", "Only a few words here."), Passage("p3", "", "A title")]
    made = list(weak_pairs(some, WEAK_KINDS, 0, skipped))
    assert [pair.query for pair in made] == ["Sieve", FIRST, FIRST]
    assert skipped == {"title": 2, "sentence": 2, "cloze": 2}


def test_an_unknown_kind_is_refused_at_once() -> None:
    with pytest.raises(BadArguments, match="'headline'; known: title, sentence, cloze"):
        weak_pairs([], ["headline"], 0)  # type: ignore[list-item]


@given(st.integers(0, 9), st.permutations(range(12)))
def test_a_pair_depends_on_its_passage_and_the_seed_alone(seed: int, order: list[int]) -> None:
    some = passages(12)
    alone = {passage.id: list(weak_pairs([passage], WEAK_KINDS, seed)) for passage in some}
    shuffled = [some[place] for place in order]
    together = list(weak_pairs(shuffled, WEAK_KINDS, seed))
    assert together == [pair for passage in shuffled for pair in alone[passage.id]]


def test_seeds_differ() -> None:
    made = {tuple(weak_pairs(passages(20), ["cloze"], seed)) for seed in range(5)}
    assert len(made) == 5


def test_draws_are_what_they_were() -> None:
    """A change here changes every pair that was ever made with a seed."""
    assert draw(0, "keep", "p1") == pytest.approx(0.1402785707, abs=1e-9)
    assert sample(range(10), 3, 1, "x") == sample(range(10), 3, 1, "x")
    assert sample("abc", 5, 0) == ["a", "b", "c"]
    assert sample("abc", 0, 0) == []
    assert {choose("abc", seed) for seed in range(50)} == set("abc")


def test_samples_are_even() -> None:
    counts = Counter(item for seed in range(2000) for item in sample(range(5), 2, seed, "even"))
    assert all(abs(count / 2000 - 0.4) < 0.05 for count in counts.values())

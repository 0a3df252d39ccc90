"""Wreckage made of good text: what a quality model learns to leave out."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tamis.encoders.training.wreckage import (
    PHRASES,
    SENTENCES,
    fragment,
    furniture,
    heap,
    notice,
    shuffled,
    stutter,
    wreckage,
)

TEXTS = ["The flea lives for a hundred days in the old house by the river.", "", "Bread is good."]
WORDS = {word.strip(".") for text in TEXTS for word in text.lower().split()}


@given(seed=st.integers(0, 10_000))
def test_pieces_are_of_the_text(seed: int) -> None:
    piece = fragment(TEXTS, Random(seed))
    assert any(piece in text for text in TEXTS)
    assert 2 <= len(piece.split()) <= 14
    words = Counter(shuffled(TEXTS, Random(seed)).split())
    assert words in [Counter(text.split()) for text in TEXTS]


@given(seed=st.integers(0, 10_000))
def test_a_stutter_repeats_and_a_heap_holds_words_only(seed: int) -> None:
    said = stutter(TEXTS, Random(seed))
    half = len(said) // 3
    assert said[:3] in said[half:]
    found = heap(TEXTS, Random(seed))
    assert {w.strip(".|>-/,").lower() for w in found.split()} - {""} <= WORDS


@given(seed=st.integers(0, 10_000))
def test_furniture_holds_several_phrases(seed: int) -> None:
    found = furniture(TEXTS, Random(seed)).lower()
    assert sum(phrase in found for phrase in PHRASES) >= 2
    said = notice(TEXTS, Random(seed)).lower()
    assert any(sentence in said for sentence in SENTENCES)


def test_the_kinds_take_turns_and_the_seed_decides() -> None:
    assert wreckage(TEXTS, 7, Random(1)) == wreckage(TEXTS, 7, Random(1))
    assert wreckage(TEXTS, 7, Random(1)) != wreckage(TEXTS, 7, Random(2))
    assert len(wreckage(TEXTS, 7, Random(1))) == 7


def test_phrases_are_whole() -> None:
    assert len(PHRASES) == len(set(PHRASES)) > 60
    assert len(SENTENCES) == len(set(SENTENCES)) > 20
    assert all(said == said.strip() and said for said in PHRASES + SENTENCES)

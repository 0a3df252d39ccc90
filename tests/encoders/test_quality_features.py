"""Cheap features, each against a number worked out by hand."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.encoders.quality.features import FEATURES, features

PROSE = "The flea lives 100 days. \u201cIs it a long life?\u201d It is!"
WRECK = "HOME | HOME | LOGIN\nsee http://a.b\nsee http://a.b"

LOG = math.log1p
BY_HAND = {
    # the flea lives 100 days is it a long life it is: 12 words, 33 letters, 3 digits, 52 characters
    PROSE: {
        "words": LOG(12),
        "word_length": 36 / 12,
        "longest_word": LOG(5),
        "distinct_words": 10 / 12,
        "top_word": 2 / 12,
        "repeated_pairs": 0,
        "stop_words": 6 / 12,  # the is it a it is
        "number_words": 1 / 12,
        "letters": 33 / 52,
        "capitals": 3 / 33,
        "punctuation": 5 / 52,
        "symbols": 0,
        "sentences": LOG(3),
        "sentence_words": LOG(4),
        "questions": 1 / 3,
        "begins": 1,
        "ends": 1,
        "repeated_lines": 0,
        "short_lines": 0,
        "links": 0,
    },
    # home home login see http a b see http a b: 11 words, 31 letters, 49 characters
    WRECK: {
        "words": LOG(11),
        "word_length": 31 / 11,
        "longest_word": LOG(5),
        "distinct_words": 6 / 11,
        "top_word": 2 / 11,
        "repeated_pairs": 3 / 10,  # see http, http a, a b
        "stop_words": 2 / 11,
        "number_words": 0,
        "letters": 31 / 49,
        "capitals": 13 / 31,
        "punctuation": 4 / 49,
        "symbols": 6 / 49,
        "sentences": LOG(1),
        "sentence_words": LOG(11),
        "questions": 0,
        "begins": 1,
        "ends": 0,
        "repeated_lines": 1 / 3,
        "short_lines": 2 / 3,
        "links": 2 / 11,
    },
    "": dict.fromkeys(FEATURES, 0.0),
}


@pytest.mark.parametrize("text", BY_HAND)
@pytest.mark.parametrize("name", FEATURES)
def test_by_hand(text: str, name: str) -> None:
    column = list(FEATURES).index(name)
    assert features([text])[0, column] == pytest.approx(BY_HAND[text][name], rel=1e-6)


@pytest.mark.parametrize(
    ("text", "ends"),
    [("End.", 1), ('"End."', 1), ("(end?) ", 1), ("\u2026", 1), ("end:", 0), ("end", 0), ('"', 0)],
)
def test_how_a_text_ends(text: str, ends: float) -> None:
    assert features([text])[0, list(FEATURES).index("ends")] == ends


@pytest.mark.parametrize(
    ("text", "begins"),
    [("The", 1), (" \nThe", 1), ("3 cats", 1), ("the", 0), ("- The", 0), ("  ", 0)],
)
def test_how_a_text_begins(text: str, begins: float) -> None:
    assert features([text])[0, list(FEATURES).index("begins")] == begins


@pytest.mark.parametrize(
    ("text", "short"), [("a b c", 1), ("a b c d", 0), ("a\n\n a b c d e\r\nb", 2 / 3)]
)
def test_what_a_short_line_is(text: str, short: float) -> None:
    found = features([text])[0, list(FEATURES).index("short_lines")]
    assert found == pytest.approx(short)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [("a. b", 2), ("a.b", 1), ("a... b?! c", 3), ("... !", 0), ("3.14 is pi. ", 1), ("a.) b", 2)],
)
def test_where_sentences_end(text: str, sentences: int) -> None:
    found = features([text])[0, list(FEATURES).index("sentences")]
    assert found == pytest.approx(LOG(sentences))


def test_no_text_no_rows() -> None:
    assert features([]).shape == (0, len(FEATURES))
    assert features([]).dtype == np.float32


@given(st.lists(st.text(max_size=80), max_size=4))
def test_finite_and_shares_are_shares(texts: list[str]) -> None:
    found = features(texts)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    shares = [n for n, meaning in enumerate(FEATURES.values()) if "share of" in meaning]
    assert len(shares) == 10
    assert (found[:, shares] <= 1).all()


def test_a_long_run_of_dots_costs_no_more_than_prose() -> None:
    start = time.perf_counter()
    features(["." * 200_000 + "x"])
    assert time.perf_counter() - start < 2

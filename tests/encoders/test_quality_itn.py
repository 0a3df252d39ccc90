"""``itn``: distinct stems over all stems."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.encoders.quality.itn import ItnQuality

WORDS = ["run", "running", "runs", "cat", "Cats", "dog", "the", "of", "flea", "fleas"]
PASSAGES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join)


def itn(text: str) -> float:
    return float(ItnQuality().score([text])[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the cat and the dog", 4 / 5),
        ("Running runs, run!", 1 / 3),  # one stem
        ("flies fly", 1.0),  # Porter: fli and fly
        ("one two three", 1.0),
        ("", 0.0),
        ("?!", 0.0),
    ],
)
def test_by_hand(text: str, expected: float) -> None:
    assert itn(text) == pytest.approx(expected, rel=1e-6)


@given(PASSAGES, st.integers(1, 9))
def test_a_passage_repeated_n_times_has_an_nth(passage: str, n: int) -> None:
    assert itn(f"{passage} " * n) == pytest.approx(itn(passage) / n, rel=1e-6)


@given(PASSAGES)
def test_case_does_not_matter(passage: str) -> None:
    assert itn(passage.upper()) == itn(passage.lower()) == itn(passage)

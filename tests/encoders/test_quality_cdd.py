"""``cdd``: minus the divergence of the corpus's language from the passage's."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import Stemmer
from hypothesis import given
from hypothesis import strategies as st

from tamis.encoders.quality.cdd import Cdd, CddQuality

WORDS = ["run", "running", "runs", "cat", "Cats", "dog", "the", "of", "flea", "fleas", "bread"]
PASSAGE = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join)
CORPUS = st.lists(PASSAGE, min_size=1, max_size=6)
FLOOR = -math.log2(100)


def cdd(corpus: list[str], text: str) -> float:
    return float(Cdd().fit(iter(corpus)).score([text])[0])


def over_the_vocabulary(corpus: list[str], text: str) -> float:
    """The definition, summed over every stem of the corpus."""
    stem = Stemmer.Stemmer("porter").stemWord
    whole = Counter(stem(word) for word in " ".join(corpus).lower().split())
    own = Counter(stem(word) for word in text.lower().split())
    total = 0.0
    for term, count in whole.items():
        c = count / whole.total()
        q = 0.99 * own[term] / max(1, own.total()) + 0.01 * c
        total += c * math.log2(c / q)
    return -total


def test_by_hand() -> None:
    # C: a 2/4, b 1/4, c 1/4. The passage "a a": Q(a) = .99 + .01 / 2, Q(b) = Q(c) = .01 / 4.
    expected = -(0.5 * math.log2(0.5 / 0.995) + 0.5 * math.log2(100))
    assert cdd(["a b", "a c"], "a a") == pytest.approx(expected, rel=1e-6)
    # with a word that the corpus lacks, half of the passage is lost: Q(a) = .99 / 2 + .01 / 2
    expected = -(0.5 * math.log2(0.5 / 0.5) + 0.5 * math.log2(100))
    assert cdd(["a b", "a c"], "a zzz") == pytest.approx(expected, rel=1e-6)


@given(CORPUS, st.one_of(PASSAGE, st.just("")))
def test_it_is_the_sum_over_the_whole_vocabulary(corpus: list[str], text: str) -> None:
    assert cdd(corpus, text) == pytest.approx(over_the_vocabulary(corpus, text), abs=1e-6)


@given(CORPUS)
def test_the_whole_corpus_as_one_passage_is_at_no_distance(corpus: list[str]) -> None:
    assert cdd(corpus, " ".join(corpus)) == pytest.approx(0, abs=1e-12)


@given(CORPUS, PASSAGE)
def test_case_does_not_matter(corpus: list[str], text: str) -> None:
    assert cdd(corpus, text.upper()) == cdd([each.upper() for each in corpus], text.lower())
    assert cdd(corpus, text.upper()) == cdd(corpus, text)


@given(CORPUS, PASSAGE)
def test_never_below_a_text_that_the_corpus_knows_nothing_of(corpus: list[str], text: str) -> None:
    model = Cdd().fit(iter(corpus))
    score, empty, foreign = model.score([text, "", "xyzzy plugh"])
    assert empty == foreign == pytest.approx(FLOOR, rel=1e-6)
    assert empty - 1e-5 <= score <= 1e-6


class Watched(dict[str, int]):
    """Counts that say how often they are looked up, and that cannot be walked."""

    asked = 0

    def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
        self.asked += 1
        return super().get(key, default)

    def unwalkable(self) -> object:
        raise AssertionError("scoring walked over the vocabulary")

    __iter__ = keys = values = unwalkable  # type: ignore[assignment]


def test_a_passage_costs_its_own_words_and_not_the_vocabulary() -> None:
    counts = Watched({f"w{n}": 1 + n % 5 for n in range(1000)})
    model = CddQuality.__new__(CddQuality)
    model._stems, model._total = counts, sum(dict.values(counts))
    scores = model.score(["w1 w2 w2 nothing", "w3"])
    assert counts.asked == 4  # three distinct words and one
    assert np.isfinite(scores).all()

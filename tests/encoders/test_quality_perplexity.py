"""``perplexity``: interpolated Kneser-Ney bigrams, by hand and by a second way."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.encoders.quality import bigrams as module
from tamis.encoders.quality.bigrams import START, UNKNOWN, Bigrams, count_bigrams
from tamis.encoders.quality.perplexity import Perplexity

WORDS = ["a", "b", "c", "d", "e"]
PASSAGE = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join)
CORPUS = st.lists(PASSAGE, min_size=1, max_size=6)


def counted(corpus: list[str]) -> Bigrams:
    found = count_bigrams(iter(corpus))
    assert found is not None
    return found


def second_way(corpus: list[str], before: str, word: str) -> float:
    """Chen and Goodman's formula, straight from lists of words; "<s>" stands before a text."""
    texts = [["<s>", *text.split()] for text in corpus]
    pairs = Counter(pair for text in texts for pair in pairwise(text))
    vocabulary = {second for _, second in pairs}
    follows = sum(second == word for _, second in pairs)
    uniform = 1 / (len(vocabulary) + 1)
    lower = max(follows - 0.75, 0) / len(pairs) + 0.75 * len(vocabulary) / len(pairs) * uniform
    seen = sum(count for (first, _), count in pairs.items() if first == before)
    if not seen:
        return lower
    kinds = sum(first == before for first, _ in pairs)
    return max(pairs[before, word] - 0.75, 0) / seen + 0.75 * kinds / seen * lower


def test_by_hand() -> None:
    # pairs of "a b", "a b", "b": (<s> a) 2, (a b) 2, (<s> b) 1; two words, three kinds of pairs
    # lower: a follows one kind of word, b two; unknown none; .75 * 2 / 3 shared by three
    lower_a, lower_b = 0.25 / 3 + 0.5 / 3, 1.25 / 3 + 0.5 / 3
    after_start = 1.25 / 3 + 0.75 * 2 / 3 * lower_a  # a: 2 of 3, two kinds after <s>
    after_a = 1.25 / 2 + 0.75 * 1 / 2 * lower_b
    perplexity = (after_start * after_a) ** -0.5
    model = Perplexity().fit(iter(["a b", "a b", "b"]))
    scores = model.score(["a b", "A, b!"])
    assert scores.tolist() == pytest.approx([-perplexity] * 2, rel=1e-6)
    unknown = 0.75 * 2 / 3 * (0.5 / 3)  # after <s>: nothing but a share of what is left over
    assert model.score(["", "zzz", "?"]).tolist() == pytest.approx([-1 / unknown] * 3, rel=1e-6)


@given(CORPUS, st.sampled_from(["<s>", "zzz", *WORDS]), st.sampled_from(["zzz", *WORDS]))
def test_it_is_the_textbooks_formula(corpus: list[str], before: str, word: str) -> None:
    found = counted(corpus)
    ids = {"<s>": START, **found.vocabulary}
    asked = [np.array([ids.get(each, UNKNOWN)]) for each in (before, word)]
    assert found.probabilities(*asked)[0] == pytest.approx(second_way(corpus, before, word))


@given(CORPUS)
def test_the_chances_of_all_words_add_up_to_one(corpus: list[str]) -> None:
    found = counted(corpus)
    words = np.array([UNKNOWN, *found.vocabulary.values()])
    for before in (UNKNOWN, START, *found.vocabulary.values()):
        chances = found.probabilities(np.full(len(words), before), words)
        assert chances.min() > 0
        assert math.fsum(chances) == pytest.approx(1)


@given(CORPUS, st.integers(1, 5))
def test_blocks_change_nothing(corpus: list[str], block: int) -> None:
    whole = counted(corpus)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_BLOCK", block)
        parts = counted(corpus)
    assert parts.vocabulary == whole.vocabulary
    for name in ("pairs", "counts", "after", "kinds", "lower"):
        assert np.array_equal(getattr(parts, name), getattr(whole, name))


def test_shuffled_words_score_worse() -> None:
    rng = np.random.default_rng(0)
    chain = {
        word: rng.permutation([f"w{n}" for n in range(60)])[:4]
        for word in map("w{}".format, range(60))
    }

    def passage() -> list[str]:
        words = ["w0"]
        while len(words) < 25:
            words.append(str(rng.choice(chain[words[-1]])))
        return words

    model = Perplexity().fit(" ".join(passage()) for _ in range(300))
    fresh = [passage() for _ in range(100)]
    original = model.score([" ".join(words) for words in fresh])
    shuffled = model.score([" ".join(rng.permutation(words)) for words in fresh])
    assert np.mean(shuffled < original) >= 0.95


def test_how_often_a_pair_stands_there_is_in_the_fingerprint() -> None:
    once, twice = (Perplexity().fit(["a b", "a c", *more]) for more in ([], ["a b"]))
    assert once.card.fingerprint != twice.card.fingerprint
    assert once.score(["a b"]) != twice.score(["a b"])

"""Near-duplicates against exact Jaccard similarity over all pairs."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.core.errors import BadArguments, BadData
from tamis.index import near_duplicates as module
from tamis.index.near_duplicates import banding, near_duplicates, shingles

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

LETTERS = "abcdefgh"
words = st.lists(st.sampled_from(LETTERS), max_size=12).map(" ".join)
corpora = st.lists(words, max_size=14)


def runs(text: str) -> set[tuple[str, ...]]:
    """From the definition, on words split by spaces; for texts of the tests' own words."""
    each = text.split()
    return {tuple(each[start : start + 3]) for start in range(max(1, len(each) - 2))}


def jaccard(one: str, two: str) -> float:
    return len(runs(one) & runs(two)) / len(runs(one) | runs(two))


def oracle(texts: Sequence[str], threshold: float, protected: Collection[int] = ()) -> list[int]:
    """The first kept text that each repeats, over all pairs; protected ones repeat themselves."""
    sets = list(map(runs, texts))
    kept: list[int] = []
    repeats = []
    for row, mine in enumerate(sets):
        alike = (old for old in kept if len(mine & sets[old]) >= threshold * len(mine | sets[old]))
        repeats.append(row if row in protected else next(alike, row))
        if repeats[-1] == row:
            kept.append(row)
    return repeats


def edited(seed: int, groups: int, copies: int, length: int = 60) -> list[str]:
    """Texts of random words, each followed by copies with some words replaced, all shuffled."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(groups):
        base = rng.integers(10_000, size=length)
        for copy in range(copies):
            text = base.copy()
            text[rng.integers(length, size=rng.integers(0, 4) * (copy > 0))] = rng.integers(10_000)
            found.append(" ".join(f"w{word}" for word in text))
    return [found[place] for place in rng.permutation(len(found))]


def test_a_few_texts_by_hand() -> None:
    """One word of twelve in the middle breaks 3 of 10 shingles: 7 / 13; one at the end 9 / 11."""
    base = "a b c d e f g h i j k l"
    texts = [
        base,
        "something else that shares no run of words",
        "a b c d e x g h i j k l",
        "A b, c d e f g. h i j k (z)!",
        base.upper(),
        "something else that shares no run of words at all",
    ]
    found = near_duplicates(texts)
    assert found.repeats.tolist() == [0, 1, 2, 0, 0, 5]  # the last: 6 of 8 shingles
    assert found.keep.tolist() == [True, True, True, False, False, True]
    assert found.dropped.tolist() == [3, 4]
    assert near_duplicates(texts, threshold=0.75).repeats.tolist() == [0, 1, 2, 0, 0, 1]
    assert near_duplicates(texts, threshold=0.5).repeats.tolist() == [0, 1, 0, 0, 0, 1]
    assert near_duplicates(texts, threshold=1.0).repeats.tolist() == [0, 1, 2, 3, 0, 5]
    assert found.keep.dtype == np.bool_
    assert found.repeats.dtype == np.int64


def test_shingles() -> None:
    assert shingles("One two, THREE four") == ["one two three", "two three four"]
    assert shingles("one two three") == ["one two three"]
    assert shingles("a a a a") == ["a a a", "a a a"]
    assert shingles("Two words") == ["two words "]
    assert shingles("") == shingles(" \n") == ["  "]
    assert shingles(" !!! ") == ["!!!  "]


def test_signatures_estimate_the_similarity() -> None:
    """Ten pairs, each with 40 of 58 shingles of either text in common: 40 / 76."""
    rng = np.random.default_rng(4)
    texts = []
    for _ in range(10):
        base = [f"w{word}" for word in rng.integers(10**6, size=60)]
        texts += [base, base[:42] + [f"x{word}" for word in range(18)]]
    signatures, sizes = module._signatures(texts)
    assert signatures.shape == (20, module.SIGNATURE)
    assert sizes.tolist() == [58] * 20
    agreeing = (signatures[::2] == signatures[1::2]).mean()
    assert agreeing == pytest.approx(40 / 76, abs=0.05)
    assert (signatures[1] == signatures[2]).mean() < 0.05
    alone, _ = module._signatures(texts[3:4])
    assert (alone[0] == signatures[3]).all()
    once, often = module._signatures([["a"] * 3, ["a"] * 9])[0]
    assert (once == often).all()


@settings(max_examples=100, deadline=None)
@given(corpora, st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_whatever_is_dropped_resembles_a_kept_text_before_it(
    texts: list[str], threshold: float
) -> None:
    found = near_duplicates(texts, threshold=threshold)
    assert len(found.keep) == len(found.repeats) == len(texts)
    for row, like in enumerate(found.repeats.tolist()):
        assert found.keep[like]
        assert found.keep[row] == (like == row)
        assert like <= row
        assert jaccard(texts[row], texts[like]) >= threshold
    # no copy is the last one: every distinct text has a kept text that resembles it
    assert not texts or found.keep[0]


@settings(max_examples=60, deadline=None)
@given(corpora, st.data(), st.sampled_from([0.3, 0.8, 1.0]))
def test_identical_texts_are_always_found(
    texts: list[str], data: st.DataObject, threshold: float
) -> None:
    doubled = data.draw(st.permutations(texts + texts))
    found = near_duplicates(doubled, threshold=threshold)
    for text in texts:
        rows = [row for row, each in enumerate(doubled) if each == text]
        assert not found.keep[rows[1:]].any()
        assert len({int(found.repeats[row]) for row in rows}) == 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9), max_size=20), st.sampled_from([0.1, 0.5, 1.0]))
def test_texts_without_a_common_shingle_are_never_dropped(
    lengths: list[int], threshold: float
) -> None:
    fresh = iter(range(1000))
    texts = [" ".join(f"w{next(fresh)} and" for _ in range(length)) for length in lengths]
    assert near_duplicates(texts, threshold=threshold).keep.all()


@settings(max_examples=60, deadline=None)
@given(corpora.filter(len), st.data(), st.sampled_from([0.5, 0.8]))
def test_the_order_after_the_first_text_does_not_change_what_repeats_it(
    texts: list[str], data: st.DataObject, threshold: float
) -> None:
    order = [0, *data.draw(st.permutations(range(1, len(texts))))]
    found = near_duplicates(texts, threshold=threshold)
    shuffled = near_duplicates([texts[row] for row in order], threshold=threshold)
    copies = {order[row] for row in np.flatnonzero(shuffled.repeats == 0)}
    assert copies == set(np.flatnonzero(found.repeats == 0).tolist())


@pytest.mark.parametrize("seed", [0, 1])
def test_groups_of_edited_copies_against_all_pairs(seed: int) -> None:
    """240 texts in groups of four, 0 to 3 of 60 words replaced: similarities from .6 to 1."""
    texts = edited(seed, 60, 4)
    expected = np.array(oracle(texts, 0.8))
    assert 100 < (expected != np.arange(len(texts))).sum() < 180
    assert (near_duplicates(texts).repeats == expected).mean() > 0.99


def test_pairs_at_the_threshold_are_found_99_times_in_100() -> None:
    """600 pairs of 40 shingles, 4 of each its own: 36 / 44 = .818."""
    rng = np.random.default_rng(2)
    texts = []
    for _ in range(600):
        base = [f"w{word}" for word in rng.integers(10**6, size=42)]
        texts += [" ".join(base), " ".join([*base[:-4], "x", "y", "z", "t"])]
    assert jaccard(texts[0], texts[1]) == pytest.approx(36 / 44)
    found = near_duplicates(texts)
    assert found.keep[::2].all()
    assert 1 - found.keep[1::2].mean() > 0.985


def test_a_chain_of_small_steps_does_not_drop_its_end() -> None:
    """Each text moves on by one word: neighbours share 9 of 11 shingles, the ends nothing."""
    run = [f"w{word}" for word in range(30)]
    texts = [" ".join(run[start : start + 12]) for start in range(18)]
    found = near_duplicates(texts)
    assert found.repeats.tolist() == [row - row % 2 for row in range(18)]


def test_bands_miss_few_pairs_at_the_threshold() -> None:
    assert banding(1.0) == (1, 128)
    assert banding(0.8) == (21, 6)  # (1 - .8**6)**21 = .0017; with 7 slots .79**18 = .0146
    for threshold in np.linspace(module.LOWEST, 1, 91):
        bands, slots = banding(threshold)
        assert bands * slots <= module.SIGNATURE
        assert (1 - threshold**slots) ** bands <= module.MISSED


class Counted:
    """Texts that count how often they are read, and how far."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self.read: list[int] = []

    def __iter__(self) -> Iterator[str]:
        self.read.append(0)
        for text in self.texts:
            self.read[-1] += 1
            yield text


def test_little_memory_takes_more_readings_and_gives_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = edited(3, 20, 3)
    plenty = Counted(texts)
    found = near_duplicates(plenty)
    assert len([length for length in plenty.read if length]) == 2
    monkeypatch.setattr(module, "SHINGLES_AT_ONCE", 400)
    monkeypatch.setattr(module, "_BATCH_TEXTS", 7)
    monkeypatch.setattr(module, "_BATCH_CHARACTERS", 900)
    little = Counted(texts)
    again = near_duplicates(little)
    assert again.repeats.tolist() == found.repeats.tolist()
    assert 6 < len([length for length in little.read if length]) < 12
    lone = Counted(["a b c d", "e f g h", "i j k l"])  # without suspects one reading does
    assert near_duplicates(lone).keep.all()
    assert len([length for length in lone.read if length]) == 1


def test_no_texts() -> None:
    found = near_duplicates([])
    assert (len(found.keep), len(found.repeats), len(found.dropped)) == (0, 0, 0)


def test_progress_hears_of_every_text() -> None:
    heard: dict[str, int] = {}

    class Heard:
        def stage(self, name: str, total: int | None) -> Stage:
            return Stage(name if total is None else "")

        def note(self, words: str) -> None: ...

    class Stage:
        def __init__(self, name: str) -> None:
            self.name = name

        def __enter__(self) -> Stage:
            heard[self.name] = 0
            return self

        def __exit__(self, *trouble: object) -> None: ...

        def __call__(self, done: int) -> None:
            heard[self.name] += done

    near_duplicates(["a b c d", "x", "a b c d"], progress=Heard())
    assert heard == {"signatures": 3, "near-duplicates": 2}


def test_what_cannot_be_read_twice_is_refused() -> None:
    with pytest.raises(BadArguments, match="only once"):
        near_duplicates(text for text in ["a", "a"])
    for threshold in (0.05, 1.01, float("nan")):
        with pytest.raises(BadArguments, match="threshold"):
            near_duplicates(["a"], threshold=threshold)


@pytest.mark.parametrize("second", [["a b c d"], ["a b c d", "a b c d e f"]])
def test_texts_that_change_between_readings_are_refused(second: list[str]) -> None:
    class Fickle(Counted):
        def __iter__(self) -> Iterator[str]:
            if self.read:
                self.texts = second
            yield from super().__iter__()

    with pytest.raises(BadData, match="text 1 reads differently"):
        near_duplicates(Fickle(["a b c d", "a b c d"]))


def test_the_answer_hangs_on_no_hash_seed() -> None:
    code = (
        "from tamis.index.near_duplicates import near_duplicates as f;"
        "t=[' '.join(str(i*j%17) for j in range(30)) + f' {i%3}' for i in range(1,60)];"
        "print(f(t, threshold=.3).repeats.tolist())"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1


@settings(deadline=None, max_examples=60)
@given(corpora, st.sampled_from([0.3, 0.5, 0.8, 1.0]), st.sets(st.integers(0, 13)))
def test_protected_texts_stay_and_count_as_kept(
    texts: list[str], threshold: float, protected: set[int]
) -> None:
    found = near_duplicates(texts, threshold=threshold, protected=protected)
    assert found.repeats.tolist() == oracle(texts, threshold, protected)
    assert found.keep[[row for row in protected if row < len(texts)]].all()

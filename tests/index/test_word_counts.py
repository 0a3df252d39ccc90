"""Counts of a collection's words: against plain counting, on disk, and through a build."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.core.errors import BadData
from tamis.core.protocols import DescribesPassages
from tamis.core.records import Passage
from tamis.index import word_counts
from tamis.index.word_counts import StoredWordCounts, WordCounts, count_words

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = [
    Passage("a", "fleas bite fleas", "flea"),
    Passage("b", "dog ça 日本 dog"),
    Passage("c", "", "dog fleas"),
]
WORD = st.text(
    st.characters(codec="utf-8", exclude_characters=" \t\n\r\x0b\x0c"), min_size=1, max_size=3
)


def split(text: str) -> list[str]:
    return text.split(" ") if text else []


def test_hand_sized_truth() -> None:
    counted = count_words(TEXTS, split)
    assert (counted.passages, counted.title_words, counted.text_words) == (3, 3, 7)
    found = counted.counts(["fleas", "dog", "flea", "unheard", "日本"])
    assert found.tolist() == [[2, 1, 2], [2, 1, 2], [1, 1, 0], [0, 0, 0], [1, 0, 1]]
    assert counted.counts([]).shape == (0, 3)


def test_what_is_on_disk_says_the_same(tmp_path: Path) -> None:
    counted = count_words(TEXTS, split)
    counted.write(tmp_path / "words.arrow")
    stored = StoredWordCounts(lambda: tmp_path / "words.arrow")
    terms = ["fleas", "a", "dog", "zz", "ça", "日本", "", "\ud800"]
    np.testing.assert_array_equal(stored.counts(terms), counted.counts(terms))
    totals = (stored.passages, stored.title_words, stored.text_words)
    assert totals == (counted.passages, counted.title_words, counted.text_words)


def test_the_same_passages_give_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        count_words(TEXTS, split).write(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_nothing_at_all(tmp_path: Path) -> None:
    count_words([], split).write(tmp_path / "words.arrow")
    stored = StoredWordCounts(lambda: tmp_path / "words.arrow")
    assert stored.passages == 0
    assert stored.counts(["a"]).tolist() == [[0, 0, 0]]


def test_numbers_are_settled_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = count_words(TEXTS * 5, split)
    monkeypatch.setattr(word_counts, "_FLUSH", 3)
    terms = ["fleas", "dog", "flea", "ça"]
    np.testing.assert_array_equal(count_words(TEXTS * 5, split).counts(terms), whole.counts(terms))


def test_progress_tells_of_every_passage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_counts, "_STRIDE", 2)
    told: list[int] = []
    count_words(TEXTS, split, told.append)
    assert told == [2, 1]


@given(st.lists(st.tuples(st.lists(WORD, max_size=4), st.lists(WORD, max_size=6)), max_size=6))
def test_plain_counting(given_passages: list[tuple[list[str], list[str]]]) -> None:
    passages = [
        Passage(str(n), " ".join(text), " ".join(title))
        for n, (title, text) in enumerate(given_passages)
    ]
    counted = count_words(passages, split)
    words = sorted({word for both in given_passages for part in both for word in part})
    expected = [
        [
            sum(word in title or word in text for title, text in given_passages),
            sum(title.count(word) for title, _ in given_passages),
            sum(text.count(word) for _, text in given_passages),
        ]
        for word in words
    ]
    assert counted.counts(words).tolist() == expected


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.arrow").write_bytes(b"nonsense")
    with pytest.raises(BadData, match="no word counts"):
        StoredWordCounts(lambda: tmp_path / "words.arrow").counts(["a"])


def test_the_reader_takes_counts_as_they_are_given() -> None:
    counts = WordCounts(["a", "b"], np.array([[1, 2, 3], [4, 5, 6]]), [1, 2, 3])
    assert counts.counts(["b", "c"]).tolist() == [[4, 5, 6], [0, 0, 0]]


def corpus(folder: Path) -> Path:
    texts = ["A flea lives on the dog.", "Dogs and fleas", "A recipe for bread"]
    rows = [
        {"_id": f"p{n}", "title": "Fleas" if n < 1 else "", "text": t} for n, t in enumerate(texts)
    ]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return folder / "corpus.jsonl"


def test_a_build_counts_and_rerankers_see_it(tmp_path: Path) -> None:
    import tamis
    from tamis.pipeline.candidates import candidates

    index = tamis.build(corpus(tmp_path), tmp_path / "idx", encoder="hashing")
    assert isinstance(index.passages, DescribesPassages)
    run = index.searcher(3, mode="lexical").run([tamis.Query("1", "flea")])
    (seen,) = candidates(index.passages, run.rankings)
    assert seen.terms is not None
    assert seen.terms.passages == 3
    assert seen.terms.counts(["flea", "dog", "the"]).tolist() == [[2, 1, 2], [2, 0, 2], [1, 0, 1]]
    assert seen.quality is None


def test_an_index_with_scores_hands_them_over_and_one_without_bm25_has_no_counts(
    tmp_path: Path,
) -> None:
    import tamis
    from tamis.pipeline.candidates import candidates

    np.save(tmp_path / "scores.npy", np.array([0.5, 0.25, 0.75], np.float32))
    index = tamis.build(
        corpus(tmp_path),
        tmp_path / "idx",
        encoder="hashing",
        lexical="none",
        quality=str(tmp_path / "scores.npy"),
        keep=1.0,
    )
    run = index.searcher(3).run([tamis.Query("1", "flea")])
    (seen,) = candidates(index.passages, run.rankings)
    assert seen.terms is None
    assert seen.quality is not None
    expected = np.array([0.5, 0.25, 0.75], np.float32)[run.rankings[0].rows]
    np.testing.assert_array_equal(seen.quality, expected)


def test_counts_that_nobody_made_are_made_once_when_asked() -> None:
    from tamis.pipeline.counting import CountedWhenAsked

    reads: list[int] = []

    def read() -> list[Passage]:
        reads.append(1)
        return TEXTS

    late = CountedWhenAsked(read)
    assert not reads
    assert (late.passages, late.title_words, late.text_words) == (3, 3, 7)
    assert late.counts(["dog", "flea"]).tolist() == [[2, 1, 2], [2, 2, 2]]
    assert len(reads) == 1

"""Texts into windows of sentences."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.core.corpus import Flaw, open_corpus
from tamis.core.corpus.splitting import windows
from tamis.core.errors import BadArguments
from tamis.core.records import Passage

if TYPE_CHECKING:
    from pathlib import Path

FOUR = "One two three. Four five. Six seven eight! Nine ten?"


def test_windows_end_at_sentences() -> None:
    assert windows(FOUR, 5, 5) == ["One two three. Four five.", "Six seven eight! Nine ten?"]
    assert windows(FOUR, 4, 4) == ["One two three.", "Four five.", "Six seven eight!", "Nine ten?"]


def test_windows_overlap_by_whole_sentences() -> None:
    assert windows(FOUR, 5, 3) == [
        "One two three. Four five.",
        "Four five. Six seven eight!",
        "Six seven eight! Nine ten?",
    ]


def test_a_stride_shorter_than_a_sentence_moves_on_by_one() -> None:
    assert windows(FOUR, 5, 1)[:2] == ["One two three. Four five.", "Four five. Six seven eight!"]


def test_a_sentence_too_long_is_cut_inside_and_overlaps_exactly() -> None:
    assert windows("a b c d e f g", 3, 2) == ["a b c", "c d e", "e f g"]


def test_a_blank_line_ends_a_sentence_and_quotes_may_follow_the_stop() -> None:
    assert windows("Heading\n\nBody goes on", 3, 3) == ["Heading", "Body goes on"]
    assert windows("He said “no.” Then left now", 4, 4) == ["He said “no.”", "Then left now"]


def test_inner_white_space_is_kept() -> None:
    assert windows("a  b\tc. d e f.", 3, 3) == ["a  b\tc.", "d e f."]


word = st.text("ab.!", min_size=1, max_size=3)
texts = st.lists(st.tuples(word, st.sampled_from([" ", "  ", "\n", "\n\n", "\u00a0"]))).map(
    lambda pairs: "".join(a + b for a, b in pairs)
)


@given(text=texts, words=st.integers(1, 7), data=st.data())
def test_every_word_is_in_some_window_and_none_is_too_long(
    text: str, words: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, words))
    numbered = iter(range(10_000))
    # every word made unlike all others, its end kept, so that coverage can be told
    marked = "".join(
        f"{next(numbered)}x{part}" if not part.isspace() else part for part in _parts(text)
    )
    pieces = windows(marked, words, stride)
    assert all(len(piece.split()) <= words for piece in pieces)
    assert all(piece in marked for piece in pieces)
    firsts = [marked.index(piece) for piece in pieces]
    assert firsts == sorted(set(firsts))
    covered = {part for piece in pieces for part in piece.split()}
    assert covered == set(marked.split())


def _parts(text: str) -> list[str]:
    parts: list[str] = []
    for sign in text:
        if parts and parts[-1].isspace() == sign.isspace():
            parts[-1] += sign
        else:
            parts.append(sign)
    return parts


def test_ids_are_numbered_titles_repeated_and_flaws_pass(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    records = [{"id": "a", "title": "t", "text": FOUR}, {"id": "b"}, {"id": "c", "text": "short"}]
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    corpus = open_corpus(path, passage_words=5)
    first, second, flaw, short = corpus
    assert first == Passage("a#0", "One two three. Four five.", "t")
    assert second == Passage("a#1", "Six seven eight! Nine ten?", "t")
    assert isinstance(flaw, Flaw)
    assert short == Passage("c#0", "short")
    assert corpus.fields.endswith("; texts split at 5 words, every 5")


def test_a_title_without_text_stays_one_passage(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('{"id": "a", "title": "t", "text": ""}\n', encoding="utf-8")
    assert list(open_corpus(path, passage_words=5)) == [Passage("a#0", "", "t")]


@pytest.mark.parametrize(("words", "stride"), [(0, None), (-1, 1), (5, 0), (5, 6), (None, 3)])
def test_a_stride_that_would_lose_words_is_refused(
    tmp_path: Path, words: int | None, stride: int | None
) -> None:
    with pytest.raises(BadArguments, match=r"expected|needs"):
        open_corpus(tmp_path, passage_words=words, passage_stride=stride)

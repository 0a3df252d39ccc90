"""Packed texts: cut, taken and joined as the lists of tokens they stand for."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.core.packed_texts import PackedTexts, joined

TEXTS = st.lists(st.lists(st.integers(0, 99), max_size=6), max_size=8)


def packed(texts: list[list[int]]) -> PackedTexts:
    lengths = np.array([len(text) for text in texts], np.int32)
    ids = np.array([token for text in texts for token in text], np.int32)
    return PackedTexts(ids, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), lengths)


def lists(pack: PackedTexts) -> list[list[int]]:
    return [part.tolist() for part in np.split(pack.ids, pack.bounds[1:-1])][: len(pack)]


@given(texts=TEXTS, longest=st.integers(0, 7))
def test_a_cut_keeps_each_beginning_and_the_whole_count(
    texts: list[list[int]], longest: int
) -> None:
    cut = packed(texts).cut(longest)
    assert lists(cut) == [text[: longest or None] for text in texts]
    assert cut.counts.tolist() == [len(text) for text in texts]
    assert cut.bounds.dtype == np.int64


@given(texts=TEXTS, data=st.data())
def test_rows_are_taken_in_any_order(texts: list[list[int]], data: st.DataObject) -> None:
    places = st.lists(st.integers(0, len(texts) - 1), max_size=6) if texts else st.just([])
    rows = data.draw(places)
    taken = packed(texts).take(np.array(rows, np.int64))
    assert lists(taken) == [texts[row] for row in rows]
    assert taken.counts.tolist() == [len(texts[row]) for row in rows]


@given(several=st.lists(TEXTS, min_size=1, max_size=4))
def test_packs_are_joined_end_to_end(several: list[list[list[int]]]) -> None:
    whole = joined([packed(texts) for texts in several])
    assert lists(whole) == [text for texts in several for text in texts]

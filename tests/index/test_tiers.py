"""Two tiers as one: rows, passages, joined rankings, and BM25 scores that compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.core.errors import BadArguments, BadData
from tamis.core.records import Passage, Query, Ranking
from tamis.index.lexical import (
    LexicalSettings,
    build_lexical,
    build_lexical_tiers,
    open_lexical,
)
from tamis.index.tiers import TieredPassages, joined

if TYPE_CHECKING:
    from pathlib import Path

QUERY = Query("q", "q")


def ranking(rows: list[int], scores: list[float]) -> Ranking:
    return Ranking(QUERY, np.array(rows, np.int64), np.array(scores, np.float32))


class Table:
    """Row n is passage <letter>n."""

    has_texts = True

    def __init__(self, letter: str, rows: int) -> None:
        self._letter, self._rows = letter, rows

    def __len__(self) -> int:
        return self._rows

    def ids(self, rows: np.ndarray) -> list[str]:
        assert ((rows >= 0) & (rows < self._rows)).all()
        return [f"{self._letter}{row}" for row in rows]

    def passages(self, rows: np.ndarray) -> list[Passage]:
        return [Passage(name, f"text of {name}") for name in self.ids(rows)]


class Folder:
    """A cold tier whose table counts how often it was opened."""

    def __init__(self, rows: int) -> None:
        self._table, self.opened = Table("c", rows), 0

    def __len__(self) -> int:
        return len(self._table)

    @property
    def passages(self) -> Table:
        self.opened += 1
        return self._table


def test_cold_rows_follow_the_hot_ones_in_any_order_and_repeated() -> None:
    tiers = TieredPassages(Table("h", 3), Folder(2))  # type: ignore[arg-type]
    assert (len(tiers), tiers.hot_rows) == (5, 3)
    rows = np.array([4, 0, 3, 4, 2], np.int64)
    assert tiers.ids(rows) == ["c1", "h0", "c0", "c1", "h2"]
    assert [p.text for p in tiers.passages(rows)][:2] == ["text of c1", "text of h0"]
    assert tiers.ids(np.empty(0, np.int64)) == []


def test_the_cold_table_is_opened_for_cold_rows_alone() -> None:
    cold = Folder(2)
    tiers = TieredPassages(Table("h", 3), cold)  # type: ignore[arg-type]
    tiers.passages(np.array([0, 2]))
    assert cold.opened == 0
    tiers.passages(np.array([3]))
    assert cold.opened == 1


def test_a_joined_ranking_is_by_score_then_hot_first_and_cut() -> None:
    hot, cold = ranking([4, 7], [0.9, 0.5]), ranking([0, 3], [0.9, 0.7])
    found = joined(hot, cold, 10, 3)
    assert found.rows.tolist() == [4, 10, 13]
    assert found.scores.tolist() == pytest.approx([0.9, 0.9, 0.7])
    assert joined(ranking([], []), cold, 10, 9).rows.tolist() == [10, 13]
    assert joined(hot, ranking([], []), 10, 9).rows.tolist() == [4, 7]


WORDS = st.lists(st.sampled_from(["ape", "bee", "cow", "apes", "the", "x", "dew"]), max_size=6)
SENTENCES = WORDS.map(" ".join)


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(SENTENCES, min_size=2, max_size=12),
    query=SENTENCES,
    k=st.integers(1, 14),
    data=st.data(),
)
def test_two_tiers_of_bm25_are_the_one_index_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    query: str,
    k: int,
    data: st.DataObject,
) -> None:
    hot_rows = sorted(
        data.draw(st.sets(st.sampled_from(range(len(texts))), min_size=1, max_size=len(texts) - 1))
    )
    cold_rows = [row for row in range(len(texts)) if row not in hot_rows]
    folder, wanted = tmp_path_factory.mktemp("lexical"), LexicalSettings("bm25s")
    build_lexical(wanted, texts, folder / "whole")
    tiers = [(hot_rows, folder / "hot"), (cold_rows, folder / "cold")]
    build_lexical_tiers(wanted, [((texts[row] for row in rows), at) for rows, at in tiers])
    hot, cold, whole = (
        open_lexical(wanted, folder / name).retrieve([Query("q", query)], len(texts))[0]
        for name in ("hot", "cold", "whole")
    )
    corpus_row = np.array(hot_rows + cold_rows)
    together = joined(hot, cold, len(hot_rows), k)
    expected = dict(zip(whole.rows.tolist(), whole.scores.tolist(), strict=True))
    found = joined(hot, cold, len(hot_rows), len(texts))
    assert (
        dict(zip(corpus_row[found.rows].tolist(), found.scores.tolist(), strict=True)) == expected
    )
    assert together.scores.tolist() == whole.scores[:k].tolist()
    if len(set(expected.values())) == len(expected):  # without ties the order is the same too
        assert corpus_row[together.rows].tolist() == whole.rows[:k].tolist()


def test_each_tier_is_a_whole_folder_of_bm25s(tmp_path: Path) -> None:
    texts = (["ape bee", "cow"], ["bee bee dew"])
    build_lexical_tiers(
        LexicalSettings(), [(each, tmp_path / str(n)) for n, each in enumerate(texts)]
    )
    for number, each in enumerate(texts):
        theirs = bm25s.BM25.load(tmp_path / str(number))
        assert theirs.scores["num_docs"] == len(each)
        assert len(theirs.get_scores(["bee"])) == len(each)
        assert set(theirs.vocab_dict) == {"", "ape", "bee", "cow", "dew"}


def test_progress_counts_all_texts_and_an_empty_tier_is_refused(tmp_path: Path) -> None:
    steps: list[int] = []
    tiers = [(["ape"], tmp_path / "a"), (["bee", "cow"], tmp_path / "b")]
    build_lexical_tiers(LexicalSettings(), tiers, progress=steps.append)
    assert sum(steps) == 3
    with pytest.raises(BadData, match="a tier holds no passage"):
        build_lexical_tiers(LexicalSettings(), [(["ape"], tmp_path / "c"), ([], tmp_path / "d")])


def test_lucene_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArguments, match="would not compare: build with --lexical bm25s"):
        build_lexical_tiers(LexicalSettings("lucene"), [(["ape"], tmp_path / "a")])

"""Answers over a cut without an index of the cut: the same as those of an index of what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.core.errors import BadArguments
from tamis.core.records import Query
from tamis.index.dense import DenseIndex
from tamis.index.lexical import LexicalSettings, build_lexical, open_lexical
from tamis.index.lexical.pruned import PrunedBm25
from tamis.index.pruned_dense import PrunedDense

if TYPE_CHECKING:
    from pathlib import Path

faiss = pytest.importorskip("faiss")
WORDS = ["flea", "fleas", "wine", "sieve", "river", "the", "stone", "bread", "a", "x"]


def texts_of(rng: np.random.Generator, count: int) -> list[str]:
    """Some empty, some alike, some with repeated words."""
    return [" ".join(rng.choice(WORDS, rng.integers(0, 9))) for _ in range(count)]


QUERIES = [
    Query("1", "flea in the wine"),
    Query("2", "river river stone"),
    Query("3", "unheard of"),
    Query("4", "bread"),
]


def nothing(_: int) -> None: ...


@pytest.mark.parametrize("seed", range(6))
def test_bm25_is_that_of_an_index_of_the_kept_to_the_bit(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    chosen = LexicalSettings(k1=1.2 if seed % 2 else 0.9, b=0.75 if seed % 2 else 0.4)
    texts = texts_of(rng, 60)
    pruned = PrunedBm25(chosen, texts, QUERIES, progress=nothing)
    assert len(pruned) == 60
    for share in (0.0, 0.3, 0.7):
        kept = rng.random(60) >= share
        kept[7] = True
        build_lexical(chosen, [texts[r] for r in np.flatnonzero(kept)], tmp_path / f"{share}")
        real = open_lexical(chosen, tmp_path / f"{share}")
        for k in (1, 5, 100):
            wanted = real.retrieve(QUERIES, k)
            for ranking, true in zip(pruned.retrieve(kept, k), wanted, strict=True):
                assert ranking.query == true.query
                assert ranking.rows.tolist() == np.flatnonzero(kept)[true.rows].tolist()
                assert ranking.scores.tolist() == true.scores.tolist()


def test_bm25_counts_the_kept_alone() -> None:
    """By hand: of "flea", "flea wine", "wine" two stay, and one of them holds the word."""
    pruned = PrunedBm25(
        LexicalSettings(k1=1.0, b=0.0),
        ["flea", "flea wine", "wine"],
        [Query("1", "flea")],
        progress=nothing,
    )
    (ranking,) = pruned.retrieve(np.array([False, True, True]), 10)
    assert ranking.rows.tolist() == [1]
    assert ranking.scores[0] == pytest.approx(np.log(1 + 1.5 / 1.5) * (1 / 2), rel=1e-6)
    with pytest.raises(BadArguments, match="k is 0"):
        pruned.retrieve(np.ones(3, bool), 0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.floats(0, 0.95))
def test_dense_is_that_of_an_index_of_the_kept(seed: int, k: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-2, 3, (120, 4)).astype(np.float32)  # small numbers: many exact ties
    queries = rng.integers(-2, 3, (5, 4)).astype(np.float32)
    kept = rng.random(120) >= share
    kept[3] = True
    whole, part = faiss.IndexFlatIP(4), faiss.IndexFlatIP(4)
    whole.add(vectors)
    part.add(vectors[kept])
    found = PrunedDense(DenseIndex(whole), queries).search(kept, k)
    for (rows, scores), (real_rows, real) in zip(
        found, DenseIndex(part).search(queries, k), strict=True
    ):
        assert rows.tolist() == np.flatnonzero(kept)[real_rows].tolist()
        assert scores.tolist() == real.tolist()


def test_a_cut_that_takes_the_nearest_is_answered_from_deeper_down() -> None:
    vectors = np.arange(100, 0, -1, dtype=np.float32)[:, None]
    index = faiss.IndexFlatIP(1)
    index.add(vectors)
    searcher = PrunedDense(DenseIndex(index), np.ones((1, 1), np.float32))
    kept = np.arange(100) >= 90
    ((rows, scores),) = searcher.search(kept, 3)
    assert rows.tolist() == [90, 91, 92]
    assert scores.tolist() == [10, 9, 8]
    ((rows, _),) = searcher.search(np.arange(100) < 50, 2)
    assert rows.tolist() == [0, 1]
    ((rows, _),) = searcher.search(np.arange(100) == 99, 5)
    assert rows.tolist() == [99]

"""The sketch of a cold tier: estimates within their error, bounds that hold, the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.core.errors import BadData, CorruptFile, Mismatch
from tamis.core.records import Query
from tamis.index.building.cold_sketch import write_term_sketch, write_vector_sketch
from tamis.index.cold_sketch import TERMS, VECTORS, ColdSketch
from tamis.index.lexical import LexicalSettings, build_lexical_tiers, open_lexical
from tamis.index.lexical.bm25s import Bm25sIndex

if TYPE_CHECKING:
    from pathlib import Path

DIM = 96


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def clustered(n: int) -> np.ndarray:
    """Unit vectors around a common direction, as those of texts are."""
    rng = np.random.default_rng(0)
    return unit(rng.standard_normal((n, DIM)) + rng.standard_normal(DIM))


def few_numbers(n: int) -> np.ndarray:
    """Two numbers in each vector are not 0: unless it is turned, signs say nothing of the rest."""
    rng = np.random.default_rng(1)
    vectors = np.zeros((n, DIM))
    for own in vectors:
        own[rng.choice(DIM, 2, replace=False)] = rng.standard_normal(2)
    return unit(vectors)


def sketched(vectors: np.ndarray, folder: Path, cut: int = 1000) -> ColdSketch:
    (folder / VECTORS).parent.mkdir(parents=True, exist_ok=True)
    blocks = [vectors[start : start + cut] for start in range(0, len(vectors), cut)]
    write_vector_sketch(lambda: blocks, len(vectors), vectors.shape[1], folder / VECTORS)
    return ColdSketch(lambda name: folder / name)


def queries_to(vectors: np.ndarray, distance: float) -> np.ndarray:
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((40, DIM)) * distance / np.sqrt(DIM)
    return unit(vectors[:40] + noise)


@pytest.mark.parametrize("made", [clustered, few_numbers])
def test_an_estimate_lies_within_the_error_of_its_code(made: object, tmp_path: Path) -> None:
    vectors = made(300)  # type: ignore[operator]
    queries = queries_to(vectors, 0.7)
    found = sketched(vectors, tmp_path).best_products(queries)
    exact = (queries @ vectors.T).max(axis=1)
    centre = vectors.mean(axis=0)
    apart = np.linalg.norm(queries - centre, axis=1), np.linalg.norm(vectors - centre, axis=1)
    error = 0.75 * apart[0] * apart[1].max() / np.sqrt(DIM)
    assert (np.abs(found - exact) < 2 * error).all()
    assert np.abs(found - exact).mean() < 0.75 * error.mean()
    assert error.mean() < 0.11  # scores themselves are .6 to 1


def test_the_code_is_the_one_of_the_paper(tmp_path: Path) -> None:
    vectors = clustered(50)
    queries = queries_to(vectors, 0.7)
    found = sketched(vectors, tmp_path).best_products(queries)
    stored = faiss.read_index(str(tmp_path / VECTORS))  # owns what the casts point to
    rotation = faiss.downcast_VectorTransform(faiss.downcast_index(stored).chain.at(0))
    turn = faiss.vector_to_array(rotation.A).reshape(DIM, DIM)
    own, asked = vectors @ turn.T, queries @ turn.T
    centre = own.mean(axis=0)
    around = own - centre
    signs = np.sign(around) / np.sqrt(DIM)
    length = np.linalg.norm(around, axis=1)
    aligned = (signs * around).sum(axis=1) / length
    inner = (asked - centre) @ signs.T * length / aligned
    estimates = inner + (asked @ centre)[:, None] + own @ centre - centre @ centre
    # the query is rounded to 16 steps a dimension besides
    assert np.abs(estimates.max(axis=1) - found).max() < 0.03


def test_blocks_and_repetition_leave_the_bytes_alone(tmp_path: Path) -> None:
    vectors = clustered(70)
    contents = set()
    for number, cut in enumerate((70, 70, 13, 1)):
        sketched(vectors, tmp_path / str(number), cut)
        contents.add((tmp_path / str(number) / VECTORS).read_bytes())
    assert len(contents) == 1


def test_one_vector_is_known_exactly_and_zeros_are_legal(tmp_path: Path) -> None:
    vectors = clustered(3)
    alone = sketched(vectors[:1], tmp_path / "one").best_products(vectors)
    np.testing.assert_allclose(alone, vectors @ vectors[0], atol=1e-5)
    nothing = sketched(np.zeros((5, DIM), np.float32), tmp_path / "zeros")
    np.testing.assert_allclose(nothing.best_products(vectors), 0, atol=1e-5)
    equal = sketched(np.repeat(vectors[:1], 9, axis=0), tmp_path / "equal")
    np.testing.assert_allclose(equal.best_products(vectors), vectors @ vectors[0], atol=1e-5)
    assert equal.best_products(np.empty((0, DIM), np.float32)).shape == (0,)


def test_wrong_vectors_and_files_are_told(tmp_path: Path) -> None:
    vectors = clustered(4)
    vectors[2, 5] = np.nan
    with pytest.raises(BadData, match="row 2 holds NaN"):
        sketched(vectors, tmp_path)
    assert not (tmp_path / VECTORS).exists()
    sketch = sketched(clustered(4), tmp_path)
    with pytest.raises(Mismatch, match="dimension 96"):
        sketch.best_products(np.ones((1, 3), np.float32))
    (tmp_path / VECTORS).write_bytes(b"no index")
    (tmp_path / TERMS).write_bytes(b"no array")
    broken = ColdSketch(lambda name: tmp_path / name)
    with pytest.raises(CorruptFile, match="no FAISS index"):
        _ = broken.vectors
    with pytest.raises(BadData, match="is no array"):
        _ = broken.terms


VOCABULARY = ["ape", "bee", "cow", "dew", "elk"]
SENTENCES = st.lists(st.sampled_from([*VOCABULARY, "apes", "the"]), max_size=6).map(" ".join)


@settings(max_examples=25, deadline=None)
@given(
    hot=st.lists(SENTENCES, min_size=1, max_size=5),
    cold=st.lists(SENTENCES, min_size=1, max_size=5),
    question=SENTENCES,
)
def test_no_cold_passage_scores_above_its_bound(
    tmp_path_factory: pytest.TempPathFactory, hot: list[str], cold: list[str], question: str
) -> None:
    folder, wanted = tmp_path_factory.mktemp("lexical"), LexicalSettings("bm25s")
    build_lexical_tiers(wanted, [(hot, folder / "hot"), (cold, folder / "cold")])
    above, below = (open_lexical(wanted, folder / name) for name in ("hot", "cold"))
    assert isinstance(above, Bm25sIndex)
    assert isinstance(below, Bm25sIndex)
    write_term_sketch(below.highest(), folder / "terms.npy")
    terms = ColdSketch(lambda _: folder / "terms.npy").terms

    def best(text: str) -> float:
        [ranking] = below.retrieve([Query("q", text)], 1)
        return float(ranking.scores[0]) if len(ranking) else 0.0

    asked = [question, *VOCABULARY, "", "unheard of"]
    bounds = above.bounds([Query("q", text) for text in asked], terms)
    assert bounds.dtype == np.float64
    assert bounds[0] >= best(question) - 1e-5
    np.testing.assert_allclose(bounds[1:6], [best(word) for word in VOCABULARY])  # it is reached
    assert bounds[6:].tolist() == [0, 0]


def test_the_highest_scores_by_hand(tmp_path: Path) -> None:
    wanted = LexicalSettings("bm25s")
    tiers = [(["cat dog"], tmp_path / "hot"), (["cat cat fish", "bird cat"], tmp_path / "cold")]
    build_lexical_tiers(wanted, tiers)
    cold = open_lexical(wanted, tmp_path / "cold")
    assert isinstance(cold, Bm25sIndex)
    scores = dict(zip(["", "bird", "cat", "dog", "fish"], cold.highest().tolist(), strict=True))
    both = cold.retrieve([Query("q", "cat"), Query("q", "bird")], 5)
    assert scores["cat"] == both[0].scores[0] > both[0].scores[1]
    assert scores["bird"] == both[1].scores[0]
    assert scores["dog"] == scores[""] == 0  # in the vocabulary, and in no cold passage

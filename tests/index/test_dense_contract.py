"""Every kind of dense index answers the same questions the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.core.errors import BadArguments, BadData, CorruptFile, Mismatch, MissingResource
from tamis.index.building.vectors_to_faiss import AnnReport, write_faiss
from tamis.index.dense import DenseIndex
from tamis.index.recipes import parse_recipe

faiss = pytest.importorskip("faiss")

if TYPE_CHECKING:
    from pathlib import Path

    from tamis.core.records import Float32Array

N, DIM = 2_500, 8
RECIPES = {
    "flat": "flat",
    "sq8": "sq8",
    "hnsw": "hnsw:M=16,efConstruction=80",
    "ivf": "ivf:nlist=20,nprobe=8",
    "ivfpq": "ivfpq:nlist=20,nprobe=8,m=8",
}
TWINS = np.array([3, 700, 701, 1_400, 1_999, 2_100, 2_480])
"""Rows that hold one and the same vector: a tie that k may cut anywhere."""


class Built(NamedTuple):
    index: DenseIndex
    report: AnnReport
    path: Path
    vectors: Float32Array


@pytest.fixture(scope="module")
def vectors() -> Float32Array:
    rng = np.random.default_rng(5)
    centres = rng.standard_normal((40, DIM))
    points = centres[rng.integers(40, size=N)] + 0.5 * rng.standard_normal((N, DIM))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points[TWINS] = points[TWINS[0]]
    return points.astype(np.float32)


@pytest.fixture(scope="module", params=RECIPES)
def built(
    request: pytest.FixtureRequest, vectors: Float32Array, tmp_path_factory: pytest.TempPathFactory
) -> Built:
    path = tmp_path_factory.mktemp(request.param) / "index"
    recipe = parse_recipe(RECIPES[request.param])
    report = write_faiss(recipe, lambda: np.array_split(vectors, 7), N, DIM, path)
    return Built(DenseIndex.open(path, parameters=report.recipe), report, path, vectors)


def others(vectors: Float32Array, count: int = 60) -> Float32Array:
    rng = np.random.default_rng(8)
    near = vectors[rng.integers(N, size=count)] + 0.1 * rng.standard_normal((count, DIM))
    return near.astype(np.float32)


def test_scores_fall_and_equal_scores_are_in_row_order(built: Built) -> None:
    for rows, scores in built.index.search(others(built.vectors), 50):
        assert rows.dtype == np.int64
        assert scores.dtype == np.float32
        assert len(set(rows.tolist())) == len(rows) > 0
        assert rows.tolist() == rows[np.lexsort((rows, -scores))].tolist()


@pytest.mark.parametrize("k", range(1, 9))
def test_of_tied_rows_the_lowest_survive_the_cut(built: Built, k: int) -> None:
    (rows, scores), *_ = built.index.search(built.vectors[TWINS[:1]], k)
    assert rows.tolist()[:7] == TWINS[:k].tolist()
    assert len(set(scores[:7].tolist())) == 1


def test_ties_at_many_cuts_at_once_agree_with_one_question_at_a_time(built: Built) -> None:
    questions = np.concatenate([built.vectors[TWINS[:1]], others(built.vectors, 30)] * 2)
    for (rows, _), question in zip(built.index.search(questions, 3), questions, strict=True):
        ((alone, _),) = built.index.search(question[None], 3)
        assert rows.tolist() == alone.tolist()


def test_a_query_of_zeros_ties_with_everything(built: Built) -> None:
    (rows, scores), (_, real) = built.index.search(
        np.stack([np.zeros(DIM), built.vectors[0]]).astype(np.float32), 5
    )
    assert rows.tolist() == [0, 1, 2, 3, 4]
    assert scores.tolist() == [0.0] * 5
    assert real[0] > 0


def test_scores_are_inner_products_with_the_stored_vector_of_that_row(built: Built) -> None:
    questions = others(built.vectors, 20)
    for question, (rows, scores) in zip(questions, built.index.search(questions, 30), strict=True):
        np.testing.assert_allclose(scores, built.index.reconstruct(rows) @ question, atol=2e-4)


def test_row_i_is_vector_i(built: Built) -> None:
    rows = np.array([N - 1, 0, 17, 17, 1_234])
    stored = built.index.reconstruct(rows)
    assert stored.shape == (5, DIM)
    tolerance = {"flat": 0, "hnsw": 0, "ivf": 0, "sq8": 0.01, "ivfpq": 0.15}[built.index.kind]
    assert np.abs(stored - built.vectors[rows]).max() <= tolerance
    assert built.index.reconstruct([]).shape == (0, DIM)


def test_nine_of_ten_true_neighbours_are_found(built: Built) -> None:
    questions = others(built.vectors)
    exact = questions @ built.vectors.T
    share = []
    for truth, (rows, _) in zip(exact, built.index.search(questions, 10), strict=True):
        share.append(float((truth[rows] >= np.sort(truth)[-10]).mean()))
    assert np.mean(share) >= (1.0 if built.index.kind == "flat" else 0.9)


def test_k_beyond_the_collection_gives_what_there_is(built: Built) -> None:
    (rows, scores), *_ = built.index.search(built.vectors[:2], N + 50)
    assert len(rows) == len(scores) <= N
    assert rows.min() >= 0
    if built.index.kind in ("flat", "sq8"):
        assert sorted(rows.tolist()) == list(range(N))
    else:  # the lists that were probed; all of the graph but a few rows that no edge leads to
        assert len(rows) >= (0.97 * N if built.index.kind == "hnsw" else N // 5)


def test_a_deep_question_is_answered_in_full(built: Built) -> None:
    """HNSW's efSearch is far below this k, and FAISS would stop there."""
    questions = others(built.vectors)
    exact = questions @ built.vectors.T
    share = []
    for truth, (rows, _) in zip(exact, built.index.search(questions, 700), strict=True):
        assert len(rows) == 700 or built.index.kind.startswith("ivf")
        share.append(float((truth[rows] >= np.sort(truth)[-700]).sum() / 700))
    assert np.mean(share) >= (0.7 if built.index.kind.startswith("ivf") else 0.95)


def test_no_query_no_answer(built: Built) -> None:
    assert built.index.search(np.empty((0, DIM), np.float32), 10) == []


def test_any_layout_of_numbers_will_do(built: Built) -> None:
    questions = others(built.vectors, 6)
    expected = [rows.tolist() for rows, _ in built.index.search(questions, 10)]
    for same in (np.asfortranarray(questions), questions.astype(np.float64), questions.tolist()):
        assert [rows.tolist() for rows, _ in built.index.search(same, 10)] == expected


def test_wrong_questions_are_refused_with_both_numbers(built: Built) -> None:
    with pytest.raises(Mismatch, match=r"\(2, 7\).*dimension 8"):
        built.index.search(np.zeros((2, 7), np.float32), 3)
    with pytest.raises(Mismatch, match=r"\(8,\)"):
        built.index.search(np.zeros(8, np.float32), 3)
    with pytest.raises(BadArguments, match="k is 0"):
        built.index.search(built.vectors[:1], 0)
    broken = built.vectors[:3].copy()
    broken[1, 4] = np.nan
    with pytest.raises(BadData, match="query vector 1"):
        built.index.search(broken, 3)
    with pytest.raises(BadArguments, match="rows -1 to 2500"):
        built.index.reconstruct([-1, 2_500])


def test_faiss_alone_reads_the_file_and_agrees(built: Built) -> None:
    """Pyserini's searcher does this: no map of ids, positions as rows, inner product."""
    bare = faiss.read_index(str(built.path))
    assert bare.metric_type == faiss.METRIC_INNER_PRODUCT
    assert bare.ntotal == len(built.index) == N
    assert hasattr(bare, "hnsw") == (built.index.kind == "hnsw")
    if built.index.kind == "hnsw":
        assert bare.hnsw.efSearch == built.report.recipe["efSearch"]
    elif built.index.kind.startswith("ivf"):
        assert bare.nprobe == built.report.recipe["nprobe"]
    questions = others(built.vectors, 5)
    scores, _ = bare.search(questions, 20)
    ours = np.stack([scores for _, scores in built.index.search(questions, 20)])
    np.testing.assert_allclose(ours, scores, atol=1e-6)


def test_the_manifest_may_set_the_effort_of_a_search(built: Built) -> None:
    names = {"hnsw": "efSearch", "ivf": "nprobe", "ivfpq": "nprobe"}
    if built.index.kind not in names:
        pytest.skip("nothing to set: every vector is compared")
    chosen = {"kind": built.index.kind, names[built.index.kind]: 1}
    little = DenseIndex.open(built.path, parameters=chosen)
    questions = others(built.vectors)
    exact = questions @ built.vectors.T

    def found(index: DenseIndex) -> float:
        answers = index.search(questions, 100)
        return sum(
            float(truth[rows].sum()) for truth, (rows, _) in zip(exact, answers, strict=True)
        )

    if built.index.kind == "hnsw":  # FAISS never searches wider than efSearch or k
        assert little._core.hnsw.efSearch == 1
    else:
        assert found(little) < found(built.index)
    with pytest.raises(Mismatch, match="manifest speaks of annoy"):
        DenseIndex.open(built.path, parameters={"kind": "annoy"})


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(0, 40),
    dim=st.integers(1, 3),
    k=st.integers(1, 45),
    q=st.integers(0, 25),
    seed=st.integers(0, 99),
)
def test_exact_search_equals_sorting_everything(
    n: int, dim: int, k: int, q: int, seed: int
) -> None:
    """Small whole numbers: scores are exact and most of them are tied."""
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-1, 2, (n, dim)).astype(np.float32)
    questions = rng.integers(-1, 2, (q, dim)).astype(np.float32)
    flat = faiss.IndexFlatIP(dim)
    flat.add(vectors)
    answers = DenseIndex(flat).search(questions, k)
    assert len(answers) == q
    for scores, (rows, best) in zip(questions @ vectors.T, answers, strict=True):
        order = np.lexsort((np.arange(n), -scores))[:k]
        assert rows.tolist() == order.tolist()
        assert best.tolist() == scores[order].tolist()


def test_files_that_are_no_index_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingResource, match="nowhere"):
        DenseIndex.open(tmp_path / "nowhere")
    (tmp_path / "text").write_text("not an index, though long enough to hold a header of one")
    with pytest.raises(CorruptFile, match="text is no FAISS index"):
        DenseIndex.open(tmp_path / "text")

"""Indexes that somebody else built: what still ranks right opens, the rest is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tamis.core.errors import BadData, CorruptFile
from tamis.index.dense import DenseIndex

faiss = pytest.importorskip("faiss")

if TYPE_CHECKING:
    from pathlib import Path

DIM = 8


@pytest.fixture
def vectors() -> Any:
    points = np.random.default_rng(2).standard_normal((300, DIM))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def saved(index: Any, folder: Path) -> Path:
    path = folder / "index"
    faiss.write_index(index, str(path))
    return path


def test_an_index_of_distances_is_refused(vectors: Any, tmp_path: Path) -> None:
    index = faiss.IndexFlatL2(DIM)
    index.add(vectors)
    with pytest.raises(BadData, match="metric 1, not by inner product"):
        DenseIndex.open(saved(index, tmp_path))


@pytest.mark.parametrize("wrapped", [False, True])
def test_hnsw_relabelled_after_construction_is_refused(
    vectors: Any, tmp_path: Path, wrapped: bool
) -> None:
    """The outer label says inner product, the storage ranks by L2: FAISS returns the farthest."""
    index = faiss.IndexHNSWFlat(DIM, 8)
    index.metric_type = faiss.METRIC_INNER_PRODUCT
    index.add(vectors)
    if wrapped:
        rotation = faiss.RandomRotationMatrix(DIM, DIM)
        rotation.train(vectors)
        outer = faiss.IndexPreTransform(rotation, index)
        outer.metric_type = faiss.METRIC_INNER_PRODUCT
        index = outer
    with pytest.raises(BadData, match="HNSW storage ranks by FAISS metric 1"):
        DenseIndex.open(saved(index, tmp_path))


def test_ids_that_are_not_positions_are_refused(vectors: Any, tmp_path: Path) -> None:
    index = faiss.IndexIDMap2(faiss.IndexFlatIP(DIM))
    index.add_with_ids(vectors, np.arange(300)[::-1].copy())
    with pytest.raises(BadData, match="rows must be positions"):
        DenseIndex.open(saved(index, tmp_path))


def test_ids_that_are_positions_do_no_harm(vectors: Any, tmp_path: Path) -> None:
    index = faiss.IndexIDMap(faiss.IndexHNSWFlat(DIM, 8, faiss.METRIC_INNER_PRODUCT))
    index.add_with_ids(vectors, np.arange(300))
    opened = DenseIndex.open(saved(index, tmp_path), parameters={"efSearch": 77})
    assert opened.kind == "hnsw"
    ((rows, _),) = opened.search(vectors[4:5], 1)
    assert rows.tolist() == [4]
    np.testing.assert_array_equal(opened.reconstruct([4]), vectors[4:5])


def test_a_transform_in_front_keeps_rows_and_gives_vectors_back(
    vectors: Any, tmp_path: Path
) -> None:
    rotation = faiss.RandomRotationMatrix(DIM, DIM)
    rotation.train(vectors)
    index = faiss.IndexPreTransform(rotation, faiss.IndexFlatIP(DIM))
    index.add(vectors)
    opened = DenseIndex.open(saved(index, tmp_path))
    ((rows, scores),) = opened.search(vectors[7:8], 5)
    truth = vectors @ vectors[7]
    assert rows.tolist() == np.argsort(-truth)[:5].tolist()
    np.testing.assert_allclose(scores, np.sort(truth)[::-1][:5], atol=1e-6)
    np.testing.assert_allclose(opened.reconstruct([9]), vectors[9:10], atol=1e-6)


def test_hnsw_behind_a_transform_is_searched_as_deep_as_asked(vectors: Any, tmp_path: Path) -> None:
    rotation = faiss.RandomRotationMatrix(DIM, DIM)
    rotation.train(vectors)
    inner = faiss.IndexHNSWFlat(DIM, 16, faiss.METRIC_INNER_PRODUCT)
    index = faiss.IndexPreTransform(rotation, inner)
    index.add(vectors)
    opened = DenseIndex.open(saved(index, tmp_path), parameters={"efSearch": 4})
    assert all(len(rows) >= 290 for rows, _ in opened.search(vectors[:20], 300))


def test_other_kinds_keep_faiss_own_name(vectors: Any, tmp_path: Path) -> None:
    index = faiss.IndexLSH(DIM, 32)
    index.train(vectors)
    index.add(vectors)
    with pytest.raises(BadData, match="not by inner product"):
        DenseIndex.open(saved(index, tmp_path))
    coded = faiss.IndexPQ(DIM, 4, 4, faiss.METRIC_INNER_PRODUCT)
    coded.train(vectors)
    coded.add(vectors)
    opened = DenseIndex.open(saved(coded, tmp_path))
    assert opened.kind == "IndexPQ"
    assert len(opened.search(vectors[:2], 5)[1][0]) == 5


@pytest.mark.parametrize("kind", ["Flat", "SQ8", "HNSW8", "IVF4,Flat"])
def test_a_file_cut_short_is_refused_at_opening(vectors: Any, tmp_path: Path, kind: str) -> None:
    index = faiss.index_factory(DIM, kind, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    path = saved(index, tmp_path)
    path.write_bytes(path.read_bytes()[:-5_000] if kind != "SQ8" else path.read_bytes()[:-500])
    with pytest.raises(CorruptFile, match="no FAISS index that this version reads"):
        DenseIndex.open(path)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_order(vectors: Any, tmp_path: Path) -> None:
    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0:
        pytest.skip("this FAISS sees no GPU")
    index = faiss.IndexFlatIP(DIM)
    index.add(vectors)
    path = saved(index, tmp_path)
    near = DenseIndex.open(path).search(vectors[:9], 20)
    far = DenseIndex.open(path, device="cuda").search(vectors[:9], 20)
    assert [r.tolist() for r, _ in near] == [r.tolist() for r, _ in far]


def test_one_row_out_of_reach_leaves_no_padding() -> None:
    """Four vectors in one list, one in the other: a single -1 ends FAISS's answer."""
    points = np.array([[1, 0], [0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [-1, 0]], np.float32)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(2), 2, 2, faiss.METRIC_INNER_PRODUCT)
    index.quantizer.add(np.array([[1, 0], [-1, 0]], np.float32))
    index.is_trained = True
    index.add(points)
    for k in (4, 5, 6):
        ((rows, scores),) = DenseIndex(index).search([[1, 0]], k)
        assert rows.tolist() == [0, 1, 2, 3]
        assert len(scores) == 4

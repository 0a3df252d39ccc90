"""From vectors to a FAISS file: the same bytes, little memory, whole or not at all."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tamis.core.errors import BadArguments, BadData, Mismatch, MissingDependency
from tamis.index.building.ann_recall import _exact, moved
from tamis.index.building.vector_blocks import gather, regular, sample_rows
from tamis.index.building.vectors_to_faiss import _reserve, write_faiss
from tamis.index.dense import DenseIndex
from tamis.index.recipes import parse_recipe

faiss = pytest.importorskip("faiss")

if TYPE_CHECKING:
    from tamis.core.records import Float32Array

N, DIM = 1_300, 16
ALL = ["flat", "sq8", "hnsw:M=8,efConstruction=40", "ivf", "ivfpq"]


@pytest.fixture(scope="module")
def vectors() -> Float32Array:
    points = np.random.default_rng(3).standard_normal((N, DIM))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("recipe", ALL)
def test_the_same_bytes_however_the_vectors_are_cut(
    vectors: Float32Array, tmp_path: Path, recipe: str
) -> None:
    sums = []
    for cut in (1, 9):
        path = tmp_path / f"{cut}"
        write_faiss(parse_recipe(recipe), lambda: np.array_split(vectors, cut), N, DIM, path)  # noqa: B023
        sums.append(hashlib.sha256(path.read_bytes()).hexdigest())
    assert sums[0] == sums[1]


def test_a_flat_file_is_what_faiss_would_write(vectors: Float32Array, tmp_path: Path) -> None:
    write_faiss(parse_recipe("flat"), lambda: [vectors], N, DIM, tmp_path / "ours")
    index = faiss.IndexFlatIP(DIM)
    index.add(vectors)
    faiss.write_index(index, str(tmp_path / "theirs"))
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_blocks_are_cut_again_without_loss() -> None:
    numbers = np.arange(46, dtype=np.float32).reshape(23, 2)
    for cut in (1, 2, 5, 23, 30):
        pieces = list(regular(np.array_split(numbers, cut), 4))
        assert [len(p) for p in pieces] == [4, 4, 4, 4, 4, 3]
        np.testing.assert_array_equal(np.concatenate(pieces), numbers)
    assert list(regular([], 4)) == []


def test_a_sample_is_fixed_and_its_rows_are_those_vectors() -> None:
    numbers = np.arange(1_000, dtype=np.float32).reshape(500, 2)
    rows = sample_rows(500, 60, seed=1)
    assert len(set(rows.tolist())) == 60
    assert sorted(rows.tolist()) == rows.tolist() == sample_rows(500, 60, seed=1).tolist()
    np.testing.assert_array_equal(gather(np.array_split(numbers, 7), rows, 2), numbers[rows])
    assert sample_rows(5, 60, seed=1).tolist() == [0, 1, 2, 3, 4]


def test_the_report_measures_what_was_written(vectors: Float32Array, tmp_path: Path) -> None:
    path = tmp_path / "index"
    report = write_faiss(parse_recipe("flat"), lambda: [vectors], N, DIM, path)
    assert (report.recall_at_10, report.recall_at_100) == (1.0, 1.0)
    assert report.sample["queries"] == 200
    assert report.bytes == path.stat().st_size == 45 + N * DIM * 4
    assert report.to_json()["recipe"] == {"kind": "flat", "reproducible": True}

    poor = write_faiss(parse_recipe("ivf:nprobe=1"), lambda: [vectors], N, DIM, path)
    questions = moved(vectors[sample_rows(N, 200, 20_260_101)])
    index = DenseIndex.open(path)
    share = []
    for question, (rows, _) in zip(questions, index.search(questions, 10), strict=True):
        truth = set(np.argsort(-(vectors @ question))[:10].tolist())
        share.append(len(truth & set(rows.tolist())) / 10)
    assert 0.05 < poor.recall_at_10 < 0.9
    assert poor.recall_at_10 == pytest.approx(np.mean(share), abs=0.005)


def test_equal_vectors_are_no_misses() -> None:
    """Ten vectors, each thirty times: which of the thirty is found is no matter.

    A float32 matrix product gives more than half of these twins unequal scores.
    """
    few = np.random.default_rng(4).standard_normal((10, DIM)).astype(np.float32)
    few /= np.linalg.norm(few, axis=1, keepdims=True)
    questions = moved(np.tile(few, (20, 1)))
    nearest = (questions.astype(np.float64) @ few.T.astype(np.float64)).argmax(axis=1)
    found = nearest[:, None] + 10 * np.arange(30)
    best, reached = _exact([np.tile(few, (30, 1))], questions, found)
    assert (best == best[:, :1]).all()
    assert (reached == best).all()


@pytest.mark.parametrize("n", [0, 1, 2, 12])
@pytest.mark.parametrize("recipe", ["flat", "hnsw", "ivf"])
def test_tiny_collections_are_legal(tmp_path: Path, n: int, recipe: str) -> None:
    if n == 0 and recipe == "ivf":
        pytest.skip("nothing to learn a list from")
    vectors = np.eye(12, dtype=np.float32)[:n]
    report = write_faiss(parse_recipe(recipe), lambda: [vectors], n, 12, tmp_path / "index")
    assert report.recall_at_10 == 1.0
    answers = DenseIndex.open(tmp_path / "index").search(np.ones((1, 12)), 20)
    assert answers[0][0].tolist() == list(range(n))


def test_zero_vectors_are_legal(vectors: Float32Array, tmp_path: Path) -> None:
    some = vectors.copy()
    some[::3] = 0
    for recipe in ("flat", "hnsw:M=8", "ivf"):
        write_faiss(parse_recipe(recipe), lambda: [some], N, DIM, tmp_path / "index")
        ((rows, _),) = DenseIndex.open(tmp_path / "index").search(some[1:2], 1)
        assert rows.tolist() == [1]


@pytest.mark.parametrize("recipe", ["flat", "ivf"])
def test_what_is_no_vector_is_refused_by_its_row(
    vectors: Float32Array, tmp_path: Path, recipe: str
) -> None:
    broken = vectors.copy()
    broken[901, 2] = np.inf
    chosen, path = parse_recipe(recipe), tmp_path / "index"
    with pytest.raises(BadData, match="row 901 holds NaN or infinity"):
        write_faiss(chosen, lambda: np.array_split(broken, 4), N, DIM, path)
    with pytest.raises(Mismatch, match=r"from row 650 on have shape \(650, 15\).*dimension 16"):
        write_faiss(chosen, lambda: [vectors[:650], vectors[650:, :15]], N, DIM, path)
    with pytest.raises(Mismatch, match="1300 vectors arrived and 1301 were announced"):
        write_faiss(chosen, lambda: [vectors], N + 1, DIM, path)
    assert list(tmp_path.iterdir()) == []


def test_progress_hears_every_row(vectors: Float32Array, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    many = np.tile(vectors, (14, 1))
    write_faiss(
        parse_recipe("sq8"),
        lambda: [many],
        len(many),
        DIM,
        tmp_path / "index",
        progress=lambda done, n: heard.append((done, n)),
    )
    assert heard == [(16_384, 18_200), (18_200, 18_200)]


def test_several_threads_are_recorded_as_irreproducible(
    vectors: Float32Array, tmp_path: Path
) -> None:
    before = faiss.omp_get_max_threads()
    report = write_faiss(
        parse_recipe("hnsw:threads=2"), lambda: [vectors], N, DIM, tmp_path / "index"
    )
    assert report.recipe["reproducible"] is False
    assert report.recall_at_10 > 0.9
    assert faiss.omp_get_max_threads() == before


def test_room_that_was_reserved_is_not_copied_when_filled() -> None:
    index = faiss.IndexFlatIP(DIM)
    _reserve(index.codes, 4_096 * DIM * 4)
    index.add(np.zeros((1, DIM), np.float32))
    place = int(index.codes.data())
    for _ in range(63):
        index.add(np.zeros((65, DIM), np.float32))
    assert index.ntotal == 4_096
    assert int(index.codes.data()) == place


def run(program: str, *arguments: str) -> str:
    """Run a program in a fresh process, as limits and peaks belong to a whole process."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


PEAK = """
import resource, sys
from pathlib import Path
import faiss, numpy as np
from tamis.index.building.vectors_to_faiss import write_faiss
from tamis.index.recipes import parse_recipe
n, dim, block = 131_072, 384, 8_192
seed = np.random.default_rng(0).standard_normal((block, dim), dtype=np.float32)
def blocks():
    for place in range(n // block):
        yield np.roll(seed, place, axis=1)
faiss.IndexFlatIP(dim).search(seed[:1], 1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
write_faiss(parse_recipe("flat"), blocks, n, dim, Path(sys.argv[1]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / (n * dim * 4))
"""


def test_an_exact_index_is_never_held_twice(tmp_path: Path) -> None:
    """200 MB of vectors. The file is mapped while its recall is measured, which counts once."""
    grown = float(run(PEAK, str(tmp_path / "index")))
    assert grown <= 1.3 + 100e6 / (131_072 * 384 * 4)
    (tmp_path / "index").unlink()


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from tamis.core.errors import FailedWhileRunning
from tamis.index.building.vectors_to_faiss import write_faiss
from tamis.index.recipes import parse_recipe
vectors = np.random.default_rng(0).standard_normal((1_300, 16)).astype(np.float32)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write_faiss(parse_recipe(sys.argv[1]), lambda: [vectors], 1_300, 16, Path(sys.argv[2]))
except FailedWhileRunning as failure:
    print(failure)
"""


@pytest.mark.parametrize("recipe", ["flat", "sq8", "hnsw:M=4"])
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, recipe: str) -> None:
    said = run(FULL, recipe, str(tmp_path / "index"))
    assert f"writing {tmp_path / 'index'} failed" in said
    assert "make room" in said
    assert list(tmp_path.iterdir()) == []


def test_a_gpu_that_is_not_there_is_named(
    vectors: Float32Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0, raising=False)
    with pytest.raises(MissingDependency, match=r"pip install 'tamis\[gpu\]'"):
        write_faiss(
            parse_recipe("ivf"), lambda: [vectors], N, DIM, tmp_path / "index", device="cuda"
        )
    report = write_faiss(
        parse_recipe("flat"), lambda: [vectors], N, DIM, tmp_path / "index", device="cuda"
    )
    assert report.recall_at_10 == 1.0
    with pytest.raises(MissingDependency, match="use device cpu"):
        DenseIndex.open(tmp_path / "index", device="cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("recipe", ["ivf", "ivfpq"])
def test_lists_found_on_a_gpu_are_the_right_ones(
    vectors: Float32Array, tmp_path: Path, recipe: str
) -> None:
    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0:
        pytest.skip("this FAISS sees no GPU")
    reports: list[Any] = [
        write_faiss(
            parse_recipe(recipe), lambda: [vectors], N, DIM, tmp_path / "index", device=device
        )
        for device in ("cpu", "cuda")
    ]
    assert reports[1].recall_at_10 == pytest.approx(reports[0].recall_at_10, abs=0.05)


def test_a_recipe_the_vectors_cannot_train_is_refused_before_work(tmp_path: Path) -> None:
    with pytest.raises(BadArguments, match="use flat"):
        write_faiss(parse_recipe("ivfpq"), list, 20, 16, tmp_path / "index")

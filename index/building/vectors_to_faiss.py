"""Vectors to a FAISS file: train, add, write whole or not at all, read back, measure the recall."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.durable import replacing
from ...core.errors import FailedWhileRunning
from ...core.optional import need
from ..dense import DenseIndex, gpu_resources
from .ann_recall import measure_recall
from .flat_file import write_flat
from .vector_blocks import checked, gather, regular, sample_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from ...core.records import Float32Array
    from ..recipes import AnnRecipe
    from .vector_blocks import Blocks

BLOCK = 16_384
"""Rows added at once. Fixed: an HNSW graph depends on it."""

SEED = 1_234
POINTS = 256  # a centroid, FAISS's own limit ...
MANY_POINTS = 1 << 18  # ... until there are so many in all,
FEWER_POINTS = 64  # then so many a centroid: memory and time stay bounded, recall hardly moves


@dataclass(frozen=True, slots=True)
class AnnReport:
    """What the manifest says of an index: the resolved recipe and what it finds.

    ``sample`` is {"queries": how many, "how": how they were drawn}; ``bytes`` the file's size.
    """

    recipe: Mapping[str, str | int | bool]
    recall_at_10: float
    recall_at_100: float
    sample: Mapping[str, int | str]
    bytes: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def write_faiss(
    recipe: AnnRecipe,
    blocks: Blocks,
    n: int,
    dim: int,
    path: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    device: str = "cpu",
) -> AnnReport:
    """Write the index of n vectors that ``blocks`` gives in row order; ``path`` appears whole.

    ``blocks`` is called several times (training, adding, measuring). The metric is inner product.
    ``flat`` holds one block in memory, every other kind the index itself (inverted lists grow by
    doubling, up to twice that). The same vectors give the same bytes on one machine and thread
    count, however they are cut into blocks, unless ``recipe.reproducible`` is false.
    ``progress`` hears (rows added, n) after each block. ``device="cuda"`` trains and assigns
    ``ivf`` and ``ivfpq`` on the GPU; other kinds gain nothing from it and stay on the CPU. Zero
    vectors are legal. Raises BadData naming the row that is not finite, Mismatch, BadArguments
    from ``recipe.resolved``, FailedWhileRunning on a full disk.
    """
    faiss = need("faiss", "building a dense index")
    recipe = recipe.resolved(n, dim)

    def rows() -> Iterator[Float32Array]:
        done = 0
        for block in regular(checked(blocks, n, dim), BLOCK):
            yield block
            done += len(block)
            if progress is not None:
                progress(done, n)

    try:
        with replacing(path, "wb") as out:
            if recipe.kind == "flat":
                write_flat(out, rows(), n, dim)
            else:
                index = _built(recipe, blocks, rows(), n, dim, device)
                faiss.write_index(index, faiss.PyCallbackIOWriter(out.write))
                del index
    except RuntimeError as failure:
        raise FailedWhileRunning(f"FAISS could not build {recipe}: {failure}") from failure
    recalls, sample = measure_recall(DenseIndex.open(path), blocks, (10, 100))
    return AnnReport(recipe.to_json(), recalls[10], recalls[100], sample, path.stat().st_size)


def _built(
    recipe: AnnRecipe,
    blocks: Blocks,
    rows: Iterable[Float32Array],
    n: int,
    dim: int,
    device: str,
) -> Any:
    """The index in memory, trained and full. The metric goes to the constructor: an HNSW index
    whose ``metric_type`` is set afterwards keeps a storage that ranks by L2."""
    faiss = need("faiss", "building a dense index")
    index = faiss.index_factory(dim, _factory(recipe), faiss.METRIC_INNER_PRODUCT)
    gpu = gpu_resources() if device == "cuda" and recipe.kind in ("ivf", "ivfpq") else None
    if not index.is_trained:
        chosen = sample_rows(n, _training_size(recipe), SEED)
        _train(index, gather(checked(blocks, n, dim), chosen, dim), gpu)
    if recipe.kind == "hnsw":
        _fill_hnsw(index, recipe, rows, n)
    elif recipe.kind == "sq8":
        _reserve(index.codes, n * index.code_size)
        for block in rows:
            index.add(block)
    else:
        _fill_lists(index, rows, gpu)
        index.nprobe = recipe.parameters["nprobe"]
    return index


def _factory(recipe: AnnRecipe) -> str:
    """The recipe in the language of ``faiss.index_factory``."""
    chosen = recipe.parameters
    return {
        "sq8": "SQ8",
        "hnsw": f"HNSW{chosen.get('M')}",
        "ivf": f"IVF{chosen.get('nlist')},Flat",
        "ivfpq": f"IVF{chosen.get('nlist')},PQ{chosen.get('m')}x{chosen.get('bits')}",
    }[recipe.kind]


def _training_size(recipe: AnnRecipe) -> int:
    """How many vectors k-means sees; what ``sq8`` needs is only each number's range."""
    lists = recipe.parameters.get("nlist", 1)
    codes = 1 << recipe.parameters.get("bits", 8)
    for_lists = min(POINTS * lists, max(MANY_POINTS, FEWER_POINTS * lists))
    return max(for_lists, POINTS * codes)


def _train(index: Any, sample: Float32Array, gpu: Any) -> None:
    faiss = need("faiss", "building a dense index")
    if gpu is not None:
        index.clustering_index = faiss.index_cpu_to_gpu(gpu, 0, faiss.IndexFlatIP(index.d))
    index.train(sample)
    if gpu is not None:
        index.clustering_index = None


def _fill_lists(index: Any, rows: Iterable[Float32Array], gpu: Any) -> None:
    """Add to an inverted file; on a GPU the search for each vector's list happens there."""
    faiss = need("faiss", "building a dense index")
    if gpu is None:
        for block in rows:
            index.add(block)
        return
    quantizer = faiss.index_cpu_to_gpu(gpu, 0, faiss.downcast_index(index.quantizer))
    for block in rows:
        lists = np.ascontiguousarray(quantizer.search(block, 1)[1].ravel(), dtype=np.int64)
        index.add_core(len(block), faiss.swig_ptr(block), None, faiss.swig_ptr(lists))


def _fill_hnsw(index: Any, recipe: AnnRecipe, rows: Iterable[Float32Array], n: int) -> None:
    """Insert by one thread unless told otherwise: with several, the graph depends on their race."""
    faiss = need("faiss", "building a dense index")
    chosen = recipe.parameters
    index.hnsw.efConstruction = chosen["efConstruction"]
    index.hnsw.efSearch = chosen["efSearch"]
    _reserve(faiss.downcast_index(index.storage).codes, n * index.d * 4)
    _reserve(index.hnsw.neighbors, n * (2 * chosen["M"] + 2))
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(chosen["threads"])
    try:
        for block in rows:
            index.add(block)
    finally:
        faiss.omp_set_num_threads(before)


def _reserve(vector: Any, size: int) -> None:
    """Room for ``size`` elements, so that growing never copies what is there (twice the memory).

    A C++ vector keeps its room when it shrinks; FAISS offers no ``reserve``.
    """
    vector.resize(size)
    vector.resize(0)

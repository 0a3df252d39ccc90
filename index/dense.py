"""A FAISS file that answers nearest-neighbour questions by inner product, ties in row order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import (
    BadArguments,
    BadData,
    CorruptFile,
    Mismatch,
    MissingDependency,
    MissingResource,
)
from ..core.optional import need
from ..core.topk import best_first

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import ArrayLike

    from ..core.records import Float32Array, Int64Array

ASKED_AT_ONCE = 1 << 22
"""Candidates held at once while ties at the cut are settled: 50 MB of rows and scores."""

GPU_DEPTH = 2_048
"""FAISS on a GPU returns at most so many candidates a query."""


class DenseIndex:
    """Row i of the file is row i of the index folder; the score is the inner product."""

    def __init__(self, index: Any, *, device: str = "cpu") -> None:
        """Take an index already in memory; ``open`` is the usual way in. BadData as there."""
        self._whole = index  # owns the memory that the parts below point into
        self._stored = self._index = _without_positions(index)
        self._core = _core(self._stored)
        _check_metrics(self._stored)
        self._bare = self._core is self._stored
        self._mapped = False
        self.kind = _kind(self._core)
        self._deepest = len(self)
        if device != "cpu":
            self._index = _on_gpu(self._index)
            self._deepest = min(len(self), GPU_DEPTH)

    @classmethod
    def open(
        cls, path: Path, *, device: str = "cpu", parameters: Mapping[str, object] | None = None
    ) -> DenseIndex:
        """Read a FAISS file, ours or a stranger's, memory-mapped: nothing is loaded before use.

        ``parameters`` is a resolved recipe as the manifest holds it; its ``efSearch`` or ``nprobe``
        replaces what the file says. Raises MissingResource, CorruptFile for what FAISS cannot
        read, BadData for another metric than inner product or ids that are not positions.
        """
        faiss = need("faiss", "a dense index")
        if not path.is_file():
            raise MissingResource(f"{path} is not there; it should be a FAISS index")
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as failure:
            raise CorruptFile(
                f"{path} is no FAISS index that this version reads: {_reason(failure)}; "
                f"build the index again"
            ) from failure
        try:
            opened = cls(index, device=device)
        except BadData as failure:
            raise type(failure)(f"{path}: {failure}") from failure
        opened._adjust(parameters or {})
        return opened

    def _adjust(self, parameters: Mapping[str, object]) -> None:
        kind = parameters.get("kind", self.kind)
        if kind != self.kind:
            raise Mismatch(f"the manifest speaks of {kind}, the file holds {self.kind}")
        if self.kind == "hnsw" and "efSearch" in parameters:
            self._core.hnsw.efSearch = parameters["efSearch"]
        if self.kind in ("ivf", "ivfpq") and "nprobe" in parameters:
            self._core.nprobe = parameters["nprobe"]

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def dim(self) -> int:
        return int(self._index.d)

    def search(self, vectors: ArrayLike, k: int) -> list[tuple[Int64Array, Float32Array]]:
        """For each query its best rows, at most k, int64, and their scores, float32, best first.

        vectors [q, dim], finite; q may be 0. Equal scores are in row order, also across the cut at
        k: of several passages tied for the last place the lowest rows are returned. Fewer than k
        come back where the index holds fewer or an approximate search finds fewer.
        """
        queries = self._queries(vectors)
        if k < 1:
            raise BadArguments(f"k is {k}; at least one answer must be asked for")
        if k > self._deepest and self._deepest < len(self):
            raise BadArguments(f"k is {k}; on a GPU FAISS returns at most {GPU_DEPTH}; use the CPU")
        if not len(self) or not len(queries):
            return [(np.empty(0, np.int64), np.empty(0, np.float32))] * len(queries)
        found, undecided = self._first_answers(queries, k)
        for place, answer in self._deeper_answers(queries, undecided, k):
            found[place] = answer
        return found

    def _first_answers(
        self, queries: Float32Array, k: int
    ) -> tuple[list[tuple[Int64Array, Float32Array]], Int64Array]:
        """Everybody's answer, and the places of those where a tie straddles the cut."""
        ask = min(k + 1, self._deepest)
        scores, rows = self._ask(queries, ask)
        unsettled = (scores[:, 1:] >= scores[:, :-1]).any(axis=1) | (rows[:, -1] < 0)
        found = [
            _settled(rows[i], scores[i], k) if unsettled[i] else (rows[i, :k], scores[i, :k])
            for i in range(len(queries))
        ]
        if ask <= k:
            return found, np.empty(0, np.int64)
        undecided = np.flatnonzero((rows[:, k] >= 0) & (scores[:, k] == scores[:, k - 1]))
        return found, undecided

    def _deeper_answers(
        self, queries: Float32Array, undecided: Int64Array, k: int
    ) -> Iterator[tuple[int, tuple[Int64Array, Float32Array]]]:
        """Ask again, twice as deep each time, until no tie straddles the cut or all came back."""
        if self._bare:  # a query of zeros ties with every row: no need to rank them all
            for place in undecided[~queries[undecided].any(axis=1)]:
                yield int(place), (np.arange(k), np.zeros(k, np.float32))
            undecided = undecided[queries[undecided].any(axis=1)]
        depth = k + 1
        while len(undecided):
            depth = min(2 * depth, self._deepest)
            left = []
            step = max(1, ASKED_AT_ONCE // depth)
            for start in range(0, len(undecided), step):
                places = undecided[start : start + step]
                scores, rows = self._ask(queries[places], depth)
                done = (scores[:, -1] < scores[:, k - 1]) | (rows[:, -1] < 0)
                done |= depth == self._deepest
                for i in np.flatnonzero(done):
                    yield int(places[i]), _settled(rows[i], scores[i], k)
                left.append(places[~done])
            undecided = np.concatenate(left)

    def _ask(self, queries: Float32Array, depth: int) -> tuple[Float32Array, Int64Array]:
        """FAISS's own search, [q, depth] each; HNSW never explores fewer than ``depth`` rows.

        FAISS stops once ``efSearch`` candidates are closer than the next one, whatever k is: with
        efSearch 16 and k 1,000 it found 395 of 20,000 passages.
        """
        scores, rows = self._index.search(queries, depth, params=self._effort(depth))
        return scores, rows

    def _effort(self, depth: int) -> Any:
        """Search parameters for HNSW asked deeper than its ``efSearch``; None is the index's own.

        They travel with the call, so that two threads may search one index.
        """
        if self.kind != "hnsw" or depth <= self._core.hnsw.efSearch:
            return None
        faiss = need("faiss", "a dense index")
        effort = faiss.SearchParametersHNSW(efSearch=depth)
        if self._bare:
            return effort
        return faiss.SearchParametersPreTransform(index_params=effort)

    def _queries(self, vectors: ArrayLike) -> Float32Array:
        queries = np.ascontiguousarray(vectors, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise Mismatch(
                f"the queries have shape {queries.shape} and the index holds vectors of dimension "
                f"{self.dim}; encode queries with the encoder that the index was built with"
            )
        if not np.isfinite(queries).all():
            first = int(np.flatnonzero(~np.isfinite(queries).all(axis=1))[0])
            raise BadData(f"query vector {first} holds NaN or infinity; check its encoder")
        return queries

    def reconstruct(self, rows: ArrayLike) -> Float32Array:
        """The stored vectors of these rows: [n, dim] float32, as exact as the index keeps them."""
        wanted = np.ascontiguousarray(rows, dtype=np.int64)
        if len(wanted) == 0:
            return np.empty((0, self.dim), np.float32)
        low, high = int(wanted.min()), int(wanted.max())
        if low < 0 or high >= len(self):
            raise BadArguments(f"rows {low} to {high} were asked for; there are {len(self)} rows")
        if not self._mapped and hasattr(self._core, "make_direct_map"):
            self._core.make_direct_map()  # an inverted file does not know where a row lies
        self._mapped = True
        vectors: Float32Array = self._stored.reconstruct_batch(wanted)
        return vectors


def gpu_resources() -> Any:
    """FAISS's handle on the first GPU; MissingDependency where this FAISS has no GPU support."""
    faiss = need("faiss", "a dense index")
    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0:
        raise MissingDependency(
            "the installed FAISS sees no GPU; with a CUDA device: "
            "pip uninstall faiss-cpu && pip install 'tamis[gpu]'; or use device cpu"
        )
    return faiss.StandardGpuResources()


def _on_gpu(index: Any) -> Any:
    faiss = need("faiss", "a dense index")
    resources = gpu_resources()
    try:
        return faiss.index_cpu_to_gpu(resources, 0, index)
    except RuntimeError as failure:
        raise BadArguments(
            f"FAISS has no GPU form of {type(index).__name__}: {_reason(failure)}; use device cpu"
        ) from failure


def _settled(rows: Int64Array, scores: Float32Array, k: int) -> tuple[Int64Array, Float32Array]:
    """Without padding, equal scores in row order, cut at k."""
    real = rows >= 0
    rows, scores = best_first(rows[real], scores[real])
    return rows[:k], scores[:k]


def _without_positions(index: Any) -> Any:
    """The index below an ID map that says nothing: id i at position i. Other ids are refused."""
    faiss = need("faiss", "a dense index")
    index = faiss.downcast_index(index)
    if not isinstance(index, faiss.IndexIDMap):
        return index
    ids = faiss.vector_to_array(index.id_map)
    if not np.array_equal(ids, np.arange(index.ntotal)):
        raise BadData("the index numbers its vectors by ids of its own; rows must be positions")
    return _without_positions(index.index)


def _core(index: Any) -> Any:
    """The index that does the searching, below any transform of the vectors."""
    faiss = need("faiss", "a dense index")
    while isinstance(index, faiss.IndexPreTransform):
        index = faiss.downcast_index(index.index)
    return index


def _kind(core: Any) -> str:
    faiss = need("faiss", "a dense index")
    kinds = {
        faiss.IndexHNSW: "hnsw",
        faiss.IndexIVFPQ: "ivfpq",
        faiss.IndexIVF: "ivf",
        faiss.IndexFlat: "flat",
        faiss.IndexScalarQuantizer: "sq8",
    }
    return next(
        (name for kind, name in kinds.items() if isinstance(core, kind)), type(core).__name__
    )


def _check_metrics(index: Any) -> None:
    """Every layer must rank by inner product.

    An HNSW index made without a metric and relabelled afterwards, as Pyserini's ``--hnsw --pq``
    does, keeps an L2 storage: FAISS 1.15.1 then returns the farthest passages, or none.
    """
    faiss = need("faiss", "a dense index")
    core = _core(index)
    layers = {"the index": index.metric_type, "its inner index": core.metric_type}
    if isinstance(core, faiss.IndexHNSW):
        layers["its HNSW storage"] = faiss.downcast_index(core.storage).metric_type
    for layer, metric in layers.items():
        if metric != faiss.METRIC_INNER_PRODUCT:
            raise BadData(
                f"{layer} ranks by FAISS metric {metric}, not by inner product "
                f"({faiss.METRIC_INNER_PRODUCT}), so its order would be wrong; build it again "
                f"with the metric given to the constructor"
            )


def _reason(failure: RuntimeError) -> str:
    """FAISS's own words, without the place in its source."""
    return str(failure).rsplit("Error: ", 1)[-1].splitlines()[0]

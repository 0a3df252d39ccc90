"""Dense search against bare FAISS: the same loaded index, the same threads, the same queries.

    python benchmarks/search.py [--vectors 100000] [--repeats 5] [--threads 2]

What ours adds to ``index.search``: one candidate more a query, ties in row order, and checks.
Bars: a batch of 1,000 queries at 0.95 of the speed of FAISS or better; one query within 200 us.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import faiss
import numpy as np
from measuring import alternate, hardware, report

from tamis.index.building.vectors_to_faiss import write_faiss
from tamis.index.dense import DenseIndex
from tamis.index.recipes import parse_recipe

DIM = 384
RATIO_BAR = 0.95
OVERHEAD_BAR = 200e-6


def clustered(n: int, rng: np.random.Generator, centres: np.ndarray) -> np.ndarray:
    """Unit vectors around the centres: text embeddings come in clusters, not evenly spread."""
    points = centres[rng.integers(len(centres), size=n)]
    points += 0.7 * rng.standard_normal((n, DIM), dtype=np.float32)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def bare_search(index: DenseIndex, queries: np.ndarray, k: int) -> object:
    """FAISS on the very same object; HNSW explores k rows at least, or it returns fewer than k."""
    bare = index._index
    if index.kind == "hnsw" and k > bare.hnsw.efSearch:
        return bare.search(queries, k, params=faiss.SearchParametersHNSW(efSearch=k))
    return bare.search(queries, k)


def batch(index: DenseIndex, queries: np.ndarray, k: int, repeats: int) -> dict:
    times = alternate(
        {"peer": lambda: bare_search(index, queries, k), "ours": lambda: index.search(queries, k)},
        repeats,
    )
    peer, ours = (float(np.median(times[who])) for who in ("peer", "ours"))
    return {
        "index": index.kind,
        "k": k,
        "queries": len(queries),
        "peer_s": peer,
        "ours_s": ours,
        "ratio": peer / ours,
        "bar": RATIO_BAR,
        "met": peer / ours >= RATIO_BAR,
    }


def overhead(index: DenseIndex, queries: np.ndarray, k: int) -> dict:
    """What one call of ours costs beyond FAISS's, by the median of single queries in turn."""
    turn = iter(np.tile(queries, (3, 1))[:, None])
    times = alternate(
        {
            "peer": lambda: bare_search(index, next(turn), k),
            "ours": lambda: index.search(next(turn), k),
        },
        len(queries),
    )
    extra = float(np.median(times["ours"]) - np.median(times["peer"]))
    return {
        "index": index.kind,
        "k": k,
        "queries": 1,
        "peer_s": float(np.median(times["peer"])),
        "ours_s": float(np.median(times["ours"])),
        "overhead_us": 1e6 * extra,
        "bar_us": 1e6 * OVERHEAD_BAR,
        "met": extra <= OVERHEAD_BAR,
    }


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--vectors", type=int, default=100_000)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--threads", type=int, default=2)
    chosen = options.parse_args()
    faiss.omp_set_num_threads(chosen.threads)
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((1_000, DIM), dtype=np.float32)
    vectors = clustered(chosen.vectors, rng, centres)
    queries = clustered(1_000, rng, centres)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        for recipe in ("flat", f"hnsw:threads={chosen.threads}"):
            print(f"building {recipe} of {len(vectors)} vectors", file=sys.stderr)
            write_faiss(parse_recipe(recipe), lambda: [vectors], len(vectors), DIM, path)
            index = DenseIndex.open(path)
            lines += [batch(index, queries, k, chosen.repeats) for k in (10, 1_000)]
            lines += [overhead(index, queries[:100], k) for k in (10, 1_000)]
    report("dense search", lines, hardware())
    return 0 if all(line["met"] for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Dense search against bare FAISS: the same loaded index, the same threads, the same queries.

    .venv/bin/python benchmarks/search.py [--vectors 100000] [--repeats 7] [--threads 2]

What ours adds to ``index.search``: one candidate more a query, ties in row order, and checks.
Bars: a batch of 1,000 queries at 0.95 of the speed of FAISS or better, by k of 10 and 1,000, exact
and HNSW; one query at most 200 microseconds later, measured on 1,000 vectors, where FAISS's own
time does not drown the difference. A question through the whole stack, its ten answers' texts
included, costs at most 1 ms beyond encoding it and asking FAISS. Exits 1 below a bar.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from measuring import Timings, alternate, hardware, report

import tamis
from tamis.index.building.vectors_to_faiss import write_faiss
from tamis.index.dense import DenseIndex
from tamis.index.recipes import parse_recipe

QUICK = "--vectors 20000 --repeats 3 --threads 1"

DIM = 384
RATIO_BAR = 0.95
OVERHEAD_BAR_US = 200.0
STACK_BAR_US = 1_000.0
ROUNDS = 300


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


def batch(index: DenseIndex, queries: np.ndarray, k: int, repeats: int) -> dict[str, Any]:
    times = alternate(
        {"peer": lambda: bare_search(index, queries, k), "ours": lambda: index.search(queries, k)},
        repeats,
    )
    return times.line(
        index=index.kind, vectors=len(index), queries=len(queries), k=k, bar=RATIO_BAR
    )


def overhead_us(index: DenseIndex, query: np.ndarray, k: int) -> dict[str, Any]:
    """What one call of ours costs beyond FAISS's, by the medians of calls in turn."""
    times = alternate(
        {"peer": lambda: bare_search(index, query, k), "ours": lambda: index.search(query, k)},
        ROUNDS,
    )
    about = {"index": index.kind, "vectors": len(index), "queries": 1, "k": k}
    return {**about, "overhead_us": extra_us(times), "bar_us": OVERHEAD_BAR_US}


def whole_stack(folder: Path) -> dict[str, Any]:
    """One question to ten texts: ``Search.run`` and ``hits``, against encoding and FAISS alone.

    On one thread: where others keep the second core busy, FAISS's time drowns the difference.
    """
    faiss.omp_set_num_threads(1)
    corpus = folder / "corpus.jsonl"
    words = np.random.default_rng(1).integers(5_000, size=(10_000, 40))
    texts = (" ".join(f"word{number}" for number in row) for row in words)
    corpus.write_text("\n".join(json.dumps({"id": str(i), "text": t}) for i, t in enumerate(texts)))
    index = tamis.build(corpus, folder / "stack", encoder="hashing", lexical="none")
    search, query = index.searcher(10), tamis.Query("1", "word13 word1313 word2626")
    encoder, dense = index.encoder, index.folder.dense
    times = alternate(
        {
            "peer": lambda: bare_search(dense, encoder.encode_queries([query.text]), 10),
            "ours": lambda: search.run([query]).hits(0),
        },
        ROUNDS,
    )
    about = {"index": "whole stack, flat", "vectors": len(index), "queries": 1, "k": 10}
    return {**about, "overhead_us": extra_us(times), "bar_us": STACK_BAR_US}


def extra_us(times: Timings) -> float:
    return round(1e3 * (times.median_ms("ours") - times.median_ms("peer")), 1)


def loaded(recipe: str, vectors: np.ndarray, folder: Path) -> DenseIndex:
    print(f"building {recipe} of {len(vectors)} vectors", file=sys.stderr)
    path = folder / f"{len(vectors)}.{recipe.partition(':')[0]}"
    write_faiss(parse_recipe(recipe), lambda: [vectors], len(vectors), DIM, path)
    return DenseIndex.open(path)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--vectors", type=int, default=100_000)
    options.add_argument("--repeats", type=int, default=7)
    options.add_argument("--threads", type=int, default=2)
    chosen = options.parse_args()
    faiss.omp_set_num_threads(chosen.threads)
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((1_000, DIM), dtype=np.float32)
    vectors = clustered(chosen.vectors, rng, centres)
    queries = clustered(1_000, rng, centres)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for recipe in ("flat", f"hnsw:threads={chosen.threads}"):
            index = loaded(recipe, vectors, Path(folder))
            lines += [batch(index, queries, k, chosen.repeats) for k in (10, 1_000)]
            few = loaded(recipe, vectors[:1_000], Path(folder))
            lines += [overhead_us(few, queries[:1], k) for k in (10, 1_000)]
        lines.append(whole_stack(Path(folder)))
    report("dense search", lines, hardware())
    missed = [
        line
        for line in lines
        if line.get("ratio", 1) < RATIO_BAR or line.get("overhead_us", 0) > line.get("bar_us", 0)
    ]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

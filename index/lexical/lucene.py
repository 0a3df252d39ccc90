"""BM25 with Lucene, through the Anserini inside pyserini: its analyzer, its queries, its index."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import BadData, FailedWhileRunning, MissingResource
from ...core.records import Ranking
from . import jvm
from .settings import check_depth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from ...core.records import Query
    from .settings import LexicalSettings

BATCH = 4096
"""Passages that cross to Java at once."""

SHARE = 256
"""Queries a thread takes at once."""

_MAKE_ROOM = "is the disk full? Make room, then run the same command again"

MOST_WORDS = 1 << 20
"""Different words in one query; Lucene's own limit of 1,024 refuses long passages as queries."""


def build_lucene(texts: Iterable[str], folder: Path, progress: Callable[[int], None]) -> None:
    """Write the Lucene index that pyserini's command line would write of the same passages."""
    classes = jvm.load()
    folder.mkdir(parents=True, exist_ok=True)
    stream, rows = iter(texts), 0
    with _failing(f"indexing with Lucene into {folder}", _MAKE_ROOM):
        indexer = classes("io.anserini.index.SimpleIndexer")(str(folder), False, _threads())
        try:
            while batch := list(islice(stream, BATCH)):
                documents = [_document(row, text) for row, text in enumerate(batch, rows)]
                added = indexer.addRawDocuments(documents)
                rows += len(batch)
                if added < len(batch):  # Anserini logs what it could not add and goes on
                    raise _lost(len(batch) - added, folder)
                progress(len(batch))
        finally:
            indexer.close()
    if rows == 0:
        raise BadData("no passage came to be indexed; a lexical index needs at least one")
    written = _written(classes, folder)
    if written != rows:  # a failed commit, too, is only logged
        raise _lost(rows - written, folder)


class LuceneIndex:
    """A folder of Lucene's, opened; see LexicalIndex. k1 and b apply now, not when built."""

    def __init__(self, settings: LexicalSettings, folder: Path) -> None:
        classes = jvm.load()
        self._reader = _open(classes, folder)
        self._searcher = classes("org.apache.lucene.search.IndexSearcher")(
            self._reader, signature="(Lorg/apache/lucene/index/IndexReader;)V"
        )
        self._searcher.setMaxClauseCount(MOST_WORDS)
        similarity = classes("org.apache.lucene.search.similarities.BM25Similarity")
        self._searcher.setSimilarity(similarity(settings.k1, settings.b))
        self._words = classes("io.anserini.search.query.BagOfWordsQueryGenerator")()
        self._analyzer = classes("io.anserini.analysis.DefaultEnglishAnalyzer").newDefaultInstance()
        self._order = _best_first(classes)
        self._found = classes("io.anserini.search.ScoredDocs")
        self._string = classes("java.lang.String")

    def __len__(self) -> int:
        return int(self._reader.maxDoc())

    def retrieve(self, queries: Sequence[Query], k: int) -> list[Ranking]:
        check_depth(k)
        depth = min(k, len(self))
        size = min(SHARE, -(-len(queries) // _threads()) or 1)
        shares = [queries[at : at + size] for at in range(0, len(queries), size)]
        with _failing("searching with Lucene", "tamis check looks whether the index is whole"):
            if len(shares) < 2:
                return [self._rank(query, depth) for share in shares for query in share]
            with ThreadPoolExecutor(_threads()) as pool:
                ranked = pool.map(lambda share: self._rank_share(share, depth), shares)
                return [ranking for share in ranked for ranking in share]

    def close(self) -> None:
        self._reader.close()

    def _rank_share(self, queries: Sequence[Query], depth: int) -> list[Ranking]:
        try:
            return [self._rank(query, depth) for query in queries]
        finally:
            jvm.detach()

    def _rank(self, query: Query, depth: int) -> Ranking:
        # As bytes: pyjnius cuts characters beyond the basic plane (emoji) to 16 bits.
        text = self._string(query.text.encode("utf-8", "replace"), "UTF-8")
        wanted = self._words.buildQuery("contents", self._analyzer, text)
        top = self._searcher.search(wanted, depth, self._order, True)
        # Not Anserini's own searcher: it rounds scores to four digits and nudges equal ones apart.
        found = self._found.fromTopDocs(top, self._searcher)
        rows = np.array([int(name) for name in found.docids], np.int64)
        return Ranking(query, rows, np.array(found.scores, np.float32))


def _document(row: int, text: str) -> str:
    """A passage as Anserini's JsonCollection has it, in ASCII.

    The row is written with zeros in front: Anserini breaks ties by the *text* of the id, so that
    equal scores then come by row, at the cut too. Anserini skips a passage that Java finds blank;
    a full stop has no token either and keeps its row.
    """
    blank = all(character <= " " for character in text)
    return json.dumps({"id": f"{row:012d}", "contents": "." if blank else text})


def _best_first(classes: Callable[[str], Any]) -> Any:
    """Anserini's order: score descending, then id ascending."""
    field = classes("org.apache.lucene.search.SortField")
    kind = classes("org.apache.lucene.search.SortField$Type")
    return classes("org.apache.lucene.search.Sort")(field.FIELD_SCORE, field("id", kind.STRING_VAL))


def _open(classes: Callable[[str], Any], folder: Path) -> Any:
    if not any(folder.glob("segments_*")):
        raise MissingResource(f"{folder} holds no Lucene index; build it again")
    path = classes("java.nio.file.Paths").get(str(folder))
    try:
        directory = classes("org.apache.lucene.store.FSDirectory").open(path)
        return classes("org.apache.lucene.index.DirectoryReader").open(directory)
    except Exception as flaw:
        raise BadData(f"{folder} is not a readable Lucene index: {flaw}; build it again") from flaw


def _written(classes: Callable[[str], Any], folder: Path) -> int:
    """How many passages a search would find in the folder."""
    try:
        reader = _open(classes, folder)
    except (MissingResource, BadData):
        return 0
    try:
        return int(reader.maxDoc())
    finally:
        reader.close()


@contextmanager
def _failing(doing: str, way_out: str) -> Iterator[None]:
    """An exception thrown in Java as one of ours, without Java's stack."""
    from jnius import JavaException

    try:
        yield
    except JavaException as failure:
        said = str(failure).partition("\n")[0]
        raise FailedWhileRunning(f"{doing} failed: {said}; {way_out}") from failure


def _lost(count: int, folder: Path) -> FailedWhileRunning:
    return FailedWhileRunning(f"Lucene did not write {count} passages to {folder}; {_MAKE_ROOM}")


def _threads() -> int:
    return os.cpu_count() or 1

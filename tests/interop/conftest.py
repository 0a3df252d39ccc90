"""A small index, a stand-in for Pyserini's searcher, and no network at all."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tamis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CUT = """
import socket

def _cut(self, address, _connect=socket.socket.connect):
    inside = self.family not in (socket.AF_INET, socket.AF_INET6)
    if inside or address[0] in ("127.0.0.1", "::1"):
        return _connect(self, address)
    raise OSError(f"the network is cut: {address}")

socket.socket.connect = socket.socket.connect_ex = _cut
"""
"""Python that lets a process reach nothing but its own machine."""

WORDS = ["flea", "lion", "sieve", "river", "stone", "music", "train", "query", "night", "day"]


@pytest.fixture(scope="module", autouse=True)
def network_cut() -> Iterator[None]:
    """For every test in this folder."""
    before = socket.socket.connect, socket.socket.connect_ex
    exec(CUT, {})  # noqa: S102 - the same text cuts the network of the processes we start
    yield
    socket.socket.connect, socket.socket.connect_ex = before  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Runs code in a Python of its own, its network cut too: ``python(code, *arguments)``."""
    folder = tmp_path_factory.mktemp("cut")
    (folder / "sitecustomize.py").write_text(CUT)
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}

    def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def cli(python: Callable[..., Any]) -> Callable[..., Any]:
    """The command line as a user runs it: ``cli("search", index, "a question")``."""
    return lambda *arguments: python("from tamis.pipeline.cli import main; main()", *arguments)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 passages of eight words, ten of them the same text, so that scores tie."""
    random = np.random.default_rng(4)
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    with path.open("w", encoding="utf-8") as out:
        for number in range(60):
            words = random.choice(WORDS, 8) if number % 6 else ["flea", "sieve", "river"]
            record = {"id": f"p{number * 37 % 60:02}", "title": "", "text": " ".join(words)}
            out.write(json.dumps(record) + "\n")
    return path


@pytest.fixture(scope="module")
def index_folder(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index") / "idx"
    tamis.build(corpus, folder, encoder="hashing")
    return folder


@pytest.fixture
def queries_file(tmp_path: Path) -> Path:
    """Three queries with what Anserini's reader changes: blanks around, zeros before a number."""
    path = tmp_path / "queries.tsv"
    path.write_text("7\t flea  in a sieve \nq-8\tmusic \U0001f3b5 train\n9\tnight day\n", "utf-8")
    return path


@pytest.fixture
def searcher_class() -> Any:
    return FaissSearcher


class FaissSearcher:
    """What ``pyserini.search.faiss.FaissSearcher`` does with a folder, in few lines."""

    def __init__(self, index_dir: str, query_encoder: Any) -> None:
        faiss = pytest.importorskip("faiss")
        self.query_encoder = query_encoder
        self.index = faiss.read_index(os.path.join(index_dir, "index"))  # noqa: PTH118
        with open(os.path.join(index_dir, "docid")) as lines:  # noqa: PTH118, PTH123
            self.docids = [line.rstrip() for line in lines]
        assert self.index.ntotal == len(self.docids)

    def search(self, query: str, k: int = 10) -> list[tuple[str, float]]:
        vector = self.query_encoder.encode(query)
        assert len(vector) == self.index.d
        scores, rows = self.index.search(vector.reshape((1, len(vector))).astype("float32"), k)
        found = zip(rows.flat, scores.flat, strict=True)
        return [(self.docids[row], float(score)) for row, score in found if row != -1]


def same_ranking(
    ours: list[tuple[str, float]], theirs: list[tuple[str, float]], tolerance: float
) -> bool:
    """Whether two rankings agree but for the order among passages of one score, at the cut too.

    FAISS leaves that order open, as ``faiss/contrib/evaluation.py`` has it.
    """
    if len(ours) != len(theirs):
        return False
    if any(abs(a - b) > tolerance for (_, a), (_, b) in zip(ours, theirs, strict=True)):
        return False
    last = ours[-1][1] + tolerance if ours else 0.0
    known = dict(theirs)
    return all(
        passage in known and abs(known[passage] - score) <= tolerance
        for passage, score in ours
        if score > last
    )


@pytest.fixture
def agree() -> Callable[..., bool]:
    return same_ranking

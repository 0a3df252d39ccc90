"""Pyserini's searcher over an index folder of ours, and our encoded queries driving it."""

from __future__ import annotations

import pickle
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tamis
from tamis.core.errors import BadArguments, MissingDependency
from tamis.pipeline.exporting.queries import as_topic, export_queries

pytest.importorskip("faiss")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

QUESTIONS = ["flea in a sieve", "music train", "nothing of this corpus", "lion"]


def ours(index: Any, question: str, k: int) -> list[tuple[str, float]]:
    return [(hit.passage.id, hit.score) for hit in index.search(question, k=k)]


@pytest.mark.parametrize("k", [5, 60, 100])
def test_the_searcher_gives_our_ranking(
    index_folder: Path, searcher_class: Any, agree: Callable[..., bool], k: int
) -> None:
    index = tamis.open_index(index_folder)
    encode = SimpleNamespace(encode=lambda text: index.encoder.encode_queries([text])[0])
    searcher = searcher_class(str(index_folder), encode)
    for question in QUESTIONS:
        assert agree(ours(index, question, k), searcher.search(question, k), 1e-6)


def test_ids_beyond_ascii_keep_their_rows(tmp_path: Path, searcher_class: Any) -> None:
    lines = [f"{name}\tflea number {place}" for place, name in enumerate(["é", "日本", "b"])]
    (tmp_path / "c.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    tamis.build(tmp_path / "c.tsv", tmp_path / "idx", encoder="hashing", lexical="none")
    assert searcher_class(str(tmp_path / "idx"), None).docids == ["é", "日本", "b"]


def exported(queries_file: Path, folder: Path) -> list[Any]:
    queries = tamis.read_queries(queries_file)
    export_queries(queries, folder, tamis.encoder("hashing"))
    return queries


def test_the_pickle_drives_the_searcher(
    index_folder: Path,
    queries_file: Path,
    tmp_path: Path,
    searcher_class: Any,
    agree: Callable[..., bool],
) -> None:
    pandas = pytest.importorskip("pandas")
    queries = exported(queries_file, tmp_path / "encoded")
    frame = pandas.read_pickle(tmp_path / "encoded" / "embedding.pkl")
    by_text = dict(zip(frame["text"].tolist(), frame["embedding"].tolist(), strict=True))
    searcher = searcher_class(str(index_folder), SimpleNamespace(encode=by_text.__getitem__))
    index = tamis.open_index(index_folder)
    for query in queries:
        trimmed = query.text.strip()
        assert agree(ours(index, query.text, 20), searcher.search(trimmed, 20), 1e-6)


def test_the_frame_is_what_pyserini_expects(queries_file: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    exported(queries_file, tmp_path / "encoded")
    frame = pandas.read_pickle(tmp_path / "encoded" / "embedding.pkl")
    assert list(frame.columns) == ["id", "text", "embedding"]
    assert frame["id"].tolist() == ["7", "q-8", "9"]
    assert frame["text"].tolist() == ["flea  in a sieve", "music \U0001f3b5 train", "night day"]
    for vector in frame["embedding"]:
        assert isinstance(vector, np.ndarray)
        assert vector.shape == (256,)
        assert vector.dtype == np.float32
    raw = (tmp_path / "encoded" / "embedding.pkl").read_bytes()
    assert b"StringDtype" not in raw, "pandas 2 cannot unpickle the string columns of pandas 3"
    assert pickle.loads(raw).equals(frame)  # noqa: S301 - our own file


def test_the_same_without_a_pickle(queries_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    queries = exported(queries_file, tmp_path / "encoded")
    vectors = np.load(tmp_path / "encoded" / "embedding.npy", allow_pickle=False)
    again = tamis.read_queries(tmp_path / "encoded" / "queries.tsv")
    assert [query.id for query in again] == [query.id for query in queries]
    assert [query.text for query in again] == [as_topic(query.text) for query in queries]
    expected = tamis.encoder("hashing").encode_queries([query.text for query in queries])
    assert vectors.dtype == np.float32
    assert np.array_equal(vectors, expected)


@pytest.mark.parametrize(
    ("text", "topic"),
    [(" a  b ", "a  b"), ("a\tb\r\nc", "a b  c"), ("\x01a\x1f", "a"), ("\u00a0a", "\u00a0a")],
)
def test_a_topic_is_one_line_as_java_trims_it(text: str, topic: str) -> None:
    assert as_topic(text) == topic


def test_a_name_that_pyserini_takes_for_binary_codes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArguments, match="bpr"):
        export_queries([], tmp_path / "bpr-queries", tamis.encoder("hashing"))


def test_without_pandas_one_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingDependency, match="pip install pandas"):
        export_queries([], tmp_path / "encoded", tamis.encoder("hashing"))


def test_nothing_is_left_of_an_export_that_fails(
    queries_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pandas = pytest.importorskip("pandas")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pandas.DataFrame, "to_pickle", full)
    with pytest.raises(tamis.TamisError, match="No space left on device"):
        exported(queries_file, tmp_path / "encoded")
    assert [path.name for path in tmp_path.iterdir()] == ["queries.tsv"]

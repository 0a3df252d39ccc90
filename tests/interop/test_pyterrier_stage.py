"""The PyTerrier transformer, over a stand-in for the few things it needs of PyTerrier."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tamis
from tamis.core.errors import MissingDependency

pandas = pytest.importorskip("pandas")
pytest.importorskip("faiss")

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODULE = "tamis.pipeline.pyterrier"
TOPICS = [["q2", "music train", 5], ["q1", "flea sieve river", 6], ["q3", "night", 7]]


class Checked:
    """``pt.validate.any``: at least one of the frames asked for must fit."""

    def __init__(self, columns: set[str]) -> None:
        self.columns = columns
        self.fits = False

    def query_frame(self, extra_columns: list[str], mode: str) -> None:
        del mode
        self.fits |= {"qid", *extra_columns} <= self.columns and "docno" not in self.columns


@contextmanager
def validate_any(frame: Any) -> Iterator[Checked]:
    checked = Checked(set(frame.columns))
    yield checked
    if not checked.fits:
        raise KeyError("does not match required columns for this transformer")


@pytest.fixture
def retriever_class(monkeypatch: pytest.MonkeyPatch) -> Any:
    stand_in: Any = ModuleType("pyterrier")
    stand_in.Transformer = type("Transformer", (), {})
    stand_in.validate = SimpleNamespace(any=validate_any)
    monkeypatch.setitem(sys.modules, "pyterrier", stand_in)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    from tamis.pipeline.pyterrier import TamisRetriever

    yield TamisRetriever
    sys.modules.pop(MODULE, None)


@pytest.fixture(scope="module")
def index(index_folder: Path) -> Any:
    return tamis.open_index(index_folder)


@pytest.fixture
def topics() -> Any:
    return pandas.DataFrame(TOPICS, columns=["qid", "query", "length"], index=[9, 9, 4])


def test_results_are_those_of_the_search(retriever_class: Any, index: Any, topics: Any) -> None:
    search = index.searcher(10, mode="hybrid")
    results = retriever_class(search).transform(topics)
    run = search.run([tamis.Query(qid, text) for qid, text, _ in TOPICS])
    assert list(results.columns) == ["qid", "query", "length", "docno", "score", "rank"]
    assert results["qid"].tolist() == [qid for qid, *_ in TOPICS for _ in range(10)]
    assert results["length"].tolist() == [length for *_, length in TOPICS for _ in range(10)]
    assert results["docno"].tolist() == [passage for ids in run.ids() for passage in ids]
    assert results["score"].tolist() == [score for r in run for score in r.scores.tolist()]
    assert results["rank"].tolist() == list(range(10)) * 3
    assert results.index.tolist() == list(range(30))
    assert topics.index.tolist() == [9, 9, 4], "the frame that came in is left alone"


def test_texts_come_when_asked(retriever_class: Any, index: Any, topics: Any) -> None:
    results = retriever_class(index.searcher(3), text=True).transform(topics)
    texts = dict(zip(results["docno"], results["text"], strict=True))
    for hit in index.search("music train", k=3):
        assert texts[hit.passage.id] == hit.passage.full_text


@pytest.mark.parametrize("text", [False, True])
def test_an_empty_frame_gets_every_column(
    retriever_class: Any, index: Any, topics: Any, text: bool
) -> None:
    retriever = retriever_class(index.searcher(3), text=text)
    empty, full = retriever.transform(topics.iloc[:0]), retriever.transform(topics)
    assert len(empty) == 0
    assert list(empty.columns) == list(full.columns)
    assert empty["score"].dtype == full["score"].dtype == np.float64
    assert empty["rank"].dtype == full["rank"].dtype == np.int64


def test_a_query_without_results_has_no_row(retriever_class: Any, index: Any) -> None:
    asked = pandas.DataFrame([["a", "zzz"], ["b", "flea"], ["c", "yyy"]], columns=["qid", "query"])
    results = retriever_class(index.searcher(3, mode="lexical")).transform(asked)
    assert results["qid"].tolist() == ["b"] * 3


@pytest.mark.parametrize("columns", [["qid"], ["qid", "query", "docno"], []])
def test_a_frame_that_is_no_queries_is_refused(
    retriever_class: Any, index: Any, columns: list[str]
) -> None:
    with pytest.raises(KeyError, match="does not match"):
        retriever_class(index.searcher(3)).transform(pandas.DataFrame(columns=columns))


def test_a_cut_becomes_the_searchs_own(retriever_class: Any, index: Any, topics: Any) -> None:
    retriever = retriever_class(index.searcher(20), text=True)
    cut = retriever.fuse_rank_cutoff(10)
    results = retriever.transform(topics)
    expected = results[results["rank"] < 10].reset_index(drop=True)
    pandas.testing.assert_frame_equal(cut.transform(topics), expected)
    assert retriever.fuse_rank_cutoff(20) is retriever
    assert cut.fuse_rank_cutoff(15) is cut
    assert cut.fuse_rank_cutoff(0) is None
    uncut = retriever_class(tamis.Search(dense=index.dense(k=20)))
    assert uncut.fuse_rank_cutoff(7) == retriever_class(
        tamis.Search(dense=uncut.search_of_tamis.dense, k=7)
    )


def test_equal_searches_are_one_stage(retriever_class: Any, index: Any) -> None:
    search = index.searcher(20, mode="hybrid")
    same, other = retriever_class(search), retriever_class(index.searcher(5))
    assert same == retriever_class(search)
    assert hash(same) == hash(retriever_class(search))
    assert same != other
    assert same != retriever_class(search, text=True)
    assert same != "something else"


def test_its_name_in_a_table_says_what_it_does(retriever_class: Any, index: Any) -> None:
    class Cross:
        name, keep = "cross", 20

    retriever = retriever_class(index.searcher(5, mode="hybrid", rerank=[Cross()]), text=True)
    assert repr(retriever) == "TamisRetriever(dense@1000, lexical@1000, rrf, cross@20, k=5, text)"


def test_without_pyterrier_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyterrier", None)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    with pytest.raises(MissingDependency, match="pip install pyterrier"):
        __import__(MODULE)

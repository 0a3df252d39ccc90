"""Collections through ir_datasets, with small local ones in place of downloads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import ir_datasets
import pytest

from tamis.core.corpus import Flaw, open_corpus
from tamis.core.errors import BadArguments, MissingResource
from tamis.core.qrels import read_qrels
from tamis.core.queries import read_queries
from tamis.core.records import Passage, Query

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def local(tmp_path: Path) -> Iterator[str]:
    """A collection of two documents, one query, one judgment."""
    (tmp_path / "docs.tsv").write_text("d1\tone\nd2\ttwo\n", encoding="utf-8")
    (tmp_path / "queries.tsv").write_text("q1\twhich\n", encoding="utf-8")
    (tmp_path / "qrels.txt").write_text("q1 0 d2 2\n", encoding="utf-8")
    dataset = ir_datasets.create_dataset(
        docs_tsv=str(tmp_path / "docs.tsv"),
        queries_tsv=str(tmp_path / "queries.tsv"),
        qrels_trec=str(tmp_path / "qrels.txt"),
    )
    yield from registered("tamis-local", dataset)


def registered(name: str, dataset: Any) -> Iterator[str]:
    ir_datasets.registry._registered[name] = dataset
    yield f"irds:{name}"
    del ir_datasets.registry._registered[name]


def test_documents_queries_and_judgments_are_read(local: str) -> None:
    corpus = open_corpus(local)
    assert corpus.format == "irds"
    assert list(corpus) == [Passage("d1", "one"), Passage("d2", "two")]
    assert list(corpus.located())[1][0] == "irds:tamis-local:2"
    assert read_queries(local) == [Query("q1", "which")]
    assert read_qrels(local).judgments == {"q1": {"d2": 2}}
    assert read_qrels(local).format == "irds"


class TitledDoc(NamedTuple):
    doc_id: str
    title: str
    text: str


class OddDoc(NamedTuple):
    doc_id: str
    body: str

    def default_text(self) -> str:
        return f"default {self.body}"


class Handmade:
    """What ``open_corpus`` needs of a dataset, and no more."""

    def __init__(self, *documents: object) -> None:
        self.documents = documents

    def has(self, part: str) -> bool:
        return part == "docs"

    def docs_iter(self) -> Iterator[object]:
        for document in self.documents:
            if isinstance(document, Exception):
                raise document
            yield document


@pytest.fixture
def handmade(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from registered("tamis-handmade", Handmade(*request.param))


@pytest.mark.parametrize(
    "handmade",
    [(TitledDoc("a", "t", "x"), OddDoc("b", "y"), TitledDoc("c", "", ""))],
    indirect=True,
)
def test_title_and_text_else_the_default_text(handmade: str) -> None:
    first, second, third = open_corpus(handmade)
    assert (first, second) == (Passage("a", "x", "t"), Passage("b", "default y"))
    assert isinstance(third, Flaw)
    assert third.kind == "empty"


@pytest.mark.parametrize("handmade", [(OSError("no route to host"),)], indirect=True)
def test_data_out_of_reach_say_so(handmade: str) -> None:
    with pytest.raises(MissingResource, match=r"no route to host.*IR_DATASETS_HOME"):
        list(open_corpus(handmade))


@pytest.mark.parametrize("handmade", [()], indirect=True)
def test_a_collection_without_queries_says_so(handmade: str) -> None:
    with pytest.raises(BadArguments, match="no queries"):
        read_queries(handmade)


def test_an_unknown_name_is_a_bad_argument() -> None:
    with pytest.raises(BadArguments, match="tamis-nowhere"):
        open_corpus("irds:tamis-nowhere")

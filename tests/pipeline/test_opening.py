"""Opening an index: what is no index, whose encoder fits, and how deep a search goes."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tamis.core.errors import BadArguments, Mismatch, MissingResource, UnknownComponent
from tamis.encoders.hashing import HashingEncoder
from tamis.pipeline.build import build
from tamis.pipeline.opening import FIRST_STAGE, open_index
from tamis.pipeline.verifying import check_index

if TYPE_CHECKING:
    from pathlib import Path

    from tamis.pipeline.opening import Index


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("opening")
    texts = ["fleas live long", "wine and cheese", "a sieve of hair"]
    lines = [json.dumps({"id": f"p{n}", "text": text}) for n, text in enumerate(texts)]
    (folder / "c.jsonl").write_text("\n".join(lines))
    return build(folder / "c.jsonl", folder / "index", encoder="hashing")


@pytest.fixture
def folder(built: Index) -> Path:
    return built.folder.path


def test_it_opens_as_it_was_built(built: Index, folder: Path) -> None:
    opened = open_index(str(folder))
    assert len(opened) == 3
    assert opened.search("wine", k=1) == built.search("wine", k=1)
    assert opened.search("wine", k=1)[0].passage.id == "p1"
    assert opened.folder.describe()["counts"]["indexed"] == 3


def test_nothing_is_loaded_before_it_is_needed(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "index")
    for name in ("index", "passages.arrow", "docid"):
        (copy / name).unlink()
    assert len(open_index(copy)) == 3


class TestNoIndex:
    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(MissingResource, match="does not exist: run tamis build"):
            open_index(tmp_path / "index")

    def test_an_unfinished_build(self, tmp_path: Path) -> None:
        (tmp_path / "index.building").mkdir()
        with pytest.raises(MissingResource, match=r"a build lies unfinished in .*index\.building"):
            open_index(tmp_path / "index")

    def test_some_other_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for place in (tmp_path, ".", ".."):
            with pytest.raises(MissingResource, match=r"holds no tamis\.json"):
                open_index(place)

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "index").write_text("x")
        with pytest.raises(MissingResource, match="no finished index"):
            open_index(tmp_path / "index")

    def test_two_files_alone_are_foreign_and_say_so(
        self, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        copy = shutil.copytree(folder, tmp_path / "index")
        (copy / "tamis.json").unlink()
        (copy / "passages.arrow").unlink()
        with pytest.raises(MissingResource, match="name its encoder with --encoder"):
            open_index(copy)
        foreign = open_index(copy, encoder="hashing")
        assert "dense only, no texts, nothing verified" in caplog.text
        hit = foreign.search("wine", k=1)[0]
        assert (hit.passage.id, hit.passage.text) == ("p1", "")
        with pytest.raises(BadArguments, match="no BM25 index: search it with --mode dense"):
            foreign.search("wine", mode="lexical")


class TestEncoders:
    def test_another_one_is_refused(self, folder: Path) -> None:
        opened = open_index(folder, encoder=HashingEncoder(dim=64))
        with pytest.raises(Mismatch, match=r"built with encoder hashing .*256 dim.*not with.*64"):
            opened.search("wine")

    def test_a_query_encoder_of_another_space_is_refused(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from tamis.pipeline import opening

        monkeypatch.setattr(opening, "load_encoder", lambda *_, **__: HashingEncoder(dim=64))
        with pytest.raises(Mismatch, match="lives in another space"):
            open_index(folder, query_encoder="other").search("wine")

    def test_the_registered_name_means_another_encoder_now(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from tamis.pipeline import opening

        monkeypatch.setattr(opening, "load_encoder", lambda *_, **__: HashingEncoder(dim=64))
        with pytest.raises(Mismatch, match="built with encoder hashing"):
            open_index(folder).search("wine")

    def test_an_unknown_name(self, folder: Path) -> None:
        with pytest.raises(UnknownComponent, match=r"known: .*hashing"):
            open_index(folder, query_encoder="hashin").search("wine")

    def test_lexical_search_needs_none(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from tamis.pipeline import opening

        def refused(*_: object, **__: object) -> None:
            raise AssertionError("no encoder is needed")

        monkeypatch.setattr(opening, "load_encoder", refused)
        assert open_index(folder).search("wine", mode="lexical")[0].passage.id == "p1"


def test_an_index_without_bm25_says_how_to_go_on(folder: Path, tmp_path: Path) -> None:
    opened = build(folder.parent / "c.jsonl", tmp_path / "i", encoder="hashing", lexical="none")
    with pytest.raises(BadArguments, match="rebuild with --lexical bm25s"):
        opened.search("wine", mode="hybrid")


class TestDepth:
    class Stage:
        name = "stage"

        def __init__(self, keep: int) -> None:
            self.keep = keep

    def test_as_deep_as_the_answers_or_the_rerankers_need(self, folder: Path) -> None:
        opened = open_index(folder)
        search = opened.searcher(10)
        assert (search.k, search.dense.k, search.lexical) == (10, 10, None)  # type: ignore[union-attr]
        stages = [self.Stage(50), self.Stage(20)]
        search = opened.searcher(10, mode="lexical", rerank=stages)  # type: ignore[arg-type]
        assert (search.k, search.lexical.k, search.dense) == (10, 50, None)  # type: ignore[union-attr]

    def test_a_fusion_reads_the_usual_first_stage(self, folder: Path) -> None:
        search = open_index(folder).searcher(10, mode="hybrid")
        assert search.dense.k == search.lexical.k == FIRST_STAGE == 1000  # type: ignore[union-attr]
        deep = open_index(folder).searcher(2000, mode="hybrid")
        assert deep.dense.k == deep.lexical.k == 2000  # type: ignore[union-attr]


def test_check_says_whether_an_encoder_built_the_index(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "a", "text": "fleas jump"}\n', "utf-8")
    build(corpus, tmp_path / "ours", encoder="hashing")
    build(corpus, tmp_path / "other", encoder=HashingEncoder(dim=32))
    assert check_index(tmp_path / "ours", "hashing").ok
    wrong = check_index(tmp_path / "other", "hashing").errors
    assert [finding.kind for finding in wrong] == ["encoder"]
    assert "32 dimensions" in wrong[0].message
    assert "256 dimensions" in wrong[0].message

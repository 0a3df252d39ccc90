"""Recognising a corpus by what is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tamis.core.corpus import open_corpus
from tamis.core.errors import BadArguments, MissingResource
from tamis.core.records import Passage

LINE = '{"_id": "a", "title": "", "text": "x"}\n'


def test_nothing_there_is_a_missing_resource(tmp_path: Path) -> None:
    for place in (tmp_path / "none.jsonl", "no\0where", "x" * 5000):
        with pytest.raises(MissingResource):
            open_corpus(place)


@pytest.mark.parametrize("name", ["picture.png", "notes.txt", "corpus", "data.csv.gz"])
def test_an_unknown_file_lists_the_formats(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("whatever\n", encoding="utf-8")
    with pytest.raises(BadArguments, match=r"BEIR folder.*TSV.*JSON lines.*TREC.*Parquet.*irds:ID"):
        open_corpus(tmp_path / name)


def test_an_empty_folder_lists_the_formats(tmp_path: Path) -> None:
    with pytest.raises(BadArguments, match="irds:ID"):
        open_corpus(tmp_path)


def test_queries_and_a_readme_are_no_corpus(tmp_path: Path) -> None:
    """Taking README.md for the one passage of a BEIR folder would index the wrong thing."""
    (tmp_path / "queries.jsonl").write_text(LINE, encoding="utf-8")
    (tmp_path / "README.md").write_text("read me", encoding="utf-8")
    with pytest.raises(BadArguments, match=r"queries\.jsonl but no corpus\.jsonl"):
        open_corpus(tmp_path)


def test_a_pipe_is_refused_before_a_line_is_lost(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "c.jsonl")
    with pytest.raises(BadArguments, match="more than once"):
        open_corpus(tmp_path / "c.jsonl")


@pytest.mark.parametrize("name", ["c.jsonl", "c.ndjson", "c.json", "C.JSONL"])
def test_every_name_of_json_lines_is_known(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(LINE, encoding="utf-8")
    corpus = open_corpus(tmp_path / name)
    assert (corpus.format, list(corpus)) == ("jsonl", [Passage("a", "x")])


def test_source_is_what_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.jsonl").write_text(LINE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert open_corpus(Path("c.jsonl")).source == "c.jsonl"


@pytest.mark.shared
def test_real_collections_have_no_flaw(shared_data: Path) -> None:
    for name, count in (("scifact", 5183), ("xquad-es", 240), ("cranfield", 1398)):
        found = list(open_corpus(shared_data / "collections" / name))
        assert all(isinstance(item, Passage) for item in found)
        assert len(found) == count

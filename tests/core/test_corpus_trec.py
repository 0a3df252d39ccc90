"""TREC text."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from tamis.core.corpus import Flaw, open_corpus
from tamis.core.records import Passage

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = """<DOC>
<DOCNO> AP-1 </DOCNO>
<HEADLINE>Flea &amp; tick</HEADLINE>
<TEXT>
<P>
First paragraph: 1 < 2.
</P>
Second.
</TEXT>
<TEXT>More.</TEXT>
</DOC>
"""
READ = Passage("AP-1", "First paragraph: 1 < 2.\n \nSecond.\nMore.", "Flea & tick")


def test_a_document_is_its_docno_headline_and_texts(tmp_path: Path) -> None:
    path = tmp_path / "ap.trec"
    path.write_text(f"\n{DOCUMENT}\n\n{DOCUMENT}", encoding="utf-8")
    corpus = open_corpus(path)
    assert corpus.format == "trec"
    assert list(corpus.located()) == [("ap.trec:2", READ), ("ap.trec:15", READ)]


def test_without_text_tags_everything_but_docno_and_title_is_text(tmp_path: Path) -> None:
    path = tmp_path / "ap.trec"
    path.write_text("<DOC><DOCNO>1</DOCNO><TITLE>t</TITLE>\nrest\n</DOC>\n", encoding="utf-8")
    assert list(open_corpus(path)) == [Passage("1", "rest", "t")]


def test_a_title_inside_the_text_is_text(tmp_path: Path) -> None:
    path = tmp_path / "ap.trec"
    path.write_text(
        "<DOC>\n<DOCNO>1</DOCNO>\n<TEXT><TITLE>t</TITLE> x</TEXT>\n</DOC>\n", encoding="utf-8"
    )
    assert list(open_corpus(path)) == [Passage("1", "t  x")]


@pytest.mark.parametrize("name", ["ap.all", "ap", "ap.txt"])
def test_the_first_line_tells_where_the_name_does_not(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(DOCUMENT, encoding="utf-8")
    assert list(open_corpus(path)) == [READ]


def test_a_folder_of_parts_reads_in_name_order(tmp_path: Path) -> None:
    (tmp_path / "b.trec").write_text(DOCUMENT, encoding="utf-8")
    (tmp_path / "a.trec.gz").write_bytes(gzip.compress(DOCUMENT.replace("AP-1", "AP-0").encode()))
    assert [item.id for item in open_corpus(tmp_path) if isinstance(item, Passage)] == [
        "AP-0",
        "AP-1",
    ]


@pytest.mark.parametrize(
    ("source", "where", "told"),
    [
        ("<DOC>\n<DOCNO>1</DOCNO>\n", "a.trec:1", "end of the file"),
        ("<DOC>\nno number\n</DOC>\n", "a.trec:1", "0 <DOCNO>"),
        ("junk\n", "a.trec:1", "outside"),
        ("</DOC>\n", "a.trec:1", "outside"),
    ],
)
def test_what_is_no_document_is_a_flaw_and_the_next_is_read(
    tmp_path: Path, source: str, where: str, told: str
) -> None:
    path = tmp_path / "a.trec"
    path.write_text(source + ("" if "end of" in told else DOCUMENT), encoding="utf-8")
    flaw, *rest = open_corpus(path)
    assert isinstance(flaw, Flaw)
    assert flaw.where == where
    assert told in flaw.message
    assert rest == ([] if "end of" in told else [READ])


def test_an_unclosed_document_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a.trec"
    path.write_text("<DOC>\n<DOCNO>1</DOCNO>\n" + DOCUMENT, encoding="utf-8")
    flaw, document = open_corpus(path)
    assert isinstance(flaw, Flaw)
    assert document == READ


def test_a_line_that_is_no_utf8_is_told_and_its_document_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.trec"
    path.write_bytes(DOCUMENT.replace("Second", "S\xe9cond").encode("latin-1") + DOCUMENT.encode())
    flaw, document = open_corpus(path)
    assert isinstance(flaw, Flaw)
    assert (flaw.kind, flaw.where) == ("not utf-8", "a.trec:8")
    assert document == READ

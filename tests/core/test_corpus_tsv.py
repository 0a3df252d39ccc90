"""MS MARCO's collection file."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from tamis.core.corpus import Flaw, open_corpus
from tamis.core.records import Passage

if TYPE_CHECKING:
    from pathlib import Path


def test_two_columns_are_a_passage(tmp_path: Path) -> None:
    path = tmp_path / "collection.tsv"
    path.write_bytes(b'0\tThe "quoted" one\r\n1\ttwo \n')
    corpus = open_corpus(path)
    assert corpus.format == "msmarco"
    assert list(corpus) == [Passage("0", 'The "quoted" one'), Passage("1", "two ")]


def test_gzip_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "collection.tsv.gz"
    path.write_bytes(gzip.compress(b"0\tone\n"))
    assert list(open_corpus(str(path))) == [Passage("0", "one")]


def test_any_other_number_of_columns_is_malformed(tmp_path: Path) -> None:
    path = tmp_path / "c.tsv"
    path.write_text("0\n1\ttitle\ttext\n2\tfine\n3\t\n", encoding="utf-8")
    found = list(open_corpus(path))
    assert found[2] == Passage("2", "fine")
    assert [(item.kind, item.where) for item in found if isinstance(item, Flaw)] == [
        ("malformed", "c.tsv:1"),
        ("malformed", "c.tsv:2"),
        ("empty", "c.tsv:4"),
    ]
